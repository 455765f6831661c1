//! Virtual machines: what the host gives them, as whom and how confined QEMU runs, whose end an end is.
//!
//! No mechanism of a container is looked at, so the control is a bare process, to which all of this
//! is open.

use std::fs;
use std::time::{Duration, Instant};

use guest::probe::Request;
use nix::libc;

use super::super::check::{Check, Company, Expect, Finding, Missing, Scene, Twin};
use super::super::group;
use super::super::judge;
use super::super::kind::Kind;
use super::super::on_host::CanaryFile;

const CLAIM: &str = "vm-isolation";
/// How long a machine may take to end on a busy host.
const PATIENCE: Duration = Duration::from_secs(30);
/// Memory that only a guest can be the reason for.
const SHARED_BYTES: u64 = 4 << 20;

/// A question about machines alone.
pub(super) const fn of_machines(id: &'static str, question: &'static str, source: &'static str) -> Check {
    Check {
        id,
        claim: CLAIM,
        question,
        source,
        expect: |kind| match kind {
            Kind::Machine => Expect::Apart,
            Kind::Process => Expect::Open,
            _ => Expect::Pointless("it is a question about virtual machines"),
        },
        twin: Twin::Process,
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    Check {
        on_host: Some(CanaryFile::plant),
        look: Some(|scene| {
            vec![Request::FindWord {
                path: backwards(&scene.on_host.map_or_else(String::new, |plant| plant.text())),
                word: backwards(&scene.nonce.word()),
                is_machine: scene.kind == Kind::Machine,
            }]
        }),
        judge: |scene| {
            let look = scene.look(0)?;
            let (errno, scanned, found) =
                (look.number("errno")?, look.number("scanned")?, look.number("found")?);
            let said = format!("by path: {}; found on {found} of {scanned} devices", judge::name(errno));
            Ok(match (errno, found) {
                (0, _) | (_, 1..) => Finding::Open(said),
                _ if scanned == 0 => Finding::Wrong(format!("{said}: there was nothing to look through")),
                _ => Finding::Apart(said),
            })
        },
        ..of_machines(
            "vm-host-file",
            "is a file of the host found by its path, on a disk or in the firmware's configuration?",
            "QEMU's docs/specs/fw_cfg.rst; docs/system/security.rst, \"Isolation mechanisms\"",
        )
    },
    Check {
        look: Some(|_| vec![Request::Names]),
        judge: |scene| {
            let (ids, own) = (status(scene.looker, "Uid:")?, status(Some(0), "Uid:")?);
            if !own.starts_with('0') {
                return Ok(Finding::Absent("this run is not root's, so machines are its user's".into()));
            }
            let is_nobody = ids.split_whitespace().all(|id| id != "0");
            let said = format!("user ids {ids}");
            Ok(if is_nobody { Finding::Apart(said) } else { Finding::Open(said) })
        },
        ..of_machines(
            "vm-user",
            "does it run as the host's root?",
            "QEMU's docs/system/security.rst, \"Principle of least privilege\"",
        )
    },
    Check {
        look: Some(|_| vec![Request::Names]),
        judge: |scene| {
            let mode = status(scene.looker, "Seccomp:")?;
            Ok(match mode.as_str() {
                "2" => Finding::Apart("its system calls are filtered".into()),
                _ => Finding::Open(format!("seccomp mode {mode}: every system call can be made")),
            })
        },
        ..of_machines(
            "vm-sandbox",
            "can it make every system call of the host?",
            "QEMU's -sandbox; seccomp(2), proc_pid_status(5)",
        )
    },
    Check {
        look: Some(|_| vec![Request::Names]),
        judge: |scene| match group::of_looker(scene)? {
            None => Ok(Finding::Open("it is in the groups of this program".into())),
            Some(group) => {
                let memory = group::counted(&group)?.memory.map(|memory| memory.usage_bytes);
                let processes = group.processes().map_err(|error| Missing(error.to_string()))?.len();
                Ok(Finding::Apart(format!("{processes} processes, {memory:?} bytes charged")))
            }
        },
        ..of_machines("vm-cgroup", "is it in no cgroup of its own?", "cgroups(7)")
    },
    Check {
        look: Some(|scene| vec![Request::AbstractPlant { name: scene.nonce.word() }]),
        judge: named_sockets,
        ..of_machines(
            "vm-monitor-private",
            "has it a socket that others on the host can name, its monitor's for one?",
            "QEMU's docs/system/security.rst, \"Sensitive configurations\": the monitor; unix(7)",
        )
    },
    Check {
        look: Some(|_| vec![Request::KeepShared { bytes: SHARED_BYTES }]),
        judge: shared_memory,
        ..of_machines(
            "vm-memory-private",
            "is its memory mapped shared, so that others can have it too?",
            "QEMU's memory-backend-file, share=off; proc_pid_maps(5)",
        )
    },
    Check {
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        company: Company::Alone,
        look: Some(|scene| end(scene, true)),
        judge: ended,
        ..of_machines(
            "vm-panic",
            "does the panic of one kernel end a sibling?",
            "the kernel's admin-guide/sysrq.rst, c; QEMU's -no-reboot",
        )
    },
    Check {
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        company: Company::Alone,
        look: Some(|scene| end(scene, false)),
        judge: ended,
        ..of_machines(
            "vm-reset",
            "does the reset of one machine, by a triple fault, end a sibling?",
            "reboot(2); the kernel's reboot=t; QEMU's -no-reboot",
        )
    },
    Check {
        plant: Some(|_| identity()),
        // An image may have no machine id.
        witness: |scene| match scene.planter.and_then(group::times) {
            Some(_) => Ok("the sibling lives".into()),
            None => Err("the sibling is gone".into()),
        },
        look: Some(|_| identity()),
        judge: |scene| {
            let mut seen = Vec::new();
            for (at, what) in ["boot id", "random number", "machine id"].into_iter().enumerate() {
                let text = |seen: super::super::check::Seen<'_>| {
                    Ok(seen.text("text").map(str::to_owned).unwrap_or_default())
                };
                let (theirs, its): (String, String) = (text(scene.plant(at)?)?, text(scene.look(at)?)?);
                match (theirs == its, its.is_empty()) {
                    (_, true) => seen.push(format!("no {what}")),
                    (true, _) => return Ok(Finding::Open(format!("both have the {what} {}", its.trim()))),
                    (false, _) => seen.push(format!("another {what}")),
                }
            }
            Ok(Finding::Apart(seen.join(", ")))
        },
        ..of_machines(
            "vm-identity",
            "have two of them the same boot id, random numbers or machine id?",
            "random(4), boot_id and uuid; machine-id(5); QEMU's docs/specs/vmgenid.rst on copies",
        )
    },
];

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

