//! The backend as a run uses it.

use std::sync::Arc;

use crate::cgroup::Hierarchies;
use crate::container::ContainerBackend;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::network::{Kind, Network};
use crate::patience::next;
use crate::watch::Watch;
use crate::{Backend, Instance, LaunchSpec, RunContext, Workload};
use crate::{Exit, InstanceName, Limits, Stamped};
use guest::Plan;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct Launched {
    instance: Option<Box<dyn Instance>>,
    events: UnboundedReceiver<Stamped>,
    watch: Arc<Watch>,
    run: String,
    _image: tempfile::TempDir,
}

fn launch(run: &str, workload: Workload, limits: Limits) -> Option<Launched> {
    launch_on(Kind::default(), run, workload, limits)
}

fn launch_on(network: Kind, run: &str, workload: Workload, limits: Limits) -> Option<Launched> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: containers with mapped ids need root");
        return None;
    }
    let watch = Arc::new(Watch::start().expect("watch"));
    let context = RunContext {
        run_id: format!("test-{run}-{}", std::process::id()),
        state_dir: std::env::temp_dir(),
        cache_dir: std::env::temp_dir(),
        watch: watch.clone(),
        network: Arc::new(Network::new(network, run)),
    };
    let mut image = Image::builtin();
    let folder = tempfile::tempdir().expect("folder");
    if matches!(workload, Workload::Command { .. }) {
        super::copy_tools(folder.path());
        image.rootfs = Some(folder.path().into());
    }
    let prepared = ContainerBackend.prepare(&context, &image).expect("prepared");
    let name = InstanceName { storm: 0, index: 0 };
    let (sender, events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan: Plan::new(workload), limits };
    let instance = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
    Some(Launched { instance: Some(instance), events, watch, run: context.run_id, _image: folder })
}

impl Launched {
    fn until<T>(&mut self, mut wanted: impl FnMut(&Stamped) -> Option<T>) -> T {
        loop {
            let stamped = next(&mut self.events).expect("an event");
            if let Some(found) = wanted(&stamped) {
                return found;
            }
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        drop(self.instance.take());
        let hierarchies = Hierarchies::of_host().expect("readable");
        for run in hierarchies.roots().iter().map(|root| root.join(crate::cgroup::TOP).join(&self.run)) {
            let left: Vec<_> = std::fs::read_dir(&run).into_iter().flatten().flatten().collect();
            let left: Vec<_> = left.iter().filter(|entry| entry.path().is_dir()).collect();
            assert!(left.is_empty(), "left behind: {left:?}");
            crate::cgroup::end_folder(&run).expect("removed");
        }
    }
}

fn output(run: &str, script: &str) -> Option<Vec<String>> {
    let argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
    let mut launched = launch(run, Workload::Command { argv }, Limits::default())?;
    let mut lines = Vec::new();
    launched.until(|stamped| match &stamped.event {
        Event::Log(line) => {
            lines.push(line.clone());
            None
        }
        Event::CommandExited(_) => Some(()),
        Event::Failed(error) => panic!("{error}"),
        _ => None,
    });
    Some(lines)
}

#[test]
fn it_becomes_ready_and_nothing_is_left() {
    let Some(mut launched) = launch("ready", Workload::Ready, Limits::default()) else { return };
    let mut phases = Vec::new();
    launched.until(|stamped| match stamped.event {
        Event::Mark(phase) => {
            phases.push((stamped.at_ns, phase));
            None
        }
        Event::Ready => Some(()),
        _ => None,
    });
    assert!(phases.is_sorted(), "{phases:?}");
    assert_eq!(phases.last().map(|phase| phase.1), Some("exec"));
    let mut instance = launched.instance.take().expect("instance");
    instance.stop().expect("stopped");
    launched.until(|stamped| (stamped.event == Event::Exited(Exit::Signal(libc::SIGKILL))).then_some(()));
}

#[test]
fn the_inside_is_another_world() {
    let script = "export PATH=/bin; echo $$; hostname; cat /proc/self/uid_map; ls /proc | grep -c '^[0-9]'; ls /sys/class/net; \
                  grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; cat /proc/self/cgroup | cut -d: -f3 | sort -u; \
                  ls /proc/self/fd | wc -l; (echo x > /proc/sys/kernel/hostname) 2>&1 | grep -c 'ead-only'; grep Seccomp: /proc/self/status; wc -c < /proc/timer_list";
    let Some(lines) = output("inside", script) else { return };
    let line =
        |number: usize| lines.get(number).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    // The shell is the guest's child: PID 2 or little more.
    assert!(line(0).and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| pid < 10), "{lines:?}");
    assert!(line(1).is_some_and(|name| name.starts_with("test-inside-")), "{lines:?}");
    assert_eq!(line(2), Some("0 1000000000 65536".to_owned()), "{lines:?}");
    assert!(line(3).and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count < 10), "{lines:?}");
    assert_eq!(line(4).as_deref(), Some("lo"), "{lines:?}");
    assert_eq!(line(5).as_deref(), Some("CapEff: 00000000000004eb"), "{lines:?}");
    assert_eq!(line(6).as_deref(), Some("NoNewPrivs: 1"), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("\t2")), "no filter: {lines:?}");
    assert_eq!(lines.last().map(|line| line.trim()), Some("0"), "{lines:?}");
}

