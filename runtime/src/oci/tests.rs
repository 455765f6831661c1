//! Real runtimes where they are installed, and scripts in the place of one that misbehaves: these
//! tests need root.

use std::os::unix::fs::PermissionsExt;

use guest::Plan;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::patience::{PATIENCE, http, next};
use crate::{InstanceName, Stamped};

/// A run with one runtime; what is left of it at its end fails the test.
struct Stand {
    prepared: Option<Arc<dyn Prepared>>,
    run: String,
    _folders: Vec<tempfile::TempDir>,
}

impl Stand {
    /// `None` where it cannot be.
    fn new(test: &str, name: &str, path: Option<PathBuf>, image: &Image) -> Option<Stand> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: OCI runtimes with mapped ids need root");
            return None;
        }
        let backend = OciBackend::new(name, path);
        if let Err(why) = &backend.requirements()[0].state {
            eprintln!("skipped: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let run = format!("t-{test}-{}", std::process::id());
        let context = RunContext {
            run_id: run.clone(),
            state_dir: folder.path().join(&run),
            cache_dir: folder.path().into(),
            watch: Arc::new(Watch::start().expect("watch")),
            network: Arc::default(),
        };
        let prepared = Some(backend.prepare(&context, image).expect("prepared"));
        Some(Stand { prepared, run, _folders: vec![folder] })
    }

    fn with_script(test: &str, script: &str) -> Option<Stand> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("fake");
        let text = format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo fake 1; exit; }}\n{script}\n");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
        let mut stand = Stand::new(test, "fake", Some(path), &Image::builtin())?;
        stand._folders.push(folder);
        Some(stand)
    }

    fn launch(&self, plan: Plan, limits: Limits) -> (Box<dyn Instance>, UnboundedReceiver<Stamped>) {
        let name = InstanceName { storm: 0, index: 0 };
        let (sender, events) = unbounded_channel();
        let spec = LaunchSpec { name: name.clone(), plan, limits };
        let prepared = self.prepared.as_ref().expect("prepared");
        (prepared.launch(&spec, EventSink::new(name, sender)).expect("launched"), events)
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let roots = Hierarchies::of_host().expect("readable");
        roots.roots().into_iter().map(|root| root.join(TOP).join(&self.run)).collect()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        drop(self.prepared.take());
        for group in self.cgroups() {
            let left: Vec<_> = fs::read_dir(&group).into_iter().flatten().flatten().collect();
            let left: Vec<_> = left.iter().filter(|entry| entry.path().is_dir()).collect();
            assert!(left.is_empty() || std::thread::panicking(), "left behind: {left:?}");
            crate::cgroup::end_folder(&group).expect("removed");
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!mounts.contains(&self.run), "the host sees mounts of the run");
    }
}

fn until<T>(events: &mut UnboundedReceiver<Stamped>, mut wanted: impl FnMut(&Stamped) -> Option<T>) -> T {
    let mut seen = Vec::new();
    loop {
        let Some(stamped) = next(events) else { panic!("no more events after {seen:?}") };
        if let Some(found) = wanted(&stamped) {
            return found;
        }
        if matches!(stamped.event, Event::Exited(_)) {
            panic!("{stamped:?} after {seen:?}");
        }
        seen.push(stamped);
    }
}

fn ready(stamped: &Stamped) -> Option<Option<u64>> {
    (stamped.event == Event::Ready).then_some(stamped.stamping_delay_ns)
}

fn a_container_starts_and_ends(name: &str) {
    let Some(stand) = Stand::new(name, name, None, &Image::builtin()) else { return };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Ready), Limits::default());
    let delay_ns = until(&mut events, ready);
    // Only a clock that is the host's tells how late we are.
    assert_eq!(delay_ns.is_some(), name != "runsc", "{delay_ns:?}");
    assert!(instance.memory().expect("memory").rss_bytes.expect("rss") > 100_000);
    match instance.pause() {
        Err(Error::Missing { .. }) if name == "bwrap" => {}
        paused => {
            paused.expect("paused");
            instance.resume().expect("resumed");
        }
    }
    instance.stop().expect("stopped, and nothing left");
}

fn http_is_served(name: &str) {
    let test = format!("http-{name}");
    let Some(stand) = Stand::new(&test, name, None, &Image::builtin()) else { return };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Http), Limits::default());
    let port = until(&mut events, |stamped| match stamped.event {
        Event::Listening(port) => Some(port),
        _ => None,
    });
    let address = instance.service(port).expect("reachable");
    let answer = http(std::net::TcpStream::connect_timeout(&address, PATIENCE));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    instance.stop().expect("stopped, and nothing left");
}

#[test]
fn runc_starts_serves_and_leaves_nothing() {
    a_container_starts_and_ends("runc");
    http_is_served("runc");
}

#[test]
fn crun_starts_serves_and_leaves_nothing() {
    a_container_starts_and_ends("crun");
    http_is_served("crun");
}

#[test]
fn youki_starts_serves_and_leaves_nothing() {
    a_container_starts_and_ends("youki");
    http_is_served("youki");
}

#[test]
fn runsc_starts_serves_and_leaves_nothing() {
    a_container_starts_and_ends("runsc");
    http_is_served("runsc");
}

#[test]
fn bubblewrap_starts_serves_and_leaves_nothing() {
    a_container_starts_and_ends("bwrap");
    http_is_served("bwrap");
}

