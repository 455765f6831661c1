//! PID namespace (pid_namespaces(7)).

use std::fs;

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use super::super::processes;

const CLAIM: &str = "ns-pid";
const SOURCE: &str = "pid_namespaces(7)";
const TWIN: Twin = Twin::Without(&[Mechanism::PidNamespace]);
/// A number that no process inside has: an instance starts with 1 and makes fewer.
const LEAST_OUTSIDE: i32 = 1000;

pub(super) const ALL: &[Check] = &[
    Check {
        id: "pid-sibling",
        claim: CLAIM,
        question: "does a sibling see another instance's process?",
        source: SOURCE,
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        look: Some(|scene| vec![Request::FindProcess { name: scene.nonce.word() }]),
        judge: |scene| found(scene, "the sibling's process"),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "pid-host-in",
        claim: CLAIM,
        question: "is a process of the host seen inside?",
        source: SOURCE,
        on_host: Some(Sleeper::plant),
        look: Some(|scene| vec![Request::FindProcess { name: scene.nonce.word() }]),
        judge: |scene| found(scene, "the host's process"),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "pid-init",
        claim: CLAIM,
        question: "is the first process of an instance anything but number 1?",
        source: SOURCE,
        look: Some(|_| vec![Request::Processes]),
        judge: |scene| {
            let parent = scene.look(0)?.number("parent")?;
            Ok(match parent {
                1 => Finding::Apart("the guest program is number 1".into()),
                _ => Finding::Open(format!("the guest program is number {parent}")),
            })
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "pid-other-number",
        claim: CLAIM,
        question: "has a process the same number outside as inside?",
        source: "pid_namespaces(7), proc_pid_status(5): NSpid; a machine's processes are not the host's at all",
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        judge: outside,
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "pid-signal-out",
        claim: CLAIM,
        question: "can a process of the host be named in kill(2)?",
        source: "pid_namespaces(7), kill(2): ESRCH",
        on_host: Some(Sleeper::plant),
        look: Some(|scene| vec![Request::Signal { pid: outside_pid(scene), signal: 0 }]),
        judge: |scene| named(scene, "kill"),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "pid-pidfd-out",
        claim: CLAIM,
        question: "can a descriptor of a host's process be had?",
        source: "pid_namespaces(7), pidfd_open(2): ESRCH",
        on_host: Some(Sleeper::plant),
        look: Some(|scene| {
            let arguments = vec![outside_pid(scene).into(), 0];
            vec![Request::Call { number: libc::SYS_pidfd_open, arguments }]
        }),
        judge: |scene| named(scene, "pidfd_open"),
        twin: TWIN,
        ..Check::NOTHING
    },
];

fn outside_pid(scene: &Scene<'_>) -> i32 {
    scene.on_host.map_or(0, |plant| plant.number() as i32)
}

fn found(scene: &Scene<'_>, what: &str) -> Result<Finding, Missing> {
    let (found, count) = (scene.look(0)?.number("found")?, scene.look(0)?.number("count")?);
    Ok(match found {
        0 => Finding::Apart(format!("not among the {count} processes in /proc")),
        _ => Finding::Open(format!("{what} is among the {count} in /proc")),
    })
}

/// EPERM says that there is such a process; only ESRCH says that there is none.
fn named(scene: &Scene<'_>, call: &str) -> Result<Finding, Missing> {
    let errno = scene.look(0)?.number("errno")?;
    Ok(match errno as i32 {
        0 => Finding::Open(format!("{call} reaches it")),
        libc::EPERM => Finding::Open(format!("{call} says EPERM: it is there, though not to be reached")),
        libc::ESRCH => Finding::Apart("ESRCH".into()),
        _ => Finding::Wrong(judge::name(errno)),
    })
}

/// What the host's /proc says of the sleeper inside.
fn outside(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let inside = scene.plant(0)?.number("pid")?;
    let name = scene.nonce.word();
    let Some((pid, status)) = processes::called(&name) else {
        return Ok(match scene.kind {
            Kind::Machine | Kind::Sandbox => Finding::Apart("the host has no such process".into()),
            _ => Finding::Wrong("the host, which is its parent, does not see the process".into()),
        });
    };
    let numbers: Vec<&str> = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .map(|numbers| numbers.split_whitespace().collect())
        .unwrap_or_default();
    Ok(match numbers.as_slice() {
        [_] => Finding::Open(format!("{pid} on both sides")),
        [.., last] if *last == inside.to_string() => {
            Finding::Apart(format!("{inside} inside, {pid} outside"))
        }
        other => Finding::Wrong(format!("{inside} inside, NSpid {other:?}")),
    })
}

/// A process of the host that does nothing and is called by the nonce.
struct Sleeper {
    pid: i32,
    name: String,
}

impl Sleeper {
    /// Numbers are given out in turn and begin again at the lowest after the highest
    /// (Documentation/admin-guide/sysctl/kernel.rst, pid_max): one that is too low is followed by a higher.
    fn plant(nonce: &Nonce) -> HostPlant {
        for _ in 0..2 * LEAST_OUTSIDE {
            let sleeper = Sleeper::start(nonce)?;
            if sleeper.pid >= LEAST_OUTSIDE {
                return sleeper.named();
            }
        }
        Err(Absent(format!(
            "the host has no process number from {LEAST_OUTSIDE} on: one inside could have it too"
        )))
    }

    fn start(nonce: &Nonce) -> Result<Sleeper, Absent> {
        let name = nonce.word();
        let text = std::ffi::CString::new(name.clone()).map_err(|error| Absent(error.to_string()))?;
        // SAFETY: between fork and its end the child makes system calls only (signal-safety(7)).
        let pid = unsafe {
            match libc::fork() {
                0 => {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::prctl(libc::PR_SET_NAME, text.as_ptr());
                    libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
                    loop {
                        libc::pause();
                    }
                }
                pid => pid,
            }
        };
        match pid {
            -1 => Err(Absent(format!("cannot fork: {}", std::io::Error::last_os_error()))),
            pid => Ok(Sleeper { pid, name }),
        }
    }

    /// It takes its name after it was made.
    fn named(self) -> HostPlant {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while self.witness().is_err() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(Box::new(self))
    }
}

impl OnHost for Sleeper {
    fn witness(&self) -> Result<String, String> {
        let path = format!("/proc/{}/comm", self.pid);
        match fs::read_to_string(&path) {
            Ok(comm) if comm.trim_end() == self.name => Ok(format!("process {} is {}", self.pid, self.name)),
            other => Err(format!("{path} says {other:?}")),
        }
    }

    fn number(&self) -> i64 {
        self.pid.into()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if self.pid > 0 {
            // SAFETY: our own child, not yet waited for, so the number is still its.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}
