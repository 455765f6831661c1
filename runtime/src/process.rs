//! The `process` backend: plain fork and exec, the price of isolating nothing.

use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::spawn::{Program, spawn};
use crate::watch::{Source, Watch};
use crate::{
    Backend, Error, Exit, Footprint, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, scratch,
};

/// How long a killed process may take to go.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// `process`.
pub struct ProcessBackend;

impl Backend for ProcessBackend {
    fn id(&self) -> String {
        "process".into()
    }

    fn description(&self) -> &'static str {
        "plain fork and exec: the floor, the price of isolating nothing"
    }

    fn requirements(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        crate::guest_program()?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.map_err(Error::system("open /dev/null"))?.into();
        let scratch = context.cache_dir.clone();
        Ok(Arc::new(PreparedProcess {
            watch: context.watch.clone(),
            null,
            scratch,
            image: image.digest.clone(),
        }))
    }
}

struct PreparedProcess {
    watch: Arc<Watch>,
    null: OwnedFd,
    scratch: PathBuf,
    image: String,
}

impl Prepared for PreparedProcess {
    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "backend": "process",
            "image": self.image,
            "start": "clone(CLONE_VM|CLONE_VFORK), setsid, PR_SET_PDEATHSIG, execveat of the sealed guest program",
            "network": "the host's own",
            "files": "the host's own: a bare process runs the guest program, not the image's files",
        })
    }

    fn cannot_hold(&self, limits: &Limits) -> Option<String> {
        let why = "a bare process cannot be limited: leave process out, or ask for no limits";
        // To account is not to limit: what a bare process uses is read from the process itself.
        let asked = Limits { account_memory: false, ..limits.clone() };
        (asked != Limits::default()).then(|| why.into())
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        if let Some(why) = self.cannot_hold(&spec.limits) {
            return Err(Error::Invalid(why));
        }
        events.send(now_ns(), Event::Mark("spawn"));
        let (inside, outside) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        let mut plan = spec.plan.clone();
        plan.inherited_file = plan.workload.writes_to_storage();
        let file = plan.inherited_file.then(|| scratch::open(&self.scratch)).transpose()?;
        let word = CString::new(plan.to_word()).map_err(|error| Error::Invalid(error.to_string()))?;
        let null = self.null.as_fd();
        let mut fds = vec![null, null, null, inside.as_fd()];
        fds.extend(file.as_ref().map(|file| file.as_fd()));
        let pidfd = spawn(&Program {
            file: crate::guest_program()?,
            argv: &[c"guest".into(), c"fd:3".into(), word],
            env: &[],
            fds: &fds,
            user: None,
            cgroup: None,
        })
        .map_err(Error::system("start the guest program"))?;
        drop(inside);
        // From here on the instance is owned: an error below drops and thereby ends it.
        let instance = Process { exit: None, pidfd };
        let watched = instance.pidfd.try_clone().map_err(Error::system("duplicate a pidfd"))?;
        self.watch
            .add(Source::Channel(outside.into()), events.clone())
            .and_then(|()| self.watch.add(Source::Exit(watched), events))
            .map_err(Error::system("watch a process"))?;
        Ok(Box::new(instance))
    }
}

struct Process {
    pidfd: OwnedFd,
    exit: Option<Exit>,
}

impl Process {
    fn pid(&self) -> Result<i32, Error> {
        crate::pidfd::pid(self.pidfd.as_fd())
    }
}

impl Instance for Process {
    fn service(&self, guest_port: u16) -> Option<SocketAddr> {
        Some((Ipv4Addr::LOCALHOST, guest_port).into())
    }

    fn root_pid(&self) -> Option<i32> {
        self.pid().ok()
    }

    fn memory(&self) -> Result<Footprint, Error> {
        crate::footprint::of_process(self.pid()?)
    }

    fn pause(&mut self) -> Result<(), Error> {
        crate::pidfd::signal(self.pidfd.as_fd(), Signal::STOP, "a process")
    }

