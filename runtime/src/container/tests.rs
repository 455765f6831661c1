//! Real namespaces: these tests need root.

use super::*;
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
    };
    let mut image = Image::builtin();
    let folder = tempfile::tempdir().expect("folder");
    if matches!(workload, Workload::Command { .. }) {
        copy_tools(folder.path());
        image.rootfs = Some(folder.path().into());
    }
    let prepared = ContainerBackend.prepare(&context, &image).expect("prepared");
    let name = InstanceName { storm: 0, index: 0 };
    let (sender, events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan: Plan::new(workload), limits };
    let instance = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
    Some(Launched { instance: Some(instance), events, watch, run: context.run_id, _image: folder })
}

/// A shell, a few tools and the libraries they need, taken from the host.
fn copy_tools(root: &std::path::Path) {
    let script = r#"for tool in sh cat grep ls wc sort cut hostname; do
        path=$(readlink -f "$(command -v $tool)"); mkdir -p "$0/bin"; cp "$path" "$0/bin/$tool"
        for library in $(ldd "$path" | grep -o '/[^ ]*'); do mkdir -p "$0$(dirname $library)"; cp -L "$library" "$0$library"; done
    done; chmod 755 "$0""#;
    let status = std::process::Command::new("/bin/sh").args(["-c", script]).arg(root).status().expect("sh");
    assert!(status.success());
}

impl Launched {
    fn until<T>(&mut self, mut wanted: impl FnMut(&Stamped) -> Option<T>) -> T {
        loop {
            let stamped = self.events.blocking_recv().expect("an event");
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
                  ls /proc/self/fd | wc -l; (echo x > /proc/sys/kernel/hostname) 2>&1 | grep -c 'ead-only'; wc -c < /proc/timer_list";
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
    assert_eq!(lines.last().map(|line| line.trim()), Some("0"), "{lines:?}");
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
    assert_eq!(served.blocking_recv().map(|stamped| stamped.event), Some(Event::Serving));
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
