//! Kernel samepage merging: switched on for one look, and put back.
//!
//! Source: Documentation/admin-guide/mm/ksm.rst. KSM merges only what a process has offered:
//! QEMU offers its guests' memory (mem-merge=on, the default); a container or a plain process
//! offers nothing unless its program asks with madvise(2) or prctl(2) PR_SET_MEMORY_MERGE.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use results::record::KsmSample;
use runtime::clock::now_ns;
use runtime::state::HostSetting;

use super::account::Host;
use crate::clock::sleep_until_ns;
use crate::storm::Ledger;

const FOLDER: &str = "/sys/kernel/mm/ksm";
/// Pages looked at between two naps of the kernel's thread while merging is measured.
const PAGES_TO_SCAN: &str = "20000";
/// Time between two looks.
const PERIOD_NS: u64 = 250_000_000;
/// Longest wait for merging to end.
const DEADLINE: Duration = Duration::from_secs(90);
/// Complete scans without anything new after which it is done.
const IDLE_SCANS: u64 = 2;

/// KSM under this run's control. Dropping it puts the host's settings back.
pub(super) struct Merging {
    run: HostSetting,
    _pace: HostSetting,
}

/// One look while it merges.
pub(super) struct Sample {
    at_ns: u64,
    pages_shared: u64,
    pages_sharing: u64,
    full_scans: u64,
    cpu_ns: u64,
    available_bytes: Option<u64>,
}

impl Merging {
    /// Off, with a pace that ends in reasonable time once it is on.
    pub(super) fn off(state_dir: &Path) -> io::Result<Merging> {
        let folder = Path::new(FOLDER);
        let run = HostSetting::change(state_dir, &folder.join("run"), "0")?;
        Ok(Merging {
            run,
            _pace: HostSetting::change(state_dir, &folder.join("pages_to_scan"), PAGES_TO_SCAN)?,
        })
    }

    /// Switches it on and looks until nothing more is merged, `is_over` says so, or for 90 s.
    pub(super) fn until_done(&self, is_over: impl Fn() -> bool) -> io::Result<Vec<Sample>> {
        let began_ns = now_ns();
        let thread = ksmd();
        let cpu_before_ns = thread.as_deref().map_or(0, cpu_ns);
        self.run.set("1")?;
        let mut samples: Vec<Sample> = Vec::new();
        let mut changed_at_scan = None;
        while now_ns() - began_ns < DEADLINE.as_nanos() as u64 && !is_over() {
            let sample = Sample {
                at_ns: now_ns(),
                pages_shared: number("pages_shared")?,
                pages_sharing: number("pages_sharing")?,
                full_scans: number("full_scans")?,
                cpu_ns: thread.as_deref().map_or(0, cpu_ns).saturating_sub(cpu_before_ns),
                available_bytes: Host::read(Path::new("/")).available_bytes,
            };
            if samples.last().is_none_or(|last| last.pages_sharing != sample.pages_sharing) {
                changed_at_scan = Some(sample.full_scans);
            }
            let is_done = changed_at_scan.is_some_and(|scan| sample.full_scans > scan + IDLE_SCANS);
            samples.push(sample);
            if is_done {
                break;
            }
            sleep_until_ns(now_ns() + PERIOD_NS);
        }
        Ok(samples)
    }

    /// Takes apart what was merged, for the next repetition to start equal.
    pub(super) fn off_again(&self) -> io::Result<()> {
        self.run.set("2")?;
        self.run.set("0")
    }
}

impl Sample {
    pub(super) fn row(&self, storm: u32, backend: &str, ledger: &Ledger<'_>) -> KsmSample {
        KsmSample {
            storm,
            backend: backend.to_owned(),
            at_ns: ledger.since_epoch_ns(self.at_ns),
            pages_shared: self.pages_shared,
            pages_sharing: self.pages_sharing,
            full_scans: self.full_scans,
            ksmd_cpu_ns: self.cpu_ns,
            mem_available_bytes: self.available_bytes,
        }
    }
}

fn number(file: &str) -> io::Result<u64> {
    let text = fs::read_to_string(Path::new(FOLDER).join(file))?;
    text.trim().parse().map_err(|_| io::Error::other(format!("{FOLDER}/{file} holds {text:?}")))
}

/// The folder in /proc of the kernel's thread.
fn ksmd() -> Option<PathBuf> {
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "ksmd"))
}

/// Processor time of a process, in the resolution of /proc/PID/schedstat (nanoseconds) or else of
/// its stat (ticks).
fn cpu_ns(process: &Path) -> u64 {
    let first = |text: String| text.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
    fs::read_to_string(process.join("schedstat")).ok().and_then(first).unwrap_or(0)
}
