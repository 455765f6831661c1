use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::*;
use crate::cgroup::{TOP, end_folder};

/// A state root of the test's own and, for root, a cgroup that stands for a hierarchy's root, so
/// that no run of this host is near.
struct Place {
    folder: tempfile::TempDir,
    hierarchy: Option<PathBuf>,
}

impl Place {
    fn new(name: &str) -> Place {
        let hierarchy = rustix::process::geteuid().is_root().then(|| {
            let hierarchies = Hierarchies::of_host().expect("readable");
            let root = hierarchies.tracking().expect("a hierarchy").root;
            let path = root.join(format!("bench-test-{name}-{}", std::process::id()));
            fs::create_dir(&path).expect("a cgroup");
            path
        });
        Place { folder: tempfile::tempdir().expect("a folder"), hierarchy }
    }

    fn host(&self) -> Host {
        Host {
            root: self.folder.path().join("state"),
            hierarchies: self.hierarchy.iter().cloned().collect(),
            // Only in a namespace of the test's own: runs of this host have their folders elsewhere.
            has_interfaces: false,
            sees_all_processes: true,
        }
    }

    /// A sleeping process in the run's group; `None` without root.
    fn sleeper(&self, run_id: &str) -> Option<(Child, PathBuf)> {
        let Some(hierarchy) = &self.hierarchy else {
            eprintln!("skipped: making cgroups needs root");
            return None;
        };
        let run = hierarchy.join(TOP).join(run_id);
        fs::create_dir_all(run.join("s0-i0")).expect("a cgroup");
        let child = Command::new("sleep").arg("100").spawn().expect("sleep");
        fs::write(run.join("s0-i0/cgroup.procs"), child.id().to_string()).expect("moved");
        Some((child, run))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(path) = &self.hierarchy {
            end_folder(path).expect("removed");
        }
    }
}

