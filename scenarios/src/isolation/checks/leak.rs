//! Channels that no namespace closes: files of /proc and /sys that tell of the whole machine
//! (Gao et al., "ContainerLeaks", DSN 2017, names the class).
//!
//! The host reads the same file just before and after the look inside. What is compared differs:
//! a *text* that is the machine's alone, *names* that turn up on both sides, or a *counter* that only
//! rises and so must lie between the host's two readings. What goes up and down is in `leak_level`.
//! Where the kernel is shared and nothing hides the file, an instance sees it by design; a virtual
//! machine sees its own kernel's. A file that is not there inside proves nothing, but for a kernel of
//! its own, which may have none.

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Expect, Finding, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;

pub(super) const CLAIM: &str = "ns-unaware";
pub(super) const SOURCE: &str = "proc(5), sysfs(5); Gao et al., ContainerLeaks, DSN 2017";
/// Bytes of a file that are looked at.
pub(super) const MOST: u32 = 4096;

/// What is compared.
#[derive(Clone, Copy)]
enum Value {
    /// This of the text, on both sides the same.
    Text(fn(&str) -> Option<String>),
    /// Any of these on both sides.
    Names(fn(&str) -> Vec<String>),
    /// Rises only.
    Counter(fn(&str) -> Option<u64>),
}

/// `id`, path, what is compared, what is right, what has to be gone for it to be seen.
macro_rules! channels {
    ($($id:literal $path:literal $value:expr, $expect:expr, $twin:expr;)*) => {
        &[$(Check {
            id: $id,
            claim: CLAIM,
            question: concat!("does ", $path, " tell of the host?"),
            source: SOURCE,
            expect: $expect,
            on_host: Some(|_| Reading::find($path, $value)),
            look: Some(|_| vec![Request::Read { path: $path.into(), most: MOST }]),
            judge: |scene| told($path, $value, scene),
            twin: $twin,
            ..Check::NOTHING
        }),*]
    };
}

pub(super) const ALL: &[Check] = channels! {
    "leak-meminfo" "/proc/meminfo" Value::Text(|text| field(text, "MemTotal")), of_kernel, Twin::Process;
    "leak-cpuinfo" "/proc/cpuinfo" Value::Text(|text| field(text, "model name")), model, Twin::Process;
    "leak-stat" "/proc/stat" Value::Text(|text| field(text, "btime")), of_kernel, Twin::Process;
    "leak-uptime" "/proc/uptime" Value::Counter(|text| hundredths(words(text).first()?)), of_kernel,
        Twin::Process;
    "leak-interrupts" "/proc/interrupts" Value::Counter(|text| row_sum(text, "LOC:")), of_kernel,
        Twin::Process;
    "leak-softirqs" "/proc/softirqs" Value::Counter(|text| row_sum(text, "TIMER:")), of_kernel, Twin::Process;
    "leak-zoneinfo" "/proc/zoneinfo" Value::Text(|text| field(text, "spanned")), zones, Twin::Process;
    "leak-diskstats" "/proc/diskstats" Value::Counter(reads), of_kernel, Twin::Process;
    "leak-partitions" "/proc/partitions" Value::Names(partitions), of_kernel, Twin::Process;
    "leak-swaps" "/proc/swaps" Value::Names(after_the_heading), of_kernel, Twin::Process;
    "leak-modules" "/proc/modules" Value::Names(modules), of_kernel, Twin::Process;
    "leak-keys" "/proc/keys" Value::Names(first_words), Expect::usual,
        Twin::Without(&[Mechanism::Masked("/proc/keys"), Mechanism::UserNamespace]);
    "leak-timer-list" "/proc/timer_list" Value::Counter(timer_now), Expect::usual,
        Twin::Without(&[Mechanism::Masked("/proc/timer_list"), Mechanism::UserNamespace]);
    "leak-kallsyms" "/proc/kallsyms" Value::Text(address), host_only, LOG_READER;
    "leak-slabinfo" "/proc/slabinfo" Value::Names(after_the_heading), host_only, USERS;
    "leak-vmallocinfo" "/proc/vmallocinfo" Value::Names(first_words), host_only, USERS;
    "leak-iomem" "/proc/iomem" Value::Text(whole), host_only, ADMIN;
    "leak-ioports" "/proc/ioports" Value::Text(whole), port_list, ADMIN;
    "leak-misc" "/proc/misc" Value::Text(whole), of_kernel, Twin::Process;
    "leak-pressure" "/proc/pressure/cpu" Value::Counter(|text| after(text, "total=")), of_kernel, Twin::Process;
    "leak-threads-max" "/proc/sys/kernel/threads-max" Value::Text(whole), of_kernel, Twin::Process;
    "leak-file-max" "/proc/sys/fs/file-max" Value::Text(memory_sized), of_kernel, Twin::Process;
    "leak-khugepaged" "/sys/kernel/mm/transparent_hugepage/khugepaged/pages_collapsed"
        Value::Text(other_than_zero), of_kernel, Twin::Process;
    "leak-uevent-seqnum" "/sys/kernel/uevent_seqnum" Value::Counter(first_number), of_kernel, Twin::Process;
    "leak-cpu-online" "/sys/devices/system/cpu/online" Value::Text(whole), processors, Twin::Process;
    "leak-node-meminfo" "/sys/devices/system/node/node0/meminfo" Value::Text(|text| after_word(text, "MemTotal:")),
        of_kernel, Twin::Process;
    "leak-dmi" "/sys/class/dmi/id/product_name" Value::Text(whole), of_kernel, Twin::Process;
    "leak-boot-params" "/sys/kernel/boot_params/version" Value::Text(whole), ports, Twin::Process;
};

