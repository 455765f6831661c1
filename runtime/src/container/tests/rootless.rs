//! Containers of an ordinary user: this test program again, under an id that nobody has.

use std::os::unix::process::CommandExt;
use std::process::Command;

use guest::{Plan, Workload};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::container::RootlessBackend;
use crate::image::Image;
use crate::patience::next;
use crate::watch::Watch;
use crate::{
    Backend, Error, Event, EventSink, Instance, InstanceName, LaunchSpec, Limits, Prepared, RunContext,
    Stamped,
};

/// An id without a name, and so without subordinate ones.
const NOBODYS_ID: u32 = 123_456;
const TOOLS: &str = "BENCH_TEST_ROOTFS";

#[test]
fn a_user_has_containers_too() {
    if !super::is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let rootfs = folder.path().join("rootfs");
    std::fs::create_dir(&rootfs).expect("made");
    super::copy_tools(&rootfs);
    let chown = Command::new("chown").args(["-R", &NOBODYS_ID.to_string()]).arg(folder.path()).status();
    assert!(chown.expect("chown").success());
    // By its descriptor: the user may not search the folders above it.
    let mut command = Command::new("/proc/self/exe");
    command.uid(NOBODYS_ID).gid(NOBODYS_ID);
    assert_passes(&mut command, "as_the_user", folder.path());
}

/// In a mount namespace in which the system has given the user further ids.
#[test]
fn a_user_with_subordinate_ids_has_them_inside() {
    if !super::is_root() {
        return;
    }
    if Command::new("newuidmap").output().is_err() || !std::path::Path::new("/etc/subuid").exists() {
        eprintln!("skipped: newuidmap(1) or subuid(5) is not on this host");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("rootfs")).expect("made");
    super::copy_tools(&folder.path().join("rootfs"));
    let script = "cd \"$0\" && printf 'them:x:%s:%s::/:/bin/sh\\n' $1 $1 >passwd && echo them:300000:65536 >subid && \
                  chown -R $1 . && mount --bind passwd /etc/passwd && mount --bind subid /etc/subuid && \
                  mount --bind subid /etc/subgid && cd / || exit 99; id=$1; shift; \
                  exec setpriv --reuid=$id --regid=$id --clear-groups \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(folder.path());
    // The test program by its descriptor, which this process holds open meanwhile.
    let own = std::fs::File::open("/proc/self/exe").expect("opened");
    rustix::io::fcntl_setfd(&own, rustix::io::FdFlags::empty()).expect("inherited");
    let program = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&own));
    command.args([&NOBODYS_ID.to_string(), &program]);
    assert_passes(&mut command, "as_the_user_with_ids", folder.path());
}

/// Has this test program, as `command` starts it, carry out another of these tests.
fn assert_passes(command: &mut Command, test: &str, folder: &std::path::Path) {
    let output = command
        .args(["--exact", &format!("container::tests::rootless::{test}"), "--ignored", "--nocapture"])
        .env(TOOLS, folder.join("rootfs"))
        .env("TMPDIR", folder)
        .current_dir("/")
        .output()
        .expect("run");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The part of the test above that is the user's.
#[test]
#[ignore = "run by a_user_with_subordinate_ids_has_them_inside, as another user"]
fn as_the_user_with_ids() {
    let Some(rootfs) = std::env::var_os(TOOLS) else { panic!("only for another test") };
    let prepared = prepare(rootfs.into());
    let maps = prepared.config()["id_maps"].clone();
    let expected = |first: u32| serde_json::json!([format!("0 {first} 1"), "1 300000 65535"]);
    assert_eq!(maps["users"], expected(NOBODYS_ID), "{maps}");
    assert_eq!(maps["groups"], expected(NOBODYS_ID), "{maps}");
    let (instance, lines) = told(prepared.as_ref(), "cat /proc/self/uid_map /proc/self/gid_map; id -u");
    let ours = format!("0 {NOBODYS_ID} 1");
    let others = "1 300000 65535";
    assert_eq!(lines, [ours.as_str(), others, ours.as_str(), others, "0"]);
    drop(instance);
}

fn prepare(rootfs: std::path::PathBuf) -> std::sync::Arc<dyn Prepared> {
    let context = RunContext {
        run_id: "test-rootless".into(),
        state_dir: std::env::temp_dir(),
        cache_dir: std::env::temp_dir(),
        watch: std::sync::Arc::new(Watch::start().expect("watch")),
        network: std::sync::Arc::default(),
    };
    let image = Image { rootfs: Some(rootfs), ..Image::builtin() };
    RootlessBackend.prepare(&context, &image).expect("prepared")
}

fn launch(
    prepared: &dyn Prepared,
    script: &str,
    limits: Limits,
) -> (Result<Box<dyn Instance>, Error>, UnboundedReceiver<Stamped>) {
    let name = InstanceName { storm: 0, index: 0 };
    let argv = vec!["/bin/sh".into(), "-c".into(), format!("PATH=/bin; {script}")];
    let plan = Plan::new(Workload::Command { argv });
    let (sender, events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan, limits };
    (prepared.launch(&spec, EventSink::new(name, sender)), events)
}

/// What `script` wrote, its blanks evened out.
fn told(prepared: &dyn Prepared, script: &str) -> (Box<dyn Instance>, Vec<String>) {
    let (instance, mut events) = launch(prepared, script, Limits::default());
    let instance = instance.expect("launched");
    let mut lines = Vec::new();
    loop {
        match next(&mut events).expect("an event").event {
            Event::Log(line) => lines.push(line.split_whitespace().collect::<Vec<_>>().join(" ")),
            Event::CommandExited(status) => break assert_eq!(status, 0, "{lines:?}"),
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    (instance, lines)
}

/// The part of the test above that is the user's.
#[test]
#[ignore = "run by a_user_has_containers_too, as another user"]
fn as_the_user() {
    let Some(rootfs) = std::env::var_os(TOOLS) else { panic!("only for a_user_has_containers_too") };
    let missing: Vec<_> =
        RootlessBackend.requirements().into_iter().filter(|one| one.state.is_err()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let prepared = prepare(rootfs.into());
    let config = prepared.config().to_string();
    assert!(config.contains("not delegated because"), "{config}");
    let script = "id -u; cat /proc/self/uid_map; hostname; ls /sys/class/net; ls -ln /bin/sh | cut -d' ' -f3; \
                  echo x > /new && cat /new; grep Seccomp: /proc/self/status; grep CapEff /proc/self/status";
    let (mut instance, lines) = told(prepared.as_ref(), script);
    let map = format!("0 {NOBODYS_ID} 1");
    let expected =
        ["0", &map, "test-rootless-s0-i0", "lo", "0", "x", "Seccomp: 2", "CapEff: 00000000000004eb"];
    assert_eq!(lines, expected);
    instance.stop().expect("stopped");
    // A limit that nobody holds is refused and not forgotten.
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let error = launch(prepared.as_ref(), "true", limits).0.err().expect("refused").to_string();
    assert!(error.contains("limits cannot be held here: not delegated"), "{error}");
    // Our own memory, which the child shared, is still ours to look at.
    assert!(std::fs::read_to_string("/proc/self/environ").is_ok());
}