/// What a run leaves that was killed: everything but the lock.
fn die(run: RunState) {
    let mut run = std::mem::ManuallyDrop::new(run);
    run._lock = File::open("/dev/null").expect("opened");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn a_living_run_is_untouched() {
    let place = Place::new("living");
    let run = RunState::create_on(place.host(), "a1").expect("created");
    assert_eq!((mode(run.dir()), mode(&place.host().root)), (0o700, 0o700));
    fs::write(run.dir().join("kept"), "x").expect("written");
    let sleeper = place.sleeper("a1");
    assert_eq!(place.host().clean().expect("clean"), Cleaned::default());
    assert!(run.dir().join("kept").exists());
    if let Some((mut child, group)) = sleeper {
        assert!(child.try_wait().expect("waited").is_none());
        drop(run);
        assert!(!child.wait().expect("ended").success());
        assert!(!group.exists());
    }
    assert!(!place.host().root.join("a1").exists());
}

#[test]
fn a_dead_run_is_removed() {
    let place = Place::new("dead");
    let run = RunState::create_on(place.host(), "b2").expect("created");
    let dir = run.dir().to_owned();
    fs::create_dir(dir.join("upper")).expect("made");
    die(run);
    let sleeper = place.sleeper("b2");
    let removed = place.host().clean().expect("cleaned").removed;
    assert!(!dir.exists());
    assert!(removed.contains(&format!("removed the folder {}", dir.display())), "{removed:?}");
    if let Some((mut child, group)) = sleeper {
        assert!(!child.wait().expect("ended").success());
        assert!(!group.exists());
        assert!(removed[0].starts_with("killed 1 process and removed the cgroup"), "{removed:?}");
    }
    assert_eq!(place.host().clean().expect("clean"), Cleaned::default());
}

#[test]
fn a_folder_others_may_enter_goes_with_its_run() {
    let place = Place::new("outside");
    let id = format!("o{}", std::process::id());
    let run = RunState::create_on(place.host(), &id).expect("created");
    let folder = OutsideFolder::make(run.dir(), &id).expect("made");
    let path = folder.path().to_owned();
    assert_eq!(mode(&path), 0o755);
    assert!(OutsideFolder::make(run.dir(), &id).is_err(), "it is there already");
    drop(folder);
    assert!(!path.exists());

    let folder = OutsideFolder::make(run.dir(), &id).expect("made again");
    fs::create_dir(path.join("deep")).expect("made");
    fs::write(path.join("deep/file"), "x").expect("written");
    std::mem::forget(folder);
    let copies = OutsideFolder::for_copies(run.dir(), place.folder.path(), &id, 0o711).expect("made");
    let copies_path = copies.path().to_owned();
    assert_eq!(mode(&copies_path), 0o711);
    std::mem::forget(copies);
    die(run);
    let removed = place.host().clean().expect("cleaned").removed;
    for path in [path, copies_path] {
        assert!(!path.exists());
        assert!(removed.contains(&format!("removed the folder {}", path.display())), "{removed:?}");
    }
    assert_eq!(place.host().clean().expect("clean"), Cleaned::default());
}

#[test]
fn a_stopped_child_that_holds_the_lock_of_a_dead_run_is_ended() {
    let place = Place::new("stopped");
    let run = RunState::create_on(place.host(), "stopped").expect("made");
    let dir = run.dir().to_owned();
    die(run);
    let held = File::open(dir.join("lock")).expect("opened");
    flock(&held, FlockOperation::LockExclusive).expect("locked");
    let mut child = Command::new("sleep").arg("100").stdin(held).spawn().expect("sleep");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    // Beyond the highest number a process can have (PID_MAX_LIMIT, linux/threads.h).
    fs::write(dir.join("lock"), "4194305").expect("written");
    let removed = place.host().clean().expect("cleaned").removed;
    assert!(!dir.exists(), "{removed:?}");
    let status = child.wait().expect("ended");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}

/// One that waits for a parent whose death it has missed.
#[test]
fn a_child_that_holds_the_lock_of_a_dead_run_for_long_is_ended() {
    let place = Place::new("waiting");
    let run = RunState::create_on(place.host(), "waiting").expect("made");
    let dir = run.dir().to_owned();
    die(run);
    let held = File::open(dir.join("lock")).expect("opened");
    flock(&held, FlockOperation::LockExclusive).expect("locked");
    let mut child = Command::new("sleep").arg("100").stdin(held).spawn().expect("sleep");
    // Who has only opened it is another that cleans.
    let opened = File::open(dir.join("lock")).expect("opened");
    let mut other = Command::new("sleep").arg("100").stdin(opened).spawn().expect("sleep");
    fs::write(dir.join("lock"), "4194305").expect("written");
    let removed = place.host().clean().expect("cleaned").removed;
    assert!(!dir.exists(), "{removed:?}");
    let status = child.wait().expect("ended");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    assert!(other.try_wait().expect("waited").is_none());
    other.kill().expect("killed");
    other.wait().expect("ended");
}

#[test]
fn a_group_without_a_run_is_removed() {
    let place = Place::new("stray");
    let Some((mut child, group)) = place.sleeper("c3") else { return };
    assert_eq!(place.host().clean().expect("clean").removed.len(), 1);
    assert!(!child.wait().expect("ended").success());
    assert!(!group.exists());
}

/// As where /run is another one: the group is seen and the folder is not.
#[test]
fn a_run_that_lives_with_its_folder_elsewhere_is_left_alone() {
    let (place, other) = (Place::new("elsewhere"), tempfile::tempdir().expect("a folder"));
    let run = RunState::create_on(Host { root: other.path().join("state"), ..place.host() }, "e1");
    let run = run.expect("created");
    let Some((mut child, group)) = place.sleeper("e1") else { return };
    let here = std::process::id();
    let cleaned = place.host().clean().expect("clean");
    assert_eq!(cleaned.removed, Vec::<String>::new());
    assert!(cleaned.left[0].starts_with(&format!("left the run e1 alone: its process {here} lives")));
    let lock = run.dir().join("lock");
    assert!(child.try_wait().expect("waited").is_none() && group.is_dir());
    // Nor where the folder was removed under it.
    fs::remove_file(&lock).expect("removed");
    assert_eq!(place.host().clean().expect("clean"), cleaned);

    let blind = Host { sees_all_processes: false, ..place.host() };
    let mut gone = std::mem::ManuallyDrop::new(run);
    let held = std::mem::replace(&mut gone._lock, File::open("/dev/null").expect("opened"));
    // As a child has it that executes nothing yet.
    fs::write(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held)), "4194305")
        .expect("written");
    let cleaned = blind.clean().expect("clean");
    assert_eq!((cleaned.removed.len(), cleaned.left.len()), (0, 1), "{cleaned:?}");
    assert!(cleaned.left[0].contains("PID namespace"), "{cleaned:?}");
    assert!(child.try_wait().expect("waited").is_none());
    assert_eq!(place.host().clean().expect("clean").removed.len(), 1);
    assert!(!child.wait().expect("ended").success() && !group.exists());
}