/// What only the host's root reads, as a user of the same number.
const USERS: Twin = Twin::Without(&[Mechanism::UserNamespace]);

/// Addresses are shown to whom has CAP_SYSLOG over the host, others read zeroes.
const LOG_READER: Twin = Twin::Without(&[Mechanism::UserNamespace, Mechanism::Capability(34)]);
/// As above, CAP_SYS_ADMIN.
const ADMIN: Twin = Twin::Without(&[Mechanism::UserNamespace, Mechanism::Capability(21)]);

pub(super) fn of_kernel(kind: Kind) -> Expect {
    Expect::of_kernel(kind, "the kernel keeps one such file for all")
}

/// Every processor says what it is; a virtual one may be told to say the same.
fn model(kind: Kind) -> Expect {
    match kind {
        Kind::Machine | Kind::Sandbox => Expect::Shared("a guest is told the processor it may use"),
        kind => of_kernel(kind),
    }
}

/// Small numbers, which may be the same by chance.
fn processors(kind: Kind) -> Expect {
    match kind {
        Kind::Machine | Kind::Sandbox => Expect::Pointless("so few processors are alike by chance"),
        kind => of_kernel(kind),
    }
}

/// Alike on every machine of a kind, or by the nature of the number.
fn zones(kind: Kind) -> Expect {
    alike(kind, "the first zone is as large on every such machine")
}

fn ports(kind: Kind) -> Expect {
    alike(kind, "machines of a kind have the same")
}

fn alike(kind: Kind, why: &'static str) -> Expect {
    match kind {
        Kind::Machine => Expect::Pointless(why),
        kind => of_kernel(kind),
    }
}

/// What only the host's root reads, and what is alike on machines of a kind.
fn port_list(kind: Kind) -> Expect {
    match kind {
        Kind::Machine => ports(kind),
        kind => host_only(kind),
    }
}

/// For the host's root only: who has its number reads it.
fn host_only(kind: Kind) -> Expect {
    match kind {
        Kind::Runtime | Kind::Engine => Expect::Shared("without a user namespace its root is the host's"),
        kind => Expect::usual(kind),
    }
}

/// What a file of the host said when it was found.
struct Reading {
    path: &'static str,
    value: Value,
    first: String,
}

