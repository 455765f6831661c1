//! A running QEMU.

use std::ffi::CString;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::monitor::Monitor;
use crate::cgroup::Cgroup;
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::spawn::{Program, spawn};
use crate::watch::{OnLine, Source, Watch};
use crate::{Error, Exit, Footprint, Instance};

/// How long a killed QEMU may take to give back its memory.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// What SeaBIOS says when it hands over to what it boots.
const FIRMWARE_MARKS: &[(&str, &str)] = &[("SeaBIOS (version", "firmware"), ("Booting from", "kernel")];

pub(super) struct Vm {
    pidfd: OwnedFd,
    monitor: Monitor,
    cgroup: Option<Cgroup>,
    service: Option<SocketAddr>,
    ended: bool,
}

/// Starts QEMU with `arguments` and watches its four ways out. Where the firmware is silent
/// (microvm's takes a few milliseconds and has no debug port) the phase `kernel` begins with
/// QEMU's greeting and includes it.
pub(super) fn start(
    program: &Path,
    arguments: &[String],
    cgroup: Option<Cgroup>,
    service: Option<SocketAddr>,
    firmware_is_silent: bool,
    watch: &Watch,
    events: &EventSink,
) -> Result<Vm, Error> {
    let pair = || UnixStream::pair().map_err(Error::system("make a socket pair"));
    let ((guest_in, guest), (monitor_in, monitor)) = (pair()?, pair()?);
    let ((firmware_in, firmware), (stderr_in, stderr)) = (pair()?, pair()?);
    let file = File::open(program).map_err(Error::system(format!("open {}", program.display())))?;
    let null =
        File::options().read(true).write(true).open("/dev/null").map_err(Error::system("open /dev/null"))?;
    let words = std::iter::once(program.to_string_lossy().into_owned()).chain(arguments.iter().cloned());
    let argv: Vec<CString> = words
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let null = null.as_fd();
    let fds = [null, null, stderr_in.as_fd(), guest_in.as_fd(), monitor_in.as_fd(), firmware_in.as_fd()];
    let pidfd = spawn(&Program { file: file.as_fd(), argv: &argv, env: &[], fds: &fds })
        .map_err(Error::system(format!("start {}", program.display())))?;
    let watched = pidfd.try_clone();
    let (monitor, answers) = Monitor::new(monitor);
    let monitor_out = monitor.socket()?;
    // From here on the machine is owned: an error below drops and thereby ends it.
    let vm = Vm { pidfd, monitor, cgroup, service, ended: false };
    if let Some(cgroup) = &vm.cgroup {
        cgroup.add(crate::pidfd::pid(vm.pidfd.as_fd())?)?;
    }
    let watched = watched.map_err(Error::system("duplicate a pidfd"))?;
    let said = events.clone();
    let told = Source::Lines {
        fd: stderr.into(),
        on_line: Box::new(move |at_ns, line| {
            said.send(at_ns, Event::Log(format!("QEMU: {}", String::from_utf8_lossy(line))));
        }),
    };
    let greeted = events.clone();
    let mut silent_firmware = firmware_is_silent;
    let on_line: OnLine = Box::new(move |at_ns, line| {
        // The monitor greets when QEMU has set up the machine and lets it run.
        if std::mem::take(&mut silent_firmware) {
            greeted.send(at_ns, Event::Mark("kernel"));
        }
        answers.take(line);
    });
    let lines = Source::Lines { fd: monitor_out, on_line };
    watch
        .add(Source::Channel(guest.into()), events.clone())
        .and_then(|()| {
            watch.add(Source::Firmware { fd: firmware.into(), marks: FIRMWARE_MARKS }, events.clone())
        })
        .and_then(|()| watch.add(lines, events.clone()))
        .and_then(|()| watch.add(told, events.clone()))
        .and_then(|()| watch.add(Source::Exit(watched), events.clone()))
        .map_err(Error::system("watch QEMU"))?;
    Ok(vm)
}

impl Instance for Vm {
    fn service(&self, _guest_port: u16) -> Option<SocketAddr> {
        self.service
    }

    fn memory(&self) -> Result<Footprint, Error> {
        let footprint = crate::footprint::of_process(crate::pidfd::pid(self.pidfd.as_fd())?)?;
        Ok(Footprint { cgroup_bytes: self.cgroup.as_ref().and_then(Cgroup::memory_bytes), ..footprint })
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.monitor.execute(qapi::qmp::stop {})
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.monitor.execute(qapi::qmp::cont {})
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        if !self.ended {
            crate::pidfd::end(self.pidfd.as_fd(), "QEMU", END_TIMEOUT)?;
            self.ended = true;
        }
        if let Some(cgroup) = &mut self.cgroup {
            cgroup.end()?;
        }
        Ok(Exit::Signal(libc::SIGKILL))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the parent-death signal and `bench clean` remain.
        let _ = self.stop();
    }
}

/// When a launch begins.
pub(super) fn begin(events: &EventSink) {
    events.send(now_ns(), Event::Mark("vmm"));
}