fn identity() -> Vec<Request> {
    let paths = ["/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/random/uuid", "/etc/machine-id"];
    paths.map(|path| Request::Read { path: path.into(), most: 64 }).to_vec()
}

/// A line of a process's status; of this program's where the number is 0.
fn status(pid: Option<i32>, key: &str) -> Result<String, Missing> {
    let pid = match pid {
        Some(0) => "self".to_owned(),
        Some(pid) => pid.to_string(),
        None => return Err(Missing("it has no process to be looked at".into())),
    };
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|error| Missing(format!("{path}: {error}")))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned());
    value.ok_or_else(|| Missing(format!("{path} has no {key}")))
}

/// Sockets of it with a name, which is its own guest's where that is a process of this kernel.
fn named_sockets(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let pid = scene.looker.ok_or_else(|| Missing("it has no process to be looked at".into()))?;
    let read = |path: String| fs::read_to_string(&path).map_err(|error| Missing(format!("{path}: {error}")));
    let links = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| Missing(error.to_string()))?;
    let held: Vec<String> = links
        .flatten()
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    if held.is_empty() {
        return Ok(Finding::Wrong("it has no sockets at all".into()));
    }
    // Num RefCount Protocol Flags Type St Inode Path (proc_pid_net(5)).
    let unix = read(format!("/proc/{pid}/net/unix"))?;
    let named = unix.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (inode, path) = (fields.get(6)?, fields.get(7)?);
        let is_its = held.iter().any(|one| one == inode) || path.contains(&scene.nonce.word());
        is_its.then(|| (*path).to_owned())
    });
    // Listening is state 0A; the inode is the tenth field.
    let tcp = read(format!("/proc/{pid}/net/tcp"))?;
    let listening = tcp.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_its = held.iter().any(|one| Some(&one.as_str()) == fields.get(9));
        (is_its && fields.get(3) == Some(&"0A")).then(|| fields[1].to_owned())
    });
    Ok(match named.or(listening) {
        Some(name) => Finding::Open(format!("others can reach it at {name}")),
        None => Finding::Apart(format!("none of its {} sockets has a name", held.len())),
    })
}