#[test]
fn interfaces_of_dead_runs_are_removed() {
    let place = Place::new("interfaces");
    // SAFETY: moves only this test's thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        eprintln!("skipped: a network namespace needs root");
        return;
    }
    let host = Host { has_interfaces: true, ..place.host() };
    let run = RunState::create_on(host.clone(), "dead").expect("created");
    std::mem::forget(crate::network::Bridge::create("dead").expect("made"));
    std::mem::forget(crate::network::Bridge::create("astray").expect("made"));
    let living = RunState::create_on(host.clone(), "living").expect("created");
    let bridge = crate::network::Bridge::create("living").expect("made");
    die(run);
    let removed = host.clean().expect("cleaned").removed;
    for name in ["bench-dead", "bench-astray"] {
        assert!(removed.contains(&format!("removed the interface {name}")), "{removed:?}");
    }
    assert_eq!(crate::network::runs().expect("listed"), ["living"]);
    drop(living);
    assert_eq!(crate::network::runs().expect("listed"), Vec::<String>::new());
    drop(bridge);
    assert_eq!(host.clean().expect("clean"), Cleaned::default());
}

#[test]
fn mounts_of_a_dead_run_go_and_what_was_mounted_stays() {
    let place = Place::new("mounts");
    let precious = place.folder.path().join("precious");
    fs::create_dir(&precious).expect("made");
    fs::write(precious.join("file"), "x").expect("written");
    let run = RunState::create_on(place.host(), "d4").expect("created");
    let target = run.dir().join("a b");
    fs::create_dir(&target).expect("made");
    if let Err(error) = rustix::mount::mount_bind(&precious, &target) {
        eprintln!("skipped: mounting is refused here: {error}");
        return;
    }
    die(run);
    let removed = place.host().clean().expect("cleaned").removed;
    assert_eq!(removed[0], format!("unmounted {}", target.display()));
    assert!(precious.join("file").exists() && !target.exists());
}

#[test]
fn a_state_root_open_to_others_is_refused() {
    let place = Place::new("open");
    let root = place.host().root;
    fs::create_dir(&root).expect("made");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("changed");
    for error in [RunState::create_on(place.host(), "e5").map(drop), place.host().clean().map(drop)] {
        assert!(error.expect_err("refused").to_string().contains("mode 0700"));
    }
}

#[test]
fn identifiers_stay_inside_the_root() {
    let place = Place::new("names");
    for name in ["", "..", "a/b", "UPPER", &"x".repeat(25)] {
        assert!(RunState::create_on(place.host(), name).is_err(), "{name:?}");
    }
    let _first = RunState::create_on(place.host(), "twice").expect("created");
    assert!(RunState::create_on(place.host(), "twice").is_err());
    assert!(place.host().root.join("twice").exists());
}
