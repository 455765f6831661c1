//! The kernel's counters of the whole host (proc(5), Documentation/accounting/psi.rst,
//! Documentation/admin-guide/iostats.rst). A file that is missing leaves its counters `None`.

use std::fs;
use std::path::Path;

/// Sectors of /proc/diskstats are of this size whatever the disk's own is.
const SECTOR_BYTES: u64 = 512;

/// Devices whose traffic is counted again at what lies below them, or that are no disks.
const STACKED: [&str; 6] = ["dm-", "md", "loop", "ram", "zram", "sr"];

/// Totals since boot, and memory now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Processor time in ticks, all states.
    pub(super) cpu_total: Option<u64>,
    /// Ticks idle, waiting for input and output included.
    pub(super) cpu_idle: Option<u64>,
    /// Ticks the host's own hypervisor gave to others.
    pub(super) cpu_steal: Option<u64>,
    /// Processes and threads made.
    pub(super) forks: Option<u64>,
    pub(super) disk_read_bytes: Option<u64>,
    pub(super) disk_written_bytes: Option<u64>,
    pub(super) mem_available_bytes: Option<u64>,
    /// `some` totals in microseconds.
    pub(super) psi_cpu_us: Option<u64>,
    pub(super) psi_io_us: Option<u64>,
    pub(super) psi_memory_us: Option<u64>,
}

impl Counters {
    /// Reads what there is below `root`, the root of the file system.
    pub(crate) fn read(root: &Path) -> Counters {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let mut counters = Counters::default();
        if let Some(stat) = text("proc/stat") {
            counters.take_stat(&stat);
        }
        if let Some(disks) = text("proc/diskstats") {
            counters.take_disks(&disks, |name| root.join("sys/block").join(name).exists());
        }
        counters.mem_available_bytes = text("proc/meminfo").and_then(|text| mem_available(&text));
        let psi = |what: &str| text(&format!("proc/pressure/{what}")).and_then(|text| psi_some_us(&text));
        counters.psi_cpu_us = psi("cpu");
        counters.psi_io_us = psi("io");
        counters.psi_memory_us = psi("memory");
        counters
    }

    /// CPU use of the whole host between `before` and now, 0 to 1.
    pub(crate) fn cpu_used_ratio(&self, before: &Counters) -> Option<f64> {
        let total = delta(self.cpu_total, before.cpu_total).filter(|total| *total > 0)?;
        let idle = delta(self.cpu_idle, before.cpu_idle)?;
        Some((1.0 - idle as f64 / total as f64).clamp(0.0, 1.0))
    }

    fn take_stat(&mut self, stat: &str) {
        for line in stat.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("cpu") => {
                    // user nice system idle iowait irq softirq steal guest guest_nice; the guest
                    // columns are contained in user and nice.
                    let ticks: Vec<u64> = words.take(8).filter_map(|word| word.parse().ok()).collect();
                    if ticks.len() == 8 {
                        self.cpu_total = Some(ticks.iter().sum());
                        self.cpu_idle = Some(ticks[3] + ticks[4]);
                        self.cpu_steal = Some(ticks[7]);
                    }
                }
                Some("processes") => self.forks = words.next().and_then(|word| word.parse().ok()),
                _ => {}
            }
        }
    }

    fn take_disks(&mut self, disks: &str, is_whole_disk: impl Fn(&str) -> bool) {
        let (mut read, mut written) = (0, 0);
        for line in disks.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(name), Some(sectors_read), Some(sectors_written)) =
                (words.get(2), words.get(5), words.get(9))
            else {
                continue;
            };
            if STACKED.iter().any(|prefix| name.starts_with(prefix)) || !is_whole_disk(name) {
                continue;
            }
            read += sectors_read.parse().unwrap_or(0) * SECTOR_BYTES;
            written += sectors_written.parse().unwrap_or(0) * SECTOR_BYTES;
        }
        self.disk_read_bytes = Some(read);
        self.disk_written_bytes = Some(written);
    }
}

/// Growth of a counter; `None` where either reading is missing or it went back.
pub(super) fn delta(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    now?.checked_sub(before?)
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn psi_some_us(pressure: &str) -> Option<u64> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_kernel_writes() {
        // Captured from a Debian 12 virtual machine of 2 processors, Linux 6.18.
        let mut counters = Counters::default();
        counters.take_stat(
            "cpu  188420 0 61385 1148230 3141 0 1017 3 40 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\nprocesses 204417\n",
        );
        assert_eq!(counters.cpu_total, Some(188420 + 61385 + 1148230 + 3141 + 1017 + 3));
        assert_eq!(counters.cpu_idle, Some(1148230 + 3141));
        assert_eq!(counters.cpu_steal, Some(3));
        assert_eq!(counters.forks, Some(204417));
        assert_eq!(
            psi_some_us("some avg10=4.45 avg60=1.32 avg300=0.82 total=16624605\nfull avg10=0.00 total=0\n"),
            Some(16624605)
        );
        assert_eq!(mem_available("MemTotal: 10 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        counters.take_disks(
            " 254 0 vda 100 0 8 5 20 0 16 9 0 3 4\n 254 1 vda1 90 0 8 5 20 0 16 9 0 3 4\n 253 0 dm-0 1 0 8 0 1 0 8 0 0 0 0\n",
            |name| name != "vda1",
        );
        assert_eq!((counters.disk_read_bytes, counters.disk_written_bytes), (Some(4096), Some(8192)));
    }

    #[test]
    fn a_host_without_these_files_has_no_counters() {
        let empty = tempfile::tempdir().expect("folder");
        let counters = Counters::read(empty.path());
        assert_eq!(counters, Counters::default());
        assert_eq!(counters.cpu_used_ratio(&counters), None);
    }

    #[test]
    fn use_is_what_was_not_idle() {
        let at =
            |total, idle| Counters { cpu_total: Some(total), cpu_idle: Some(idle), ..Counters::default() };
        assert_eq!(at(200, 150).cpu_used_ratio(&at(100, 100)), Some(0.5));
        assert_eq!(at(100, 150).cpu_used_ratio(&at(100, 100)), None);
    }
}