/// CVE-2019-5736: an entrypoint that has the kernel execute what runs it, and a program that writes to
/// that. What is there is a sealed file in memory, the host's programs are nowhere.
#[test]
fn the_file_of_what_runs_inside_cannot_be_written() {
    let own = super::hostile::digest("/proc/self/exe");
    let argv = vec!["/entry".into()];
    let Some(mut entered) = launch("entry", Workload::Command { argv }, Limits::default()) else { return };
    // It is the guest program once more, which by that name finds nobody to speak with.
    let status = entered.until(|stamped| match stamped.event {
        Event::CommandExited(status) => Some(status),
        _ => None,
    });
    assert_eq!(status, 2);
    drop(entered);
    let script = "export PATH=/bin; (: > /proc/1/exe) 2>&1; (: >> /proc/1/exe) 2>&1; (exec 3<>/proc/1/exe) 2>&1; \
                  readlink /proc/1/exe; ls -iL /proc/1/exe";
    let Some(lines) = output("sealed", script) else { return };
    let program = crate::guest_program().expect("sealed");
    let inode = rustix::fs::fstat(program).expect("there").st_ino;
    let refused = |line: &&String| line.contains("Text file busy") || line.contains("Permission denied");
    assert_eq!(lines.iter().filter(refused).count(), 3, "{lines:?}");
    assert!(lines.contains(&"/memfd:guest (deleted)".into()), "{lines:?}");
    assert!(lines.iter().any(|line| line.trim().starts_with(&format!("{inode} "))), "{inode}: {lines:?}");
    // Also once nobody executes it any more.
    use rustix::fs::SealFlags;
    let sealed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    assert!(rustix::fs::fcntl_get_seals(program).expect("seals").contains(sealed));
    assert_eq!(super::hostile::digest("/proc/self/exe"), own);
}

#[test]
fn it_serves_over_the_inherited_socket() {
    let Some(mut launched) = launch("http", Workload::Http, Limits::default()) else { return };
    let port = launched.until(|stamped| match stamped.event {
        Event::Listening(port) => Some(port),
        _ => None,
    });
    let address = launched.instance.as_ref().and_then(|instance| instance.service(port)).expect("address");
    let (sender, mut served) = unbounded_channel();
    launched
        .watch
        .request(address, EventSink::new(InstanceName { storm: 0, index: 0 }, sender))
        .expect("asked");
    assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving));
}

#[test]
fn it_serves_at_an_address_of_its_own() {
    if !crate::network::tests::host() {
        return;
    }
    let Some(mut launched) = launch_on(Kind::Bridge, "bridged", Workload::Http, Limits::default()) else {
        return;
    };
    let mut phases = Vec::new();
    let port = launched.until(|stamped| match stamped.event {
        Event::Mark(phase) => {
            phases.push(phase);
            None
        }
        Event::Listening(port) => Some(port),
        _ => None,
    });
    assert!(phases.contains(&"network"), "{phases:?}");
    let address = launched.instance.as_ref().and_then(|instance| instance.service(port)).expect("address");
    assert!(port == 80 && !address.ip().is_loopback(), "{address}");
    let (sender, mut served) = unbounded_channel();
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    launched.watch.request(address, sink).expect("asked");
    assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving));
}

