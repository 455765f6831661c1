//! Containers of an ordinary user: this test program again, under an id that nobody has.

use std::os::unix::process::CommandExt;
use std::process::Command;

use guest::{Plan, Workload};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::container::RootlessBackend;
use crate::container::behalf::User;
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
                  mount --bind subid /etc/subgid && cd / || exit 99";
    assert_passes_behind(&format!("{script}; {AS_USER}"), "as_the_user_with_ids", folder.path());
}

/// Becomes the user `$1`, and the rest.
const AS_USER: &str = r#"id=$1; shift; exec setpriv --reuid=$id --regid=$id --clear-groups "$@""#;

/// An image over which no overlay can be: the kernel stacks two file systems and no third
/// (FILESYSTEM_MAX_STACK_DEPTH, linux/fs.h), and this one lies on an overlay over an overlay.
const STACKED: &str = r#"
cd "$0" && mkdir base && mount -t tmpfs -o mode=755 none base && cp -a rootfs base && cd base || exit 99
mkdir one two up1 work1 up2 work2 && chown -R "$OWNER" . || exit 99
mount -t overlay -o lowerdir=rootfs,upperdir=up1,workdir=work1 none one || exit 99
mount -t overlay -o lowerdir=one,upperdir=up2,workdir=work2 none two || exit 99
export BENCH_TEST_ROOTFS="$PWD/two"
chown "$OWNER" "$0" && cd /"#;

#[test]
fn a_user_whose_kernel_refuses_the_overlay_gets_copies() {
    if !super::is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("rootfs")).expect("made");
    super::copy_tools(&folder.path().join("rootfs"));
    let script = format!("OWNER=$1; {STACKED}; {AS_USER}");
    assert_passes_behind(&script, "as_the_user_with_copies", folder.path());
}

/// The part of the test above that is the user's.
#[test]
#[ignore = "run by a_user_whose_kernel_refuses_the_overlay_gets_copies, as another user"]
fn as_the_user_with_copies() {
    let Some(rootfs) = std::env::var_os(TOOLS) else { panic!("only for another test") };
    assert_copies(rootfs.into(), &std::env::temp_dir(), "root's inside, all of them", NOBODYS_ID);
}

