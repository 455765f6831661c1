//! What a program may do by its credentials: the five capability sets, no_new_privs, the filter's mode, and
//! the kernel's own switches below /proc/sys and /sys.
//!
//! A virtual machine's root has everything over its own kernel and nothing over the host's: there only a
//! canary can tell, so these checks leave it out; the leak, vm and ns checks look at it.

use guest::probe::Request;
use runtime::container::{CapabilitySet, Mechanism};

use super::super::check::{Absent, Check, Expect, Finding, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;

const CLAIM: &str = "privilege";
const STATUS: &str = "/proc/self/status";
/// The fourteen capabilities engines give by default, by number (capabilities(7)): chown, dac_override,
/// fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write,
/// setfcap.
const ENGINES: u64 = 0xa804_25fb;

/// A check on one line of /proc/self/status.
macro_rules! status {
    ($($id:literal $question:literal $source:literal $expect:expr, $judge:expr, $twin:expr;)*) => {
        &[$(Check {
            id: $id,
            claim: CLAIM,
            question: $question,
            source: $source,
            expect: $expect,
            look: Some(|_| vec![Request::Read { path: STATUS.into(), most: 4096 }]),
            judge: $judge,
            twin: $twin,
            ..Check::NOTHING
        }),*]
    };
}

pub(super) const CREDENTIALS: &[Check] = status! {
    "cap-bounding" "can an execution gain more than the engines' fourteen capabilities?" "capabilities(7)"
        credentials, |scene| beyond(scene, "CapBnd", ENGINES),
        Twin::Without(&[Mechanism::CapabilitySet(CapabilitySet::Bounding)]);
    "cap-effective" "has it more in effect than the engines' fourteen capabilities?" "capabilities(7)"
        credentials, |scene| beyond(scene, "CapEff", ENGINES),
        Twin::Without(&[Mechanism::CapabilitySet(CapabilitySet::Effective)]);
    "cap-permitted" "may it put more in effect than the engines' fourteen capabilities?" "capabilities(7)"
        credentials, |scene| beyond(scene, "CapPrm", ENGINES),
        Twin::Without(&[Mechanism::CapabilitySet(CapabilitySet::Permitted)]);
    "cap-inheritable" "has it inheritable capabilities (CVE-2022-24769 and its kind)?" "capabilities(7)"
        inherited, |scene| beyond(scene, "CapInh", 0),
        Twin::Without(&[Mechanism::CapabilitySet(CapabilitySet::Inheritable)]);
    "cap-ambient" "does it pass capabilities on to programs that do not ask for them?" "capabilities(7)"
        inherited, |scene| beyond(scene, "CapAmb", 0),
        Twin::Without(&[Mechanism::CapabilitySet(CapabilitySet::Ambient)]);
    "priv-no-new-privs" "can executing a file give it privileges?" "prctl(2), PR_SET_NO_NEW_PRIVS"
        credentials, |scene| is_set(scene, "NoNewPrivs", "1"),
        Twin::Without(&[Mechanism::NoNewPrivs]);
    "priv-seccomp" "do its system calls go unfiltered?" "seccomp(2)"
        credentials, |scene| is_set(scene, "Seccomp", "2"),
        Twin::Without(&[Mechanism::Seccomp]);
};

pub(super) const FILES: &[Check] = &[Check {
    id: "priv-setuid-file",
    claim: CLAIM,
    question: "does a file of root's with the set-user-ID bit give an ordinary user root's rights?",
    source: "execve(2): not with no_new_privs, nor on a mount with nosuid; prctl(2), PR_SET_NO_NEW_PRIVS",
    expect: credentials,
    look: Some(|_| vec![Request::SetuidFile { uid: ORDINARY }]),
    judge: |scene| {
        let look = scene.look(0)?;
        if look.number("ran").is_err() {
            let (step, errno) = (look.text("step")?, look.number("errno")?);
            if step == "setresuid" {
                let why = format!("no ordinary user can be had inside, setresuid: {}", judge::name(errno));
                return Ok(Finding::Absent(why));
            }
            return Ok(Finding::Wrong(format!("it did not run, {step}: {}", judge::name(errno))));
        }
        Ok(match look.number("gained")? {
            0 => Finding::Apart("it ran as the user who executed it".into()),
            _ => Finding::Open("it ran as root".into()),
        })
    },
    // Two mechanisms keep it, of which the mount's is none of our list.
    twin: Twin::Process,
    ..Check::NOTHING
}];

/// An ordinary user, inside.
const ORDINARY: u32 = 1000;

/// What bench itself is started with says nothing of what a process is given.
fn inherited(kind: Kind) -> Expect {
    match kind {
        Kind::Process => Expect::Pointless("a bare process has what bench itself was started with"),
        kind => credentials(kind),
    }
}

fn credentials(kind: Kind) -> Expect {
    match kind {
        Kind::Process => Expect::Open,
        Kind::Container | Kind::Runtime | Kind::Engine => Expect::Apart,
        Kind::Sandbox | Kind::Machine => Expect::Pointless("they count on a kernel of its own only"),
    }
}

fn line<'a>(scene: &'a Scene<'_>, name: &str) -> Result<&'a str, Missing> {
    let text = scene.look(0)?.text("text")?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::trim).ok_or_else(|| Missing(format!("{STATUS} has no {name}")))
}