#[test]
fn without_a_network_it_has_not_even_a_loopback() {
    let argv = vec!["/bin/cat".into(), "/sys/class/net/lo/flags".into()];
    let flags = |kind| {
        let mut launched =
            launch_on(kind, "netless", Workload::Command { argv: argv.clone() }, Limits::default())?;
        Some(launched.until(|stamped| match &stamped.event {
            Event::Log(line) => Some(line.clone()),
            Event::Failed(error) => panic!("{error}"),
            _ => None,
        }))
    };
    // IFF_LOOPBACK, and IFF_UP where there is a network (netdevice(7)).
    let Some(none) = flags(Kind::None) else { return };
    assert_eq!((none.as_str(), flags(Kind::Loopback).as_deref()), ("0x8", Some("0x9")));
}

#[test]
fn memory_beyond_the_limit_ends_the_instance_only() {
    let limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    let Some(mut launched) = launch("oom", Workload::Memory { bytes: 256 << 20 }, limits) else { return };
    let exit = launched.until(|stamped| match stamped.event {
        Event::Exited(exit) => Some(exit),
        Event::Done(_) => panic!("it touched more than its limit"),
        _ => None,
    });
    assert_eq!(exit, Exit::Signal(libc::SIGKILL));
}

#[test]
fn stop_tells_an_end_that_came_before() {
    let argv = vec!["/bin/sh".into(), "-c".into(), "exit 5".into()];
    let Some(mut launched) = launch("exit", Workload::Command { argv }, Limits::default()) else { return };
    let exit = launched.until(|stamped| match stamped.event {
        Event::Exited(exit) => Some(exit),
        _ => None,
    });
    assert_eq!(exit, Exit::Code(5));
    let told = launched.instance.as_mut().expect("instance").stop().expect("stopped");
    // Kernels before 6.15 forget it once the stamper has reaped.
    assert!([Exit::Code(5), Exit::Signal(libc::SIGKILL)].contains(&told), "{told:?}");
    if std::path::Path::new("/proc/self/timens_offsets").exists() && release() >= (6, 15) {
        assert_eq!(told, Exit::Code(5));
    }
}

fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("read");
    let mut numbers =
        text.split(|sign: char| !sign.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[test]
fn memory_and_pause_concern_all_of_its_processes() {
    let script = "export PATH=/bin; sleep 100 & sleep 100 & while :; do echo tick; sleep 0.01; done";
    let argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
    let Some(mut launched) = launch("whole", Workload::Command { argv }, Limits::default()) else { return };
    let tick = |stamped: &Stamped| (stamped.event == Event::Log("tick".into())).then_some(());
    launched.until(tick);
    let mut instance = launched.instance.take().expect("instance");
    let init = crate::footprint::of_process(init_of(&*instance)).expect("init");
    let all = instance.memory().expect("memory");
    assert!(all.private_bytes > init.private_bytes && all.virtual_bytes > init.virtual_bytes, "{all:?}");
    instance.pause().expect("paused");
    std::thread::sleep(std::time::Duration::from_millis(50));
    while launched.events.try_recv().is_ok() {}
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert!(launched.events.try_recv().is_err(), "it went on while paused");
    instance.resume().expect("resumed");
    launched.until(tick);
    instance.pause().expect("paused");
    // A paused one ends too.
    assert_eq!(instance.stop().expect("stopped"), Exit::Signal(libc::SIGKILL));
}

/// The guest is the one of this process's children in a group of the test that has no sibling before it.
fn init_of(_instance: &dyn Instance) -> i32 {
    let own = std::process::id();
    let children =
        std::fs::read_dir(format!("/proc/{own}/task")).expect("tasks").flatten().flat_map(|task| {
            let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
        });
    let is_guest = |pid: &i32| {
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup.contains(&format!("test-whole-{own}"))
    };
    children.into_iter().find(is_guest).expect("the guest")
}
