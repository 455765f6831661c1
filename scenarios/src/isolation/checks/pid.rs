//! PID namespace (pid_namespaces(7)).

use std::time::{Duration, Instant};

use guest::probe::Request;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::Instance;
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Expect, Finding, Missing, Scene, Twin};
use super::super::group;
use super::super::judge;
use super::super::kind::Kind;
use super::super::processes;
use super::super::sleeper::{self, Sleeper};

const CLAIM: &str = "ns-pid";
const SOURCE: &str = "pid_namespaces(7)";
const TWIN: Twin = Twin::Without(&[Mechanism::PidNamespace]);

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
        id: "pid-orphan",
        claim: CLAIM,
        question: "is a process whose parent has ended handed to one outside its instance?",
        source: "pid_namespaces(7): orphans are those of process 1 of the namespace, which has to wait for them",
        company: Company::Alone,
        plant: Some(|nonce| vec![Request::Orphan { name: nonce.word() }]),
        judge: orphan,
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
    Check {
        id: "pid-ptrace-out",
        claim: CLAIM,
        question: "can a process of the host be traced?",
        source: "ptrace(2), PTRACE_SEIZE, which does not stop it: ESRCH; CVE-2016-9962 on what tracing gives",
        on_host: Some(Sleeper::plant),
        look: Some(|scene| {
            let arguments = vec![PTRACE_SEIZE, outside_pid(scene).into(), 0, 0];
            vec![Request::Call { number: libc::SYS_ptrace, arguments }]
        }),
        judge: |scene| kept_out(scene, "it is traced"),
        twin: REACH,
        ..Check::NOTHING
    },
    Check {
        id: "pid-memory-out",
        claim: CLAIM,
        question: "is the memory of a process of the host read?",
        source: "process_vm_readv(2): ESRCH, or EPERM by a filter",
        on_host: Some(Sleeper::plant),
        look: Some(|scene| {
            let address = scene.on_host.and_then(|plant| plant.text().parse().ok()).unwrap_or(0);
            let bytes = scene.nonce.word().len() as u32;
            vec![Request::Peek { pid: outside_pid(scene), address, bytes }]
        }),
        judge: |scene| {
            let errno = scene.look(0)?.number("errno")?;
            if errno == 0 && scene.look(0)?.text("text")? != scene.nonce.word() {
                return Ok(Finding::Wrong("another process's memory was read".into()));
            }
            kept_out(scene, "its memory says the nonce")
        },
        twin: REACH,
        ..Check::NOTHING
    },
    Check {
        id: "pid-signal-all",
        claim: CLAIM,
        question: "does a signal to everyone reach a process of the host?",
        source: "kill(2), pid -1: every process the caller may signal, of its namespace; proc_pid_status(5), ShdPnd",
        company: Company::Alone,
        on_host: Some(Sleeper::plant_of_user),
        look: Some(|scene| {
            vec![Request::SignalAll { uid: Sleeper::uid(scene.nonce), signal: sleeper::BLOCKED }]
        }),
        judge: |scene| {
            let look = scene.look(0)?;
            let errno = look.number("errno")?;
            if look.text("step")? == "setresuid" {
                return Ok(Finding::Absent(format!("it has no second user id: {}", judge::name(errno))));
            }
            let is_hit = Sleeper::has_pending(outside_pid(scene))?;
            Ok(match (is_hit, look.number("own")?) {
                (true, _) => Finding::Open("the host's process has the signal".into()),
                (false, 1) => {
                    Finding::Apart("a process of its own has the signal, the host's has not".into())
                }
                (false, _) => {
                    Finding::Wrong(format!("not even its own has the signal: {}", judge::name(errno)))
                }
            })
        },
        twin: Twin::Without(&[Mechanism::PidNamespace, Mechanism::UserNamespace]),
        ..Check::NOTHING
    },
    Check {
        id: "pid-init-death",
        claim: CLAIM,
        question: "does a process that has left its parent outlive the first process of its instance?",
        source: "pid_namespaces(7): the kernel ends all others with SIGKILL",
        expect: |kind| match kind {
            Kind::Sandbox => Expect::Pointless("its first process is one of a kernel of its own"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        look: Some(|scene| vec![Request::Spinner { name: scene.nonce.word(), orphan: true }]),
        act: Some(end_init),
        twin: TWIN,
        ..Check::NOTHING
    },
];

/// Whose child it is: by the host's count where it is a process of the host's kernel, else by its own.
fn orphan(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let left = scene.plant(0)?;
    let (parent, is_reaped) = (left.number("parent")?, left.number("reaped")? == 1);
    let word = scene.nonce.word();
    let seen = processes::called(&word);
    group::end_called(scene.kind, &word);
    let is_inside = match (scene.kind.shares_kernel(), &seen) {
        (false, None) => parent == 1,
        (false, Some((pid, _))) => return Ok(Finding::Open(format!("the host has it as process {pid}"))),
        (true, None) => return Err(Missing("the host does not find the process".into())),
        (true, Some((_, status))) => {
            let of_host = processes::field(status, "PPid:").and_then(|pid| pid.parse().ok());
            let root = scene.planter.ok_or_else(|| Missing("the instance has no process".into()))?;
            of_host.is_some_and(|of_host| group::family(root).contains(&of_host))
        }
    };
    let said = format!("its parent is {parent} inside");
    Ok(match (is_inside, is_reaped) {
        (true, true) => Finding::Apart(format!("{said}, which waits for those that end")),
        (true, false) => Finding::Wrong(format!("{said}, and nobody waits for those that end")),
        (false, _) => Finding::Open(format!("{said}, outside of the instance")),
    })
}

/// ptrace(2), linux/ptrace.h.
const PTRACE_SEIZE: i64 = 0x4206;
/// What keeps from a process of the host that is named by its number: there is none inside, its owner is nobody
/// inside, no such call is made, and who traces may do no less than the traced.
const REACH: Twin = Twin::Without(&[
    Mechanism::PidNamespace,
    Mechanism::UserNamespace,
    Mechanism::Seccomp,
    Mechanism::Capability(CAP_SYS_PTRACE),
]);
const CAP_SYS_PTRACE: u32 = 19;
/// Measured: nothing can be asked of it then.
const NO_CALL: &str = "ENOSYS: its own kernel has no such call";
/// How long a busy host may take to let a process run, or end.
const PATIENCE: Duration = Duration::from_secs(10);

/// There is no such process, or no such call.
fn kept_out(scene: &Scene<'_>, open: &str) -> Result<Finding, Missing> {
    let errno = scene.look(0)?.number("errno")?;
    Ok(match errno as i32 {
        0 => Finding::Open(open.into()),
        libc::ESRCH | libc::EPERM => Finding::Apart(judge::name(errno)),
        libc::ENOSYS if scene.kind == Kind::Sandbox => Finding::Absent(NO_CALL.into()),
        _ => Finding::Wrong(judge::name(errno)),
    })
}

/// Kills the first process of instance B, as the host sees it, and looks what became of the orphan.
fn end_init(scene: &Scene<'_>, _: &mut dyn Instance) -> Result<Finding, Missing> {
    let root = scene.looker.ok_or_else(|| Missing("the instance has no process on the host".into()))?;
    let first = processes::init(root);
    let began = Instant::now();
    let orphan = || group::called(&scene.nonce.word());
    let is_inside = scene.kind == Kind::Machine;
    while orphan().is_empty() && !is_inside && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    if orphan().is_empty() && !is_inside {
        return Err(Missing("the host does not find the orphan".into()));
    }
    kill(Pid::from_raw(first), Signal::SIGKILL).map_err(|errno| Missing(format!("kill {first}: {errno}")))?;
    let killed = Instant::now();
    let lives = || !orphan().is_empty() || (is_inside && group::times(first).is_some());
    // Who is not ended with it computes on until it is ended below.
    while lives() && killed.elapsed() < PATIENCE && scene.kind != Kind::Process {
        std::thread::sleep(Duration::from_millis(10));
    }
    let left = lives();
    for pid in orphan() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    Ok(match left {
        true => Finding::Open(format!("the orphan outlives process {first}")),
        false => {
            Finding::Apart(format!("all ended {} ms after process {first}", killed.elapsed().as_millis()))
        }
    })
}

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
        libc::ENOSYS if scene.kind == Kind::Sandbox => Finding::Absent(NO_CALL.into()),
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
