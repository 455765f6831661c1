//! What of the kernel's files is covered, and what can be read only: each path of the container's lists
//! that the host has (the engines' usual list, for reasons given in CVE-2017-16539 and its kind).
//!
//! Many of them are kept from an instance twice: an id that is nobody outside may not read them either.
//! Then the twin lacks the user namespace too.

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Expect, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;

const CLAIM: &str = "ns-mount";
const SOURCE: &str = "OCI runtime specification, linux.maskedPaths and linux.readonlyPaths";

macro_rules! covered {
    ($($id:literal $path:literal $request:ident $judge:ident $without:expr;)*) => {
        pub(super) const ALL: &[Check] = &[$(Check {
            id: $id,
            claim: CLAIM,
            question: concat!("is ", $path, " open to an instance?"),
            source: SOURCE,
            expect: own_kernel,
            on_host: Some(|_| Path::plant($path)),
            look: Some(|_| vec![$request($path)]),
            judge: $judge,
            twin: Twin::Without($without),
            ..Check::NOTHING
        }),*];
    };
}

covered! {
    "mask-kcore" "/proc/kcore" read nothing_read
        &[Mechanism::Masked("/proc/kcore"), Mechanism::UserNamespace, Mechanism::Capability(17)];
    "mask-latency-stats" "/proc/latency_stats" read nothing_read
        &[Mechanism::Masked("/proc/latency_stats"), Mechanism::UserNamespace];
    "mask-timer-stats" "/proc/timer_stats" read nothing_read
        &[Mechanism::Masked("/proc/timer_stats"), Mechanism::UserNamespace];
    "mask-sched-debug" "/proc/sched_debug" read nothing_read
        &[Mechanism::Masked("/proc/sched_debug"), Mechanism::UserNamespace];
    "mask-acpi" "/proc/acpi" list nothing_listed &[Mechanism::Masked("/proc/acpi")];
    "mask-scsi" "/proc/scsi" list nothing_listed &[Mechanism::Masked("/proc/scsi")];
    "mask-firmware" "/sys/firmware" list nothing_listed &[Mechanism::Masked("/sys/firmware")];
    "read-only-bus" "/proc/bus" write not_written
        &[Mechanism::ReadOnly("/proc/bus"), Mechanism::UserNamespace];
    "read-only-fs" "/proc/fs" write not_written
        &[Mechanism::ReadOnly("/proc/fs"), Mechanism::UserNamespace];
    "device-kernel-log" "/dev/kmsg" stat not_there &[Mechanism::DeviceList];
}

/// Inside a kernel of its own these are its own.
fn own_kernel(kind: Kind) -> Expect {
    match kind {
        Kind::Process => Expect::Open,
        Kind::Machine | Kind::Sandbox => Expect::Shared("it is that of a kernel of its own"),
        _ => Expect::Apart,
    }
}

fn read(path: &str) -> Request {
    Request::Read { path: path.into(), most: 64 }
}

fn list(path: &str) -> Request {
    Request::List { path: path.into() }
}

fn write(path: &str) -> Request {
    Request::Write { path: path.into(), text: String::new() }
}

fn stat(path: &str) -> Request {
    Request::Stat { path: path.into() }
}

fn nothing_read(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let seen = scene.look(0)?;
    let errno = seen.number("errno")?;
    Ok(match errno as i32 {
        0 if seen.number("bytes")? > 0 => Finding::Open("it can be read".into()),
        0 => Finding::Apart("nothing is in it".into()),
        _ => refusal(errno),
    })
}

fn nothing_listed(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let seen = scene.look(0)?;
    let errno = seen.number("errno")?;
    Ok(match errno as i32 {
        0 if seen.number("count")? > 0 => Finding::Open(format!("{} names", seen.number("count")?)),
        0 => Finding::Apart("nothing is in it".into()),
        _ => refusal(errno),
    })
}

fn not_written(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let errno = scene.look(0)?.number("open")?;
    Ok(match errno as i32 {
        0 => Finding::Open("it could be written".into()),
        libc::EROFS => Finding::Apart("EROFS".into()),
        libc::ENOENT if scene.kind == Kind::Sandbox => {
            Finding::Absent("its own kernel has no such folder".into())
        }
        _ => refusal(errno),
    })
}

fn not_there(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let errno = scene.look(0)?.number("errno")?;
    Ok(match errno as i32 {
        0 => Finding::Open("there is such a node".into()),
        // The host has it, as the witness says, so that it is missing is what was done to it.
        libc::ENOENT => Finding::Apart("no such node, which the host has".into()),
        _ => refusal(errno),
    })
}

fn refusal(errno: i64) -> Finding {
    match errno as i32 {
        libc::EACCES | libc::EPERM => Finding::Apart(judge::name(errno)),
        _ => Finding::Wrong(judge::name(errno)),
    }
}

/// Something the host has at a path.
struct Path(&'static str);

impl Path {
    fn plant(path: &'static str) -> HostPlant {
        let found = Path(path);
        found.witness().map_err(|why| Absent(format!("{path} on the host: {why}")))?;
        Ok(Box::new(found))
    }
}

impl OnHost for Path {
    fn witness(&self) -> Result<String, String> {
        let found = std::fs::metadata(self.0).map_err(|error| error.to_string())?;
        if found.is_dir() {
            let count = std::fs::read_dir(self.0).map_err(|error| error.to_string())?.count();
            return match count {
                0 => Err("nothing is in it".into()),
                _ => Ok(format!("{count} names in the host's {}", self.0)),
            };
        }
        Ok(format!("the host has {}", self.0))
    }
}
