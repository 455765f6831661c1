//! Containers of ordinary users: root's bench has them beside its own, and an ordinary user's has no others.

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::Value;

use super::*;

/// An id without a name.
const ORDINARY: u32 = 123_457;
const STORM: [&str; 10] =
    ["run", "boot-storm", "--instances", "3", "--storms", "1", "--warmup", "0", "--out", "out"];

/// Whether this can be tried; says why not.
fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can become another user");
    }
    is_root
}

fn backends(folder: &Path) -> Vec<String> {
    let rows = rows(&folder.join("out/attempts.csv"));
    rows.iter().for_each(|row| assert_eq!(row["outcome"], "ready", "{row:?}"));
    let mut backends: Vec<String> = rows.iter().map(|row| row["backend"].clone()).collect();
    backends.sort();
    backends
}

fn configuration(folder: &Path) -> String {
    let run = std::fs::read_to_string(folder.join("out/run.json")).unwrap();
    let run: Value = serde_json::from_str(&run).unwrap();
    run["configs"].to_string()
}

#[test]
fn root_has_them_beside_its_own() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = bench(folder.path());
    command.args(STORM).args(["--on", "container,container:rootless"]);
    command.env_remove("SUDO_UID").env_remove("SUDO_GID");
    let said = said(&mut command);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("note: container:rootless is that of an ordinary user: user id"), "{said:?}");
    let expected = [["container"; 3], ["container:rootless"; 3]].concat();
    assert_eq!(backends(folder.path()), expected);
    assert!(configuration(folder.path()).contains("for whom root starts them"));
    let rest = ["--on", "container:rootless", "--network", "bridge", "--out", "bridge"];
    let on_bridge = super::said(bench(folder.path()).args(["run", "boot-storm"]).args(rest));
    assert!(on_bridge.err.contains("a bridge needs root, which container:rootless has not"), "{on_bridge:?}");
}

/// On an overlay over an overlay no third can be mounted (FILESYSTEM_MAX_STACK_DEPTH, linux/fs.h).
#[test]
fn an_image_that_no_overlay_can_be_over_is_copied_and_that_is_said() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
mkdir base && mount -t tmpfs -o mode=755 none base && mount -t tmpfs -o mode=1777 none /var/tmp || exit 99
cd base && mkdir -p lower/image/etc one two up1 work1 up2 work2 || exit 99
mount -t overlay -o lowerdir=lower,upperdir=up1,workdir=work1 none one || exit 99
mount -t overlay -o lowerdir=one,upperdir=up2,workdir=work2 none two || exit 99
cd .. && export XDG_CACHE_HOME="$PWD/base/two/cache"
"$0" "$@" --image base/two/image; code=$?
ls -A /var/tmp >left
exit $code"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_bench")]).args(STORM);
    command.args(["--on", "container,container:rootless"]).current_dir(folder.path());
    command.env_remove("SUDO_UID").env_remove("SUDO_GID");
    let said = said(&mut command);
    if said.code == Some(99) {
        eprintln!("skipped: no overlay over an overlay can be mounted here: {said:?}");
        return;
    }
    let told =
        "container:rootless: rootfs: copy of the image for each instance: the kernel mounts no overlay";
    assert!(said.err.contains(&format!("warning: {told}")), "{said:?}");
    // The other is root's, with the same kernel: its attempts fail, and say at what.
    let rows = rows(&folder.path().join("out/attempts.csv"));
    let (copied, others): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row["backend"] == "container:rootless");
    assert!(copied.len() == 3 && copied.iter().all(|row| row["outcome"] == "ready"), "{rows:?}");
    assert!(others.iter().all(|row| row["error"].contains("make the root of a container")), "{rows:?}");
    assert!(configuration(folder.path()).contains("copy of the image for each instance"));
    let phases = std::fs::read_to_string(folder.path().join("out/phases.csv")).unwrap();
    assert_eq!(phases.lines().filter(|line| line.contains(",copy,")).count(), 3, "{phases}");
    assert_eq!(std::fs::read_to_string(folder.path().join("left")).unwrap(), "");
}

#[test]
fn an_ordinary_user_has_no_others() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(ORDINARY), Some(ORDINARY)).unwrap();
    // By its descriptor: the user may not search the folders above it.
    let program = std::fs::File::open(env!("CARGO_BIN_EXE_bench")).unwrap();
    nix::fcntl::fcntl(&program, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(STORM).args(["--on", "container"]).uid(ORDINARY).gid(ORDINARY);
    command.current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", folder.path());
    let said = said(&mut command);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("note: container is container:rootless here"), "{said:?}");
    assert!(said.out.contains("container:rootless"), "{said:?}");
    assert_eq!(backends(folder.path()), ["container:rootless"; 3]);
    let configuration = configuration(folder.path());
    assert!(configuration.contains(&format!("user id {ORDINARY}, as this program")), "{configuration}");
}
