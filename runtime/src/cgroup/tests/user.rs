//! An ordinary user, with and without a part of the tree.

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::container::RootlessBackend;
use crate::image::Image;
use crate::patience::next;
use crate::watch::Watch;
use crate::{Backend, Event, EventSink, Exit, InstanceName, LaunchSpec, RunContext};

/// Set where this program runs as an ordinary user in a delegated group.
pub(super) const AS_USER: &str = "BENCH_TEST_AS_USER";
const USER: u32 = 1000;

#[test]
fn a_user_limits_what_was_delegated() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let Some(root) = hierarchies.v2.clone().filter(|_| hierarchies.mode() == Mode::V2) else {
            let why = Delegation::find(Path::new("/")).expect_err("v1 is not delegated").to_string();
            assert!(why.starts_with("not delegated because"), "{name}: {why}");
            continue;
        };
        // What systemd does for a scope with Delegate=yes.
        let slice = format!("bench-test-user-{}", std::process::id());
        let path = Path::new(&slice).join("user.scope");
        let limits = Limits { pids: Some(50), memory_bytes: Some(256 << 20), ..Limits::default() };
        let scope = Cgroup::create_at(&hierarchies, &path, &limits).expect("made");
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            std::os::unix::fs::chown(root.join(&path).join(file), Some(USER), Some(USER)).expect("given");
        }
        let mut command = Command::new(std::env::current_exe().expect("its path"));
        command.args(["--ignored", "--exact", "cgroup::tests::user::as_a_user", "--nocapture"]);
        command.env(AS_USER, "1").uid(USER).gid(USER).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = Inside::start(&scope, &mut command).output();
        assert!(said.contains("1 passed"), "{said}");
        // A group that is not the user's.
        let said = Command::new(std::env::current_exe().expect("its path"))
            .args(["--ignored", "--exact", "cgroup::tests::user::as_a_user", "--nocapture"])
            .env(AS_USER, "1")
            .uid(USER)
            .gid(USER)
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("is not writable"), "{said}");
        drop(scope);
        std::fs::remove_dir(root.join(slice)).expect("empty");
    }
}

#[test]
#[ignore = "a part of the one above"]
fn as_a_user() {
    if std::env::var_os(AS_USER).is_none() {
        return;
    }
    let found = Delegation::find(Path::new("/")).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(found.controllers(), ["memory", "pids"]);
    let hierarchies = found.claim().expect("claimed");
    let limits = Limits { pids: Some(3), memory_bytes: Some(16 << 20), ..Limits::default() };
    let mut cgroup = Cgroup::create(&hierarchies, "run", "instance", &limits).expect("made");
    let said = Inside::shell(&cgroup, "sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo all").output();
    assert!(!said.contains("all"), "{said}");
    let mut victim = Inside::workload(&cgroup, Workload::Memory { bytes: 64 << 20 });
    // Of three processes two are sleeping, so the workload is the third.
    assert!(!victim.0.wait().expect("ended").success());
    assert_eq!(cgroup.statistics().expect("readable").memory.expect("counted").oom_kills, 1);
    let cpu = Limits { cpus: Some(0.5), ..Limits::default() };
    let refused = Cgroup::create(&hierarchies, "run", "more", &cpu).expect_err("not given").to_string();
    assert!(refused.contains("\"cpu\""), "{refused}");
    cgroup.end().expect("ended");
    // A second look finds the same, from where this process is now.
    assert!(Delegation::find(Path::new("/")).and_then(Delegation::claim).is_ok());
    rootless_containers_keep_to_their_limit();
}

/// The backend as a whole: what a container without root may have is held by a group of the user's own.
fn rootless_containers_keep_to_their_limit() {
    let context = RunContext {
        run_id: "rootless".into(),
        state_dir: std::env::temp_dir(),
        cache_dir: std::env::temp_dir(),
        watch: std::sync::Arc::new(Watch::start().expect("watch")),
        network: std::sync::Arc::default(),
    };
    let prepared = RootlessBackend.prepare(&context, &Image::builtin()).expect("prepared");
    let config = prepared.config();
    assert_eq!(config["cgroup"], "v2", "{config}");
    let limits = Limits { pids: Some(8), memory_bytes: Some(24 << 20), ..Limits::default() };
    assert_eq!(prepared.cannot_hold(&limits), None);
    // Within the limit, and beyond it.
    for (index, bytes) in [(0, 8 << 20), (1, 64 << 20)] {
        let name = InstanceName { storm: 0, index };
        let (sender, mut events) = unbounded_channel();
        let plan = Plan::new(Workload::Memory { bytes });
        let spec = LaunchSpec { name: name.clone(), plan, limits: limits.clone() };
        let mut instance = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
        let became = loop {
            match next(&mut events).expect("an event").event {
                Event::Exited(exit) => break Some(exit),
                Event::Done(_) => break None,
                Event::Failed(error) => panic!("{error}"),
                _ => {}
            }
        };
        let killed = instance.statistics().expect("readable").memory.expect("counted").oom_kills;
        let expected = if index == 0 { (None, 0) } else { (Some(Exit::Signal(libc::SIGKILL)), 1) };
        assert_eq!((became, killed), expected, "{bytes} bytes");
        instance.stop().expect("stopped");
    }
}