/// Mappings of it, or of what it has started, that others can have too.
fn shared_memory(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let pid = scene.looker.ok_or_else(|| Missing("it has no process to be looked at".into()))?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut largest = 0;
    for process in std::iter::once(pid.to_string()).chain(children.split_whitespace().map(str::to_owned)) {
        let path = format!("/proc/{process}/maps");
        let maps = fs::read_to_string(&path).map_err(|error| Missing(format!("{path}: {error}")))?;
        let is_shared = |line: &&str| {
            line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw") && mode.ends_with('s'))
        };
        let shared = maps.lines().filter(is_shared);
        largest = shared.filter_map(bytes).chain([largest]).max().unwrap_or(0);
    }
    Ok(match largest {
        SHARED_BYTES.. => Finding::Open(format!("{largest} bytes are mapped shared and writable")),
        _ => Finding::Apart(format!("the largest mapping that is shared and writable has {largest} bytes")),
    })
}

/// Size of a mapping, from the range a line of maps begins with.
fn bytes(line: &str) -> Option<u64> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    u64::from_str_radix(end, 16).ok()?.checked_sub(u64::from_str_radix(start, 16).ok()?)
}

/// The worst that can be done from inside: a machine ends, a process ends the other's.
fn end(scene: &Scene<'_>, panic: bool) -> Vec<Request> {
    let sleeper = scene.plant(0).ok().and_then(|seen| seen.number("pid").ok());
    match (scene.kind, sleeper) {
        (Kind::Machine, _) => vec![Request::End { panic }],
        (Kind::Process, Some(pid)) => vec![Request::Signal { pid: pid as i32, signal: libc::SIGKILL }],
        _ => Vec::new(),
    }
}

fn ended(scene: &Scene<'_>) -> Result<Finding, Missing> {
    if scene.kind == Kind::Process {
        // A signal takes its time on a busy host.
        let began = Instant::now();
        while !group::called(&scene.nonce.word()).is_empty() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        return Ok(match group::called(&scene.nonce.word()).is_empty() {
            true => Finding::Open("a process of the sibling is ended by its number".into()),
            false => Finding::Apart("the sibling's process lives".into()),
        });
    }
    let sibling = scene.planter.ok_or_else(|| Missing("there is no sibling to be looked at".into()))?;
    let began = Instant::now();
    // A machine that has ended already has no process any more.
    while scene.looker.is_some_and(|pid| group::times(pid).is_some()) {
        if began.elapsed() > PATIENCE {
            return Ok(Finding::Wrong("the machine did not end".into()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let took_ms = began.elapsed().as_millis();
    std::thread::sleep(Duration::from_millis(300));
    Ok(match group::times(sibling) {
        Some(_) => Finding::Apart(format!("the machine ended within {took_ms} ms, its sibling lives")),
        None => Finding::Open("the sibling has ended too".into()),
    })
}