    fn resume(&mut self) -> Result<(), Error> {
        crate::pidfd::signal(self.pidfd.as_fd(), Signal::CONT, "a process")
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let before = crate::pidfd::exit(self.pidfd.as_fd());
        crate::pidfd::end(self.pidfd.as_fd(), "a process", END_TIMEOUT)?;
        let exit = before.unwrap_or(Exit::Signal(libc::SIGKILL));
        self.exit = Some(exit);
        Ok(exit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the parent-death signal remains.
        let _ = self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstanceName, Workload};
    use guest::Plan;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn context() -> RunContext {
        RunContext {
            run_id: "test".into(),
            state_dir: std::env::temp_dir(),
            cache_dir: std::env::temp_dir(),
            watch: Arc::new(Watch::start().expect("watch")),
            network: Arc::default(),
        }
    }

    fn launch(workload: Workload) -> (Box<dyn Instance>, UnboundedReceiver<crate::Stamped>, RunContext) {
        let context = context();
        let prepared = ProcessBackend.prepare(&context, &Image::builtin()).expect("prepared");
        let name = InstanceName { storm: 0, index: 0 };
        let (sender, receiver) = unbounded_channel();
        let spec = LaunchSpec { name: name.clone(), plan: Plan::new(workload), limits: Limits::default() };
        let instance = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
        (instance, receiver, context)
    }

    fn next(receiver: &mut UnboundedReceiver<crate::Stamped>) -> Event {
        crate::patience::next(receiver).expect("an event").event
    }

    #[test]
    fn it_becomes_ready_and_ends_when_stopped() {
        let (mut instance, mut events, _context) = launch(Workload::Ready);
        assert_eq!(next(&mut events), Event::Mark("spawn"));
        assert_eq!(next(&mut events), Event::Ready);
        assert_eq!(instance.stop().expect("stopped"), Exit::Signal(libc::SIGKILL));
        assert_eq!(next(&mut events), Event::Exited(Exit::Signal(libc::SIGKILL)));
    }

    #[test]
    fn it_serves_and_its_memory_is_what_it_touched() {
        let (instance, mut events, context) = launch(Workload::Http);
        let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, unbounded_channel().0);
        let port = loop {
            if let Event::Listening(port) = next(&mut events) {
                break port;
            }
        };
        let address = instance.service(port).expect("reachable");
        drop(sink);
        let (sender, mut served) = unbounded_channel();
        let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
        context.watch.request(address, sink).expect("asked");
        assert_eq!(next(&mut served), Event::Serving);

        let (instance, mut events, _context) = launch(Workload::Memory { bytes: 32 << 20 });
        while next(&mut events) != Event::Done(32 << 20) {}
        let private = instance.memory().expect("memory").private_bytes.expect("known");
        assert!((32 << 20..34 << 20).contains(&private), "{private}");
    }

    #[test]
    fn a_command_tells_its_output_and_status() {
        let argv = ["/bin/sh", "-c", "echo out; echo err >&2; exit 5"].map(String::from).to_vec();
        let (_instance, mut events, _context) = launch(Workload::Command { argv });
        let mut logs = Vec::new();
        let status = loop {
            match next(&mut events) {
                Event::Log(text) => logs.push(text),
                Event::CommandExited(status) => break status,
                _ => {}
            }
        };
        logs.sort();
        assert_eq!((logs, status), (vec!["err".into(), "out".into()], 5));
    }

    #[test]
    fn a_command_ends_with_it() {
        let argv = ["/bin/sh", "-c", "echo $$; exec sleep 60"].map(String::from).to_vec();
        let (mut instance, mut events, _context) = launch(Workload::Command { argv });
        let pid = loop {
            if let Event::Log(text) = next(&mut events) {
                break text;
            }
        };
        instance.stop().expect("stopped");
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // Gone, or a zombie that whoever inherits it has not waited for yet.
        let until = std::time::Instant::now() + END_TIMEOUT;
        while state().is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(std::time::Instant::now() < until, "process {pid} has outlived its parent");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_limit_it_cannot_hold_is_refused() {
        let context = context();
        let prepared = ProcessBackend.prepare(&context, &Image::builtin()).expect("prepared");
        let name = InstanceName { storm: 0, index: 0 };
        let limits = Limits { memory_bytes: Some(1), ..Limits::default() };
        let spec = LaunchSpec { name: name.clone(), plan: Plan::new(Workload::Ready), limits };
        assert!(prepared.launch(&spec, EventSink::new(name, unbounded_channel().0)).is_err());
    }
}
