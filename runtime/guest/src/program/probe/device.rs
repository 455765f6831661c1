//! What a machine is given, and its end.

use std::fs::{self, File};
use std::io::Read;

use guest::probe::Facts;

use super::super::fw_cfg::FwCfg;
use super::{errno, errno_of, facts, number};
use crate::program::clock::read_ns;

/// Most of a disk that is looked through.
const MOST_BYTES: u64 = 64 << 20;
/// Key of the kernel's command line (docs/specs/fw_cfg.rst, standard items): what the host has told.
const COMMAND_LINE: &[u8] = b"reboot=";

/// Looks for a word of the host's in a file by its path, and on all devices.
pub fn find(path: &str, word: &str, is_machine: bool) -> Facts {
    let [path, word]: [String; 2] = [path, word].map(|backwards| backwards.chars().rev().collect());
    let read = fs::read_to_string(&path).map(|text| text.contains(&word));
    let by_path = match read {
        Ok(true) => number(0),
        Ok(false) => number(libc::ENOENT),
        Err(error) => errno(&error),
    };
    let mut scanned = 0;
    let mut found = 0;
    let mut own = by_path == number(0) || !is_machine;
    if is_machine {
        for content in disks().chain(configuration()) {
            scanned += 1;
            found += i64::from(contains(&content, word.as_bytes()));
        }
        own = fs::read("/proc/cmdline").is_ok_and(|line| contains(&line, COMMAND_LINE)) && scanned > 0;
    }
    facts([
        ("errno", by_path),
        ("scanned", number(scanned)),
        ("found", number(found)),
        ("own", number(i64::from(own))),
    ])
}

/// Block devices, those that hold something.
fn disks() -> impl Iterator<Item = Vec<u8>> {
    let names = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    names.filter_map(|name| {
        let mut content = Vec::new();
        let disk = File::open(std::path::Path::new("/dev").join(name.file_name())).ok()?;
        disk.take(MOST_BYTES).read_to_end(&mut content).ok()?;
        (!content.is_empty()).then_some(content)
    })
}

/// Files of QEMU's firmware configuration device.
fn configuration() -> impl Iterator<Item = Vec<u8>> {
    let device = FwCfg::open().ok();
    let files = device.as_ref().map(FwCfg::files).unwrap_or_default();
    files.into_iter().filter_map(move |file| device.as_ref().map(|device| device.content(file)))
}

fn contains(content: &[u8], word: &[u8]) -> bool {
    content.windows(word.len().max(1)).any(|window| window == word)
}

/// Whether this is a machine started by this program: what is done to its kernel is done to nobody else's.
fn is_machine() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.contains("panic=-1 reboot=t"))
}

/// Puts the clock of the day ahead; does nothing where this is no machine, whose clock is everybody's.
pub fn set_clock(ahead_s: u32) -> Facts {
    let before = read_ns(libc::CLOCK_REALTIME);
    let errno = match is_machine() {
        false => libc::EOPNOTSUPP.into(),
        true => {
            let now_s = (before / 1_000_000_000) as libc::time_t;
            let ahead = libc::timespec { tv_sec: now_s + libc::time_t::from(ahead_s), tv_nsec: 0 };
            // SAFETY: the time lives through the call.
            errno_of(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &ahead) }.into())
        }
    };
    let after = read_ns(libc::CLOCK_REALTIME);
    facts([
        ("errno", number(errno)),
        ("before_ns", number(before as i64)),
        ("after_ns", number(after as i64)),
    ])
}

/// Ends the machine; does nothing where this is none, whose kernel is everybody's.
pub fn end(is_by_panic: bool) {
    if !is_machine() {
        return;
    }
    // The answer has to be out first.
    std::thread::sleep(std::time::Duration::from_millis(300));
    if is_by_panic {
        let _ = fs::write("/proc/sys/kernel/sysrq", "1");
        let _ = fs::write("/proc/sysrq-trigger", "c");
    } else {
        // SAFETY: no memory is involved.
        unsafe { libc::reboot(libc::RB_AUTOBOOT) };
    }
}