#[test]
fn an_images_files_belong_to_the_containers_root_and_stay_as_they_are() {
    let files = tempfile::tempdir().expect("folder");
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    fs::write(files.path().join("kept"), "as it was").expect("written");
    let image = Image { rootfs: Some(files.path().into()), ..Image::builtin() };
    let Some(stand) = Stand::new("image", "crun", None, &image) else { return };
    // The guest itself is the only program there.
    let argv = vec!["/.bench/guest".to_owned(), "fd:1".into()];
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Command { argv }), Limits::default());
    let code = until(&mut events, |stamped| match stamped.event {
        Event::CommandExited(code) => Some(code),
        _ => None,
    });
    // Started without a plan it says so and ends: it ran.
    assert_eq!(code, 2);
    instance.stop().expect("stopped, and nothing left");
    assert_eq!(fs::read_dir(files.path()).expect("listed").count(), 1, "the image was written to");
}

#[test]
fn limits_are_the_containers() {
    let Some(stand) = Stand::new("limits", "crun", None, &Image::builtin()) else { return };
    let limits =
        Limits { memory_bytes: Some(64 << 20), cpus: Some(0.5), pids: Some(20), ..Limits::default() };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Ready), limits);
    until(&mut events, ready);
    let files = ["memory.max", "memory.limit_in_bytes"];
    let said: Vec<String> = stand
        .cgroups()
        .iter()
        .flat_map(|group| files.map(|file| group.join("s0-i0").join(file)))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    assert_eq!(said, [format!("{}\n", 64 << 20)]);
    assert!(instance.memory().expect("memory").cgroup_bytes.expect("charged") > 0);
    instance.stop().expect("stopped, and nothing left");
}

#[test]
fn a_runtime_that_crashes_is_told_with_its_last_words() {
    let Some(stand) = Stand::with_script("crash", "echo the disk is on fire >&2; kill -SEGV $$") else {
        return;
    };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Ready), Limits::default());
    let mut said = Vec::new();
    let exit = until(&mut events, |stamped| match &stamped.event {
        Event::Exited(exit) => Some(*exit),
        Event::Log(line) => {
            said.push(line.clone());
            None
        }
        _ => None,
    });
    assert_eq!(exit, crate::Exit::Signal(libc::SIGSEGV));
    assert_eq!(said, ["fake: the disk is on fire"]);
    instance.stop().expect("nothing to remove");
}

#[test]
fn a_runtime_that_hangs_is_killed_with_its_children() {
    let script = "case \"$*\" in *' run '*) sleep 1001 & echo child $!; wait;; *) exit 1;; esac";
    let Some(stand) = Stand::with_script("hang", script) else { return };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Ready), Limits::default());
    let child: i32 = until(&mut events, |stamped| match &stamped.event {
        Event::Log(line) => line.strip_prefix("fake: child ")?.parse().ok(),
        _ => None,
    });
    let error = instance.stop().expect_err("it had to be killed").to_string();
    assert!(error.contains("had to be killed"), "{error}");
    // Killed is not gone: it may take its time to die.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "its child lives: {state}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn garbage_is_not_taken_for_the_guest() {
    let forged = String::from_utf8(guest::Message::Ready { clock_ns: None }.encode()).expect("text");
    let script = format!("printf '%s' '{forged}'; head -c 3000000 /dev/urandom; exit 5");
    let Some(stand) = Stand::with_script("garbage", &script) else { return };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Ready), Limits::default());
    let mut bytes = 0;
    let exit = until(&mut events, |stamped| match &stamped.event {
        Event::Exited(exit) => Some(*exit),
        Event::Ready => panic!("a runtime's output was believed"),
        Event::Log(line) => {
            bytes += line.len();
            None
        }
        _ => None,
    });
    assert_eq!(exit, crate::Exit::Code(5));
    assert!(bytes > 1000, "{bytes}");
    instance.stop().expect("nothing to remove");
}

#[test]
fn a_cgroup_left_behind_is_removed_and_said() {
    let script = r#"while [ $# -gt 0 ]; do [ "$1" = --bundle ] && bundle=$2; shift; done
        [ -n "$bundle" ] || exit 0
        path=$(sed 's/.*"cgroupsPath":"\([^"]*\)".*/\1/' "$bundle/config.json")
        root=$(grep -m1 ' - cgroup ' /proc/self/mountinfo | cut -d' ' -f5)
        [ -n "$root" ] || root=/sys/fs/cgroup
        mkdir -p "$root$path" && echo made"#;
    let Some(stand) = Stand::with_script("left", script) else { return };
    let (mut instance, mut events) = stand.launch(Plan::new(Workload::Ready), Limits::default());
    until(&mut events, |stamped| {
        matches!(&stamped.event, Event::Log(line) if line == "fake: made").then_some(())
    });
    let error = instance.stop().expect_err("it left something").to_string();
    assert!(error.contains("cgroup") && error.contains("left behind and removed"), "{error}");
}

#[test]
fn a_runtime_that_is_missing_or_broken_is_a_requirement_with_its_fix() {
    let missing = OciBackend::new("runc", Some("/nowhere/runc".into())).requirements().remove(0);
    assert!(missing.state.expect_err("missing").contains("/nowhere/runc"));
    assert!(missing.fix.expect("a fix").contains("--runtime"));
    let broken = OciBackend::new("x", Some("/bin/false".into())).requirements().remove(0);
    assert!(broken.state.expect_err("broken").contains("exit status 1"));
}
