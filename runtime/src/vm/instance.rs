//! A running QEMU.

use std::ffi::CString;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::monitor::{Monitor, Told};
use super::reach::Held;
use super::saving;
use crate::cgroup::{Cgroup, Statistics};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::spawn::{Program, User, spawn};
use crate::watch::{OnLine, Source, Watch};
use crate::{Error, Exit, Footprint, Instance, Saved};

/// How long a killed QEMU may take to give back its memory.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// What cannot be saved here, and what can.
const SAVABLE: &str = "only machines of vm:direct without network are saved with all they are";

/// A QEMU to start.
pub(super) struct Launch<'a> {
    pub(super) program: &'a Path,
    /// As made by [`super::recipe::arguments`], which names the descriptors below.
    pub(super) arguments: &'a [String],
    /// What the arguments name as [`super::recipe::file_path`] 0, 1, 2 …
    pub(super) files: &'a [BorrowedFd<'a>],
    /// Whom it runs as; `None` = as this program.
    pub(super) user: Option<User>,
    pub(super) cgroup: Option<Cgroup>,
    /// Where the host reaches the guest's service.
    pub(super) service: Option<SocketAddr>,
    pub(super) firmware: Firmware,
}

/// How the hand-over from QEMU to the guest is told.
#[derive(Clone, Copy)]
pub(super) enum Firmware {
    /// By nobody: a firmware of a few milliseconds without debug port. This phase begins with
    /// QEMU's greeting and includes it.
    Silent(&'static str),
    /// By QEMU alone: `load` begins with its greeting, `resume` when it lets the machine run.
    Restored,
    /// By the firmware itself on its debug port: texts, and the phases that begin with them.
    Speaks(&'static [(&'static str, &'static str)]),
}

impl Firmware {
    /// What SeaBIOS says when it begins, and when it hands over to what it boots.
    pub(super) const SEABIOS: Firmware =
        Firmware::Speaks(&[("SeaBIOS (version", "firmware"), ("Booting from", "kernel")]);
}

pub(super) struct Vm {
    pidfd: OwnedFd,
    monitor: Monitor,
    cgroup: Option<Cgroup>,
    service: Option<SocketAddr>,
    held: Option<Held>,
    is_savable: bool,
    ended: bool,
}

/// When a launch begins.
pub(super) fn begin(events: &EventSink) {
    events.send(now_ns(), Event::Mark("vmm"));
}

/// Starts QEMU and watches its four ways out. `before` may give the monitor commands that QEMU
/// finds waiting when it is ready to read them.
pub(super) fn start(
    launch: Launch<'_>,
    watch: &Watch,
    events: &EventSink,
    before: impl FnOnce(&mut Monitor) -> Result<(), Error>,
) -> Result<Vm, Error> {
    let pair = || UnixStream::pair().map_err(Error::system("make a socket pair"));
    let ((guest_in, guest), (monitor_in, monitor)) = (pair()?, pair()?);
    let ((firmware_in, firmware), (stderr_in, stderr)) = (pair()?, pair()?);
    let (mut monitor, mut answers) = Monitor::new(monitor);
    monitor.negotiate()?;
    before(&mut monitor)?;
    let monitor_out = monitor.socket()?;
    let pidfd = {
        let inherited = [stderr_in.as_fd(), guest_in.as_fd(), monitor_in.as_fd(), firmware_in.as_fd()];
        execute(&launch, &inherited)?
    };
    let watched = pidfd.try_clone();
    // From here on the machine is owned: an error below drops and thereby ends it.
    let vm = Vm {
        pidfd,
        monitor,
        cgroup: launch.cgroup,
        service: launch.service,
        held: None,
        is_savable: false,
        ended: false,
    };
    let watched = watched.map_err(Error::system("duplicate a pidfd"))?;
    let said = events.clone();
    let told = Source::Lines {
        fd: stderr.into(),
        on_line: Box::new(move |at_ns, line| {
            said.send(at_ns, Event::Log(format!("QEMU: {}", String::from_utf8_lossy(line))));
        }),
    };
    let (mut at_greeting, at_resume, marks) = match launch.firmware {
        Firmware::Silent(phase) => (Some(phase), None, &[][..]),
        Firmware::Restored => (Some("load"), Some("resume"), &[][..]),
        Firmware::Speaks(marks) => (None, None, marks),
    };
    let greeted = events.clone();
    let on_line: OnLine = Box::new(move |at_ns, line| {
        // The monitor greets when QEMU has set up the machine and lets it run.
        if let Some(phase) = at_greeting.take() {
            greeted.send(at_ns, Event::Mark(phase));
        }
        let event = match (answers.take(line), at_resume) {
            (Some(Told::Event(name, _)), Some(phase)) if name == "RESUME" => Some(Event::Mark(phase)),
            (Some(Told::Event(name, data)), _) => meaning(&name, data.as_ref()),
            (Some(Told::Refused(why)), _) => Some(Event::Failed(why)),
            (None, _) => None,
        };
        if let Some(event) = event {
            greeted.send(at_ns, event);
        }
    });
    let lines = Source::Lines { fd: monitor_out, on_line };
    watch
        .add(Source::Channel(guest.into()), events.clone())
        .and_then(|()| watch.add(Source::Firmware { fd: firmware.into(), marks }, events.clone()))
        .and_then(|()| watch.add(lines, events.clone()))
        .and_then(|()| watch.add(told, events.clone()))
        .and_then(|()| watch.add(Source::Exit(watched), events.clone()))
        .map_err(Error::system("watch QEMU"))?;
    Ok(vm)
}

/// What an event of QEMU means for an instance; nothing where it is the course of things. One that
/// is not known, or has data that is not, is told as it is.
fn meaning(name: &str, data: Option<&serde_json::Value>) -> Option<Event> {
    let text = |key: &str| data.and_then(|data| data.get(key)?.as_str());
    match name {
        "NIC_RX_FILTER_CHANGED" | "RTC_CHANGE" => None,
        "GUEST_PANICKED" => Some(Event::Failed("the guest's kernel panicked".into())),
        // QEMU's answer to a full disk is to stop the machine and wait for somebody to make room.
        "BLOCK_IO_ERROR" if data.is_some_and(|data| data["nospace"] == true) => {
            let error = "the host has no space left for what the machine writes to its disk";
            Some(Event::Failed(error.into()))
        }
        "SHUTDOWN" if text("reason") == Some("guest-reset") => {
            Some(Event::Log("QEMU: the guest reset its machine, as a kernel does that panics".into()))
        }
        _ => {
            let data = data.map(|data| format!(" {data}")).unwrap_or_default();
            Some(Event::Log(format!("QEMU: event {name}{data}")))
        }
    }
}

/// Between here and the return QEMU comes to be: `inherited` are its descriptors from 2 on.
fn execute(launch: &Launch<'_>, inherited: &[BorrowedFd<'_>]) -> Result<OwnedFd, Error> {
    let program = launch.program;
    let file = File::open(program).map_err(Error::system(format!("open {}", program.display())))?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(Error::system("open /dev/null"))?;
    let words =
        std::iter::once(program.to_string_lossy().into_owned()).chain(launch.arguments.iter().cloned());
    let argv: Vec<CString> = words
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let fds: Vec<BorrowedFd<'_>> =
        [null.as_fd(), null.as_fd()].iter().chain(inherited).chain(launch.files).copied().collect();
    let user = launch.user.as_ref();
    let entrance = launch.cgroup.as_ref().map(Cgroup::entrance).transpose()?;
    let cgroup = entrance.as_ref();
    spawn(&Program { file: file.as_fd(), argv: &argv, env: &[], fds: &fds, user, cgroup })
        .map_err(Error::system(format!("start {}", program.display())))
}

impl Vm {
    /// Bytes it has caused to be written to storage so far (proc_pid_io(5), `write_bytes`); `None`
    /// where it has ended or the kernel does not count.
    pub(super) fn written_bytes(&self) -> Option<u64> {
        let pid = crate::pidfd::pid(self.pidfd.as_fd()).ok()?;
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?;
        line.trim().parse().ok()
    }

