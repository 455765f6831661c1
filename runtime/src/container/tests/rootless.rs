//! Containers of an ordinary user: this test program again, under an id that nobody has.

use std::os::unix::process::CommandExt;
use std::process::Command;

use guest::{Plan, Workload};
use tokio::sync::mpsc::unbounded_channel;

use crate::container::RootlessBackend;
use crate::image::Image;
use crate::watch::Watch;
use crate::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits, RunContext};

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
    let output = Command::new("/proc/self/exe")
        .args(["--exact", "container::tests::rootless::as_the_user", "--ignored", "--nocapture"])
        .env(TOOLS, &rootfs)
        .env("TMPDIR", folder.path())
        .current_dir("/")
        .uid(NOBODYS_ID)
        .gid(NOBODYS_ID)
        .output()
        .expect("run");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The part of the test above that is the user's.
#[test]
#[ignore = "run by a_user_has_containers_too, as another user"]
fn as_the_user() {
    let Some(rootfs) = std::env::var_os(TOOLS) else { panic!("only for a_user_has_containers_too") };
    let missing: Vec<_> =
        RootlessBackend.requirements().into_iter().filter(|one| one.state.is_err()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let context = RunContext {
        run_id: "test-rootless".into(),
        state_dir: std::env::temp_dir(),
        cache_dir: std::env::temp_dir(),
        watch: std::sync::Arc::new(Watch::start().expect("watch")),
        network: std::sync::Arc::default(),
    };
    let mut image = Image::builtin();
    image.rootfs = Some(rootfs.into());
    let prepared = RootlessBackend.prepare(&context, &image).expect("prepared");
    let config = prepared.config().to_string();
    assert!(config.contains("not delegated because"), "{config}");
    let name = InstanceName { storm: 0, index: 0 };
    let launch = |limits: Limits| {
        let script = "id -u; cat /proc/self/uid_map; hostname; ls /sys/class/net; ls -ln /bin/sh | cut -d' ' -f3; \
                      echo x > /new && cat /new; grep Seccomp: /proc/self/status; grep CapEff /proc/self/status";
        let argv = vec!["/bin/sh".into(), "-c".into(), format!("PATH=/bin; {script}")];
        let plan = Plan::new(Workload::Command { argv });
        let (sender, events) = unbounded_channel();
        let spec = LaunchSpec { name: name.clone(), plan, limits };
        (prepared.launch(&spec, EventSink::new(name.clone(), sender)), events)
    };
    let (instance, mut events) = launch(Limits::default());
    let mut instance = instance.expect("launched");
    let mut lines = Vec::new();
    loop {
        match events.blocking_recv().expect("an event").event {
            Event::Log(line) => lines.push(line.split_whitespace().collect::<Vec<_>>().join(" ")),
            Event::CommandExited(status) => break assert_eq!(status, 0, "{lines:?}"),
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    let map = format!("0 {NOBODYS_ID} 1");
    let expected =
        ["0", &map, "test-rootless-s0-i0", "lo", "0", "x", "Seccomp: 2", "CapEff: 00000000000004eb"];
    assert_eq!(lines, expected);
    instance.stop().expect("stopped");
    // A limit that nobody holds is refused and not forgotten.
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let error = launch(limits).0.err().expect("refused").to_string();
    assert!(error.contains("limits cannot be held here: not delegated"), "{error}");
    // Our own memory, which the child shared, is still ours to look at.
    assert!(std::fs::read_to_string("/proc/self/environ").is_ok());
}