impl Reading {
    fn find(path: &'static str, value: Value) -> Result<Box<dyn OnHost>, Absent> {
        let text = read(path).map_err(Absent)?;
        match short(value, &text) {
            Some(_) => Ok(Box::new(Reading { path, value, first: text })),
            None => Err(Absent(format!("{path} of this host tells nothing to compare"))),
        }
    }
}

impl OnHost for Reading {
    fn witness(&self) -> Result<String, String> {
        let text = read(self.path)?;
        let value = short(self.value, &text).ok_or_else(|| format!("{} tells nothing now", self.path))?;
        Ok(format!("the host reads {value}"))
    }

    fn text(&self) -> String {
        self.first.clone()
    }
}

/// As much of it as the look inside reads.
pub(super) fn read(path: &str) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| format!("{path} of the host: {error}"))?;
    let mut bytes = Vec::new();
    file.take(MOST.into()).read_to_end(&mut bytes).map_err(|error| format!("{path} of the host: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value in a few words.
fn short(value: Value, text: &str) -> Option<String> {
    let told = match value {
        Value::Text(of) => of(text)?,
        Value::Names(of) => of(text).first()?.clone(),
        Value::Counter(of) => of(text)?.to_string(),
    };
    Some(told.chars().take(60).collect())
}

/// What it means that nothing of `path` was read inside; `None` where something was.
///
/// # Errors
/// Where a fact is missing.
pub(super) fn unread(scene: &Scene<'_>, path: &str) -> Result<Option<Finding>, Missing> {
    let seen = scene.look(0)?;
    let errno = seen.number("errno")?;
    Ok(match errno as i32 {
        0 if seen.text("text")?.trim().is_empty() => Some(Finding::Apart("it is empty inside".into())),
        0 => None,
        libc::ENOENT if !scene.kind.shares_kernel() => {
            Some(Finding::Absent(format!("the kernel inside has no {path}")))
        }
        libc::EACCES | libc::EPERM => Some(Finding::Apart(judge::name(errno))),
        _ => Some(Finding::Wrong(judge::name(errno))),
    })
}

fn told(path: &str, value: Value, scene: &Scene<'_>) -> Result<Finding, Missing> {
    if let Some(finding) = unread(scene, path)? {
        return Ok(finding);
    }
    let inside = scene.look(0)?.text("text")?;
    let (before, after) = (scene.host()?.text(), read(path).map_err(Missing)?);
    Ok(match value {
        Value::Text(of) => match of(inside) {
            Some(text) if Some(&text) == of(&before).as_ref() || Some(&text) == of(&after).as_ref() => {
                Finding::Open("the host's own".into())
            }
            Some(_) => Finding::Apart("another one".into()),
            None => Finding::Apart("nothing of the kind is told".into()),
        },
        Value::Names(of) => {
            let mut on_host = of(&before);
            on_host.extend(of(&after));
            let inside = of(inside);
            match inside.iter().find(|name| on_host.contains(name)) {
                Some(name) => Finding::Open(format!("{name} of the host")),
                None => Finding::Apart(format!("{} names, none of the host's", inside.len())),
            }
        }
        Value::Counter(of) => between(of(inside), of(&before), of(&after))?,
    })
}

fn between(inside: Option<u64>, low: Option<u64>, high: Option<u64>) -> Result<Finding, Missing> {
    let (Some(low), Some(high)) = (low, high) else {
        return Err(Missing("the host's own reading is gone".into()));
    };
    Ok(match inside {
        Some(value) if value >= low && value <= high => {
            Finding::Open(format!("{value}, the host reads {low} and {high}"))
        }
        Some(value) => Finding::Apart(format!("{value}, the host reads {low} and {high}")),
        None => Finding::Apart("nothing of the kind is told".into()),
    })
}

fn whole(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

pub(super) fn first_number(text: &str) -> Option<u64> {
    words(text).first()?.parse().ok()
}

/// The value of `name: value` or `name value`.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
    Some(value.trim_start_matches([' ', '\t', ':']).trim_end().to_owned())
}

/// What follows `word` anywhere in a line.
fn after_word(text: &str, word: &str) -> Option<String> {
    Some(text.split_once(word)?.1.lines().next()?.trim().to_owned())
}

fn after(text: &str, word: &str) -> Option<u64> {
    after_word(text, word)?.parse().ok()
}

/// `12.34` as 1234.
fn hundredths(word: &str) -> Option<u64> {
    word.replace('.', "").parse().ok()
}

fn row_sum(text: &str, name: &str) -> Option<u64> {
    let row = text.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
    Some(words(row).iter().map_while(|word| word.parse::<u64>().ok()).sum())
}

/// Reads completed on all devices (Documentation/admin-guide/iostats.rst, field 1).
fn reads(text: &str) -> Option<u64> {
    Some(text.lines().filter_map(|line| words(line).get(3)?.parse::<u64>().ok()).sum()).filter(|sum| *sum > 0)
}

/// Devices with their sizes.
fn partitions(text: &str) -> Vec<String> {
    let lines = text.lines().skip(1).map(|line| words(line).join(" ")).filter(|line| !line.is_empty());
    // Devices for nothing in particular are alike everywhere.
    lines.filter(|line| !line.contains("loop") && !line.contains("ram")).collect()
}

fn after_the_heading(text: &str) -> Vec<String> {
    text.lines().skip(2).map(|line| words(line).into_iter().take(4).collect::<Vec<_>>().join(" ")).collect()
}

fn first_words(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| Some((*words(line).first()?).to_owned())).collect()
}

/// Name, size and, where it is told, address.
fn modules(text: &str) -> Vec<String> {
    let module = |line: &str| {
        let words = words(line);
        Some(format!("{} {} {}", words.first()?, words.get(1)?, words.get(5)?))
    };
    text.lines().filter_map(module).collect()
}

/// `now at … nsecs`.
fn timer_now(text: &str) -> Option<u64> {
    words(text.split_once("now at")?.1).first()?.parse().ok()
}

/// The address of the first symbol; zeroes where it is hidden.
fn address(text: &str) -> Option<String> {
    let address = words(text).first().map(|word| (*word).to_owned())?;
    Some(address).filter(|address| address.bytes().any(|byte| byte != b'0'))
}

/// A limit that follows the size of memory; the largest number of all is a setting.
fn memory_sized(text: &str) -> Option<String> {
    whole(text).filter(|text| text.len() < 18)
}

fn other_than_zero(text: &str) -> Option<String> {
    whole(text).filter(|text| text != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_from_the_kernels_texts() {
        assert_eq!(field("MemTotal:       24684092 kB\n", "MemTotal").as_deref(), Some("24684092 kB"));
        assert_eq!(field("cpu 1 2\nbtime 77\n", "btime").as_deref(), Some("77"));
        assert_eq!(hundredths("15630.38"), Some(1_563_038));
        assert_eq!(row_sum("  CPU0 CPU1\nLOC: 5 7 Local timer interrupts\n", "LOC:"), Some(12));
        assert_eq!(reads("254 0 vda 10 0 0\n254 1 vda1 5 0 0\n"), Some(15));
        assert_eq!(
            partitions("major minor  #blocks  name\n\n 254 0 268435456 vda\n 7 0 0 loop0\n"),
            ["254 0 268435456 vda"]
        );
        assert_eq!(timer_now("Timer List\nnow at 123 nsecs\n"), Some(123));
        assert_eq!(address("0000000000000000 T a\n"), None);
        assert_eq!(after("some avg10=1.57 total=954\nfull total=1", "total="), Some(954));
    }

    #[test]
    fn a_counter_is_the_hosts_only_between_its_readings() {
        let finding = |value| between(Some(value), Some(10), Some(12));
        assert!(matches!(finding(11), Ok(Finding::Open(_))));
        assert!(matches!(finding(9), Ok(Finding::Apart(_))));
        assert!(matches!(finding(13), Ok(Finding::Apart(_))));
        assert!(between(Some(1), None, Some(1)).is_err());
    }
}