fn beyond(scene: &Scene<'_>, name: &str, allowed: u64) -> Result<Finding, Missing> {
    let value = line(scene, name)?;
    let set = u64::from_str_radix(value, 16).map_err(|_| Missing(format!("{name} is {value:?}")))?;
    Ok(match set & !allowed {
        0 => Finding::Apart(format!("{name} {value}")),
        more => Finding::Open(format!("{name} {value}: {more:x} beyond {allowed:x}")),
    })
}

fn is_set(scene: &Scene<'_>, name: &str, wanted: &str) -> Result<Finding, Missing> {
    let value = line(scene, name)?;
    Ok(match value == wanted {
        true => Finding::Apart(format!("{name} {value}")),
        false => Finding::Open(format!("{name} {value}")),
    })
}

/// A check on a switch of the kernel's: it is opened for writing, and nothing is written.
macro_rules! switches {
    ($($id:literal $path:literal $twin:expr;)*) => {
        &[$(Check {
            id: $id,
            claim: CLAIM,
            question: concat!("can ", $path, " be written?"),
            source: "proc(5), sysfs(5), open(2)",
            expect: credentials,
            on_host: Some(|_| Switch::find($path)),
            look: Some(|_| vec![Request::Write { path: $path.into(), text: String::new() }]),
            judge: switched,
            twin: $twin,
            ..Check::NOTHING
        }),*]
    };
}

const SYSCTL: Twin = Twin::Without(&[Mechanism::ReadOnly("/proc/sys"), Mechanism::UserNamespace]);
const SYSFS: Twin = Twin::Without(&[Mechanism::ReadOnlySysfs, Mechanism::UserNamespace]);

pub(super) const SWITCHES: &[Check] = switches! {
    "priv-core-pattern" "/proc/sys/kernel/core_pattern" SYSCTL;
    "priv-modprobe" "/proc/sys/kernel/modprobe" SYSCTL;
    "priv-panic" "/proc/sys/kernel/panic" SYSCTL;
    "priv-sysrq" "/proc/sys/kernel/sysrq" SYSCTL;
    "priv-pid-max" "/proc/sys/kernel/threads-max" SYSCTL;
    "priv-vm-overcommit" "/proc/sys/vm/overcommit_memory" SYSCTL;
    "priv-drop-caches" "/proc/sys/vm/drop_caches" SYSCTL;
    "priv-file-max" "/proc/sys/fs/file-max" SYSCTL;
    "priv-suid-dumpable" "/proc/sys/fs/suid_dumpable" SYSCTL;
    "priv-bpf-jit" "/proc/sys/net/core/bpf_jit_enable" SYSCTL;
    "priv-sysrq-trigger" "/proc/sysrq-trigger"
        Twin::Without(&[Mechanism::ReadOnly("/proc/sysrq-trigger"), Mechanism::UserNamespace]);
    "priv-irq-affinity" "/proc/irq/default_smp_affinity"
        Twin::Without(&[Mechanism::ReadOnly("/proc/irq"), Mechanism::UserNamespace]);
    "priv-sys-uevent-helper" "/sys/kernel/uevent_helper" SYSFS;
    "priv-sys-ksm" "/sys/kernel/mm/ksm/run" SYSFS;
    "priv-sys-thp" "/sys/kernel/mm/transparent_hugepage/enabled" SYSFS;
    "priv-sys-cpu-online" "/sys/devices/system/cpu/cpu1/online" SYSFS;
    "priv-sys-profiling" "/sys/kernel/profiling" SYSFS;
};

/// A switch the host has, and can write.
struct Switch(&'static str);

impl Switch {
    fn find(path: &'static str) -> Result<Box<dyn OnHost>, Absent> {
        let found = std::fs::OpenOptions::new().write(true).open(path);
        match found {
            Ok(_) => Ok(Box::new(Switch(path))),
            Err(error) => Err(Absent(format!("{path} cannot be written by the host itself: {error}"))),
        }
    }
}

impl OnHost for Switch {
    fn witness(&self) -> Result<String, String> {
        let found = std::fs::OpenOptions::new().write(true).open(self.0);
        found.map(|_| format!("the host can write {}", self.0)).map_err(|error| error.to_string())
    }
}

fn switched(scene: &Scene<'_>) -> Result<Finding, Missing> {
    use nix::libc::{EACCES, ENOENT, EPERM, EROFS};
    let seen = scene.look(0)?;
    let errno = seen.number("open")?;
    Ok(match errno as i32 {
        0 => Finding::Open("it opens for writing".into()),
        EROFS | EACCES | EPERM => Finding::Apart(judge::name(errno)),
        ENOENT => Finding::Wrong("ENOENT: there is no such file inside, which the host has".into()),
        _ => Finding::Wrong(judge::name(errno)),
    })
}