    /// Holds what belongs to the machine's network until it is gone.
    pub(super) fn hold(mut self, held: Option<Held>) -> Vm {
        self.held = held;
        self
    }

    /// Has the guest give memory back, or take it again, until it has `bytes`; returns what it has.
    ///
    /// # Errors
    /// A machine without the device, or a guest that has not got there within `patience`.
    pub(super) fn balloon(&mut self, bytes: u64, patience: Duration) -> Result<u64, Error> {
        let value = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.monitor.execute(qapi::qmp::balloon { value })?;
        let deadline_ns = now_ns() + patience.as_nanos() as u64;
        loop {
            let answer = self.monitor.execute(qapi::qmp::query_balloon {})?;
            match answer.get("actual").and_then(serde_json::Value::as_u64) {
                Some(actual) if actual == bytes => return Ok(actual),
                actual if now_ns() > deadline_ns => {
                    return Err(Error::Invalid(format!(
                        "the guest has {actual:?} bytes and not {bytes} after {patience:?}"
                    )));
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// It is all in its memory and devices: another that is started the same way can go on from there.
    pub(super) fn savable(mut self) -> Vm {
        self.is_savable = true;
        self
    }

    /// The monitor.
    pub(super) fn monitor(&mut self) -> &mut Monitor {
        &mut self.monitor
    }
}

#[cfg(test)]
impl Vm {
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Instance for Vm {
    fn service(&self, _guest_port: u16) -> Option<SocketAddr> {
        self.service
    }

    fn root_pid(&self) -> Option<i32> {
        crate::pidfd::pid(self.pidfd.as_fd()).ok()
    }

    fn memory(&self) -> Result<Footprint, Error> {
        let footprint = crate::footprint::of_process(crate::pidfd::pid(self.pidfd.as_fd())?)?;
        Ok(Footprint { cgroup_bytes: self.cgroup.as_ref().and_then(Cgroup::memory_bytes), ..footprint })
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        let group = self.cgroup.as_ref().ok_or_else(|| Error::Missing {
            what: "this QEMU is in no cgroup of its own".into(),
            fix: Some("run it as root".into()),
        })?;
        group.statistics()
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.monitor.execute(qapi::qmp::stop {}).map(drop)
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.monitor.execute(qapi::qmp::cont {}).map(drop)
    }

    fn shut_down(&mut self, patience: Duration) -> Result<Exit, Error> {
        // A guest that does not listen to its power button, or has none, is ended below.
        let asked = !self.ended && self.monitor.execute(qapi::qmp::system_powerdown {}).is_ok();
        if asked && crate::pidfd::await_end(self.pidfd.as_fd(), patience).is_ok() {
            let exit = crate::pidfd::exit(self.pidfd.as_fd());
            self.stop()?;
            return Ok(exit.unwrap_or(Exit::Code(0)));
        }
        self.stop()
    }

    fn save(&mut self) -> Result<Saved, Error> {
        if !self.is_savable {
            return Err(Error::Missing { what: SAVABLE.into(), fix: None });
        }
        saving::whole(&mut self.monitor)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_machine_mean_what_they_say() {
        let panicked = meaning("GUEST_PANICKED", Some(&serde_json::json!({ "action": "shutdown" })));
        assert!(matches!(panicked, Some(Event::Failed(_))), "{panicked:?}");
        // As QEMU 7.2 writes it, shortened.
        let failed =
            |nospace| serde_json::json!({ "node-name": "own", "operation": "write", "nospace": nospace });
        let full = meaning("BLOCK_IO_ERROR", Some(&failed(true)));
        assert!(matches!(&full, Some(Event::Failed(error)) if error.contains("no space")), "{full:?}");
        assert!(matches!(meaning("BLOCK_IO_ERROR", Some(&failed(false))), Some(Event::Log(_))));
        let reset = serde_json::json!({ "guest": true, "reason": "guest-reset" });
        assert!(
            matches!(meaning("SHUTDOWN", Some(&reset)), Some(Event::Log(text)) if text.contains("reset"))
        );
        let odd = serde_json::json!({ "reason": ["from the future"] });
        let told = Some(Event::Log(r#"QEMU: event SHUTDOWN {"reason":["from the future"]}"#.into()));
        assert_eq!(meaning("SHUTDOWN", Some(&odd)), told);
        assert_eq!(meaning("UNHEARD_OF", None), Some(Event::Log("QEMU: event UNHEARD_OF".into())));
        assert_eq!(meaning("NIC_RX_FILTER_CHANGED", None), None);
    }
}