#[test]
fn root_makes_copies_for_the_user_where_it_must() {
    if User::of_root().is_none() {
        eprintln!("skipped: only root can start something for another user");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("rootfs")).expect("made");
    super::copy_tools(&folder.path().join("rootfs"));
    let script =
        format!(r#"OWNER=0; {STACKED}; mount -t tmpfs -o mode=1777 none /var/tmp; shift; exec "$@""#);
    assert_passes_behind(&script, "as_root_with_copies", folder.path());
}

/// The part of the test above that is in mounts of its own.
#[test]
#[ignore = "run by root_makes_copies_for_the_user_where_it_must, beside mounts"]
fn as_root_with_copies() {
    let Some(rootfs) = std::env::var_os(TOOLS) else { panic!("only for another test") };
    let user = User::of_root().expect("root");
    let parent = std::path::Path::new("/var/tmp");
    assert_copies(rootfs.into(), parent, "those of the image, as the ids are mapped", user.uid);
}

/// Each container has files of its own, which go with it, and what they are is told.
fn assert_copies(rootfs: std::path::PathBuf, parent: &std::path::Path, owners: &str, owner: u32) {
    use std::os::unix::fs::MetadataExt;
    let prepared = prepare(rootfs.clone());
    let config = prepared.config();
    let told_rootfs = config["rootfs"].as_str().expect("told");
    let expected = "copy of the image for each instance: the kernel mounts no overlay for a user here: ";
    assert!(told_rootfs.starts_with(expected), "{config}");
    assert_eq!(prepared.remark(), Some(format!("rootfs: {told_rootfs}")));
    assert!(config["owners"].as_str().is_some_and(|text| text.starts_with(owners)), "{config}");
    let copies = parent.join("bench-test-rootless-copies");
    let script = "id -u; ls -ln /bin/sh | cut -d' ' -f3; echo x >/new && cat /new; mount | grep -c ' / '";
    let (mut one, lines) = told(prepared.as_ref(), script);
    assert_eq!(lines, ["0", "0", "x", "1"]);
    let own = std::fs::metadata(copies.join("s0-i0")).expect("there");
    assert_eq!((own.uid(), own.mode() & 0o777), (owner, 0o700));
    assert!(copies.join("s0-i0/rootfs/new").exists() && !rootfs.join("new").exists());
    one.stop().expect("stopped");
    assert!(!copies.join("s0-i0").exists());
    let (another, lines) = told(prepared.as_ref(), "test -e /new || echo none");
    assert_eq!(lines, ["none"]);
    drop((another, prepared));
    assert!(!copies.exists());
}

/// Root's bench starts them as one of the user's would: what is seen of them inside and outside is the same.
#[test]
fn root_starts_them_as_the_user_would() {
    let Some(user) = User::of_root() else {
        eprintln!("skipped: only root can start something for another user");
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let rootfs = folder.path().join("rootfs");
    std::fs::create_dir(&rootfs).expect("made");
    super::copy_tools(&rootfs);
    // Root's own folder: the user may not search what is above the files.
    let prepared = prepare(rootfs);
    let config = prepared.config();
    assert_eq!(config["user"], user.described());
    assert!(config["cgroup"].as_str().is_some_and(|text| text.contains("not delegated because")), "{config}");
    let by_root = facts(prepared.as_ref());
    let chown = Command::new("chown").args(["-R", &format!("{0}:{0}", user.uid)]).arg(folder.path()).status();
    assert!(chown.expect("chown").success());
    let mut command = Command::new("/proc/self/exe");
    command.uid(user.uid).gid(user.gid);
    let said = assert_passes(&mut command, "as_the_user_of_root", folder.path());
    let by_user: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(FACT)).collect();
    assert_eq!(by_root, by_user);
    // And it is not that both are root's.
    let ids = format!("Uid: {0} {0} {0} {0}", user.uid);
    assert!(by_root.contains(&ids) && by_root.contains(&format!("owner {}", user.uid)), "{by_root:?}");

    // A limit that nobody holds is refused here too.
    let limits = Limits { pids: Some(10), ..Limits::default() };
    let error = launch(prepared.as_ref(), "true", limits).0.err().expect("refused").to_string();
    assert!(error.contains("limits cannot be held here: not delegated"), "{error}");
}

/// The part of the test above that is the user's.
#[test]
#[ignore = "run by root_starts_them_as_the_user_would, as another user"]
fn as_the_user_of_root() {
    let Some(rootfs) = std::env::var_os(TOOLS) else { panic!("only for another test") };
    println!();
    for fact in facts(prepare(rootfs.into()).as_ref()) {
        println!("{FACT}{fact}");
    }
}

const FACT: &str = "fact: ";

/// What a container sees of itself, and what is seen of its first process outside.
fn facts(prepared: &dyn Prepared) -> Vec<String> {
    let script = "id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; ls -ln /bin/sh | cut -d' ' -f1-4; \
                  echo x > /new; ls -ln /new | cut -d' ' -f1-4; grep -E 'Cap|Seccomp:|NoNew' /proc/self/status; \
                  ulimit -n; cat /proc/self/oom_score_adj";
    let (told, mut facts) = told(prepared, script);
    drop(told);
    // One that stays while it is looked at.
    let name = InstanceName { storm: 0, index: 1 };
    let (sender, mut events) = unbounded_channel();
    let plan = Plan::new(Workload::Ready);
    let spec = LaunchSpec { name: name.clone(), plan, limits: Limits::default() };
    let instance = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
    while next(&mut events).expect("an event").event != Event::Ready {}
    let pid = instance.root_pid().expect("running");
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("readable");
    let even = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = ["Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:"];
    let status = read("status");
    facts.extend(status.lines().filter(|line| wanted.iter().any(|one| line.starts_with(one))).map(even));
    facts.extend(["uid_map", "gid_map", "setgroups", "oom_score_adj"].map(|name| even(&read(name))));
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/user")).expect("opened");
    let mut owner: libc::uid_t = 0;
    // SAFETY: NS_GET_OWNER_UID (ioctl_nsfs(2)) writes one number.
    let asked = unsafe {
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&namespace), libc::NS_GET_OWNER_UID, &raw mut owner)
    };
    assert_eq!(asked, 0);
    facts.push(format!("owner {owner}"));
    facts
}

/// The same behind a `script` in a mount namespace, which is given `folder`, an id and what to execute.
fn assert_passes_behind(script: &str, test: &str, folder: &std::path::Path) {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(folder);
    // The test program by its descriptor, which this process holds open meanwhile.
    let own = std::fs::File::open("/proc/self/exe").expect("opened");
    rustix::io::fcntl_setfd(&own, rustix::io::FdFlags::empty()).expect("inherited");
    let program = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&own));
    command.args([&NOBODYS_ID.to_string(), &program]);
    assert_passes(&mut command, test, folder);
}

/// Has this test program, as `command` starts it, carry out another of these tests; gives what it said.
fn assert_passes(command: &mut Command, test: &str, folder: &std::path::Path) -> String {
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
    text
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
    // The control of those with copies.
    assert!(config.contains("overlay: image below") && prepared.remark().is_none(), "{config}");
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
