//! The accounting methods, side by side.
//!
//! Of the host: /proc/meminfo (proc_meminfo(5)). Of the instances: what each backend's kernel files
//! say, summed. A sum is given only where every instance could be read: half a sum is no sum.

use std::fs;
use std::path::Path;

use results::record::{MemoryState, MemoryStep};
use runtime::{Footprint, Instance};

/// What of /proc/meminfo is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) total_bytes: Option<u64>,
    pub(super) available_bytes: Option<u64>,
    pub(super) slab_bytes: Option<u64>,
    pub(super) page_tables_bytes: Option<u64>,
    pub(super) kernel_stack_bytes: Option<u64>,
    pub(super) percpu_bytes: Option<u64>,
    pub(super) page_cache_bytes: Option<u64>,
}

impl Host {
    /// As it is now, below `root`, the root of the file system.
    pub(super) fn read(root: &Path) -> Host {
        let meminfo = fs::read_to_string(root.join("proc/meminfo"));
        let host = meminfo.map_or_else(|_| Host::default(), |text| Host::parse(&text));
        let parked_bytes =
            fs::read_to_string(root.join("proc/zoneinfo")).map_or(0, |text| parked_bytes(&text));
        let available_bytes = host.available_bytes.map(|bytes| bytes + parked_bytes);
        Host { available_bytes, ..host }
    }

    fn parse(text: &str) -> Host {
        let bytes = |name: &str| {
            let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
            let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
            kib.checked_mul(1024)
        };
        Host {
            total_bytes: bytes("MemTotal"),
            available_bytes: bytes("MemAvailable"),
            slab_bytes: bytes("Slab"),
            page_tables_bytes: bytes("PageTables"),
            kernel_stack_bytes: bytes("KernelStack"),
            percpu_bytes: bytes("Percpu"),
            page_cache_bytes: bytes("Cached").zip(bytes("Buffers")).map(|(cached, buffers)| cached + buffers),
        }
    }

    /// MemAvailable as a share of MemTotal.
    pub(super) fn free_ratio(&self) -> Option<f64> {
        Some(self.available_bytes? as f64 / self.total_bytes.filter(|total| *total > 0)? as f64)
    }
}

/// Free pages that are parked on lists of single processors, which MemFree and MemAvailable leave out.
/// Since Linux 6.7 that can be an eighth of all memory (mm/page_alloc.c, `zone_highsize`): what one
/// repetition has given back is then missing from the begin of the next, and comes from nowhere while it grows.
/// `text` is /proc/zoneinfo: `count:` of each processor's page set, in pages.
fn parked_bytes(text: &str) -> u64 {
    let counts =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("count:")?.trim().parse::<u64>().ok());
    counts.sum::<u64>().saturating_mul(rustix::param::page_size() as u64)
}

/// Sums over instances.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    live: u32,
    counted: u32,
    sum: Footprint,
}

impl Sums {
    /// Adds one instance.
    pub(super) fn add(&mut self, instance: &dyn Instance) {
        self.live += 1;
        // One that cannot be read has ended or may not be looked at; `counted` shows it.
        if let Ok(footprint) = instance.memory() {
            self.take(&footprint);
        }
    }

    fn take(&mut self, footprint: &Footprint) {
        let is_first = self.counted == 0;
        self.counted += 1;
        let add = |sum: &mut Option<u64>, part: Option<u64>| {
            *sum = if is_first { part } else { sum.zip(part).map(|(sum, part)| sum + part) };
        };
        add(&mut self.sum.rss_bytes, footprint.rss_bytes);
        add(&mut self.sum.pss_bytes, footprint.pss_bytes);
        add(&mut self.sum.private_bytes, footprint.private_bytes);
        add(&mut self.sum.virtual_bytes, footprint.virtual_bytes);
        add(&mut self.sum.cgroup_bytes, footprint.cgroup_bytes);
    }

    /// The row of a step.
    pub(super) fn row(
        &self,
        storm: u32,
        backend: &str,
        at_ns: u64,
        state: MemoryState,
        host: &Host,
    ) -> MemoryStep {
        // Nothing lives: every sum is 0, and the line has its beginning.
        let sum = |sum: Option<u64>| match self.live {
            0 => Some(0),
            live if live == self.counted => sum,
            _ => None,
        };
        MemoryStep {
            storm,
            backend: backend.to_owned(),
            live: self.live,
            at_ns,
            state,
            mem_available_bytes: host.available_bytes,
            slab_bytes: host.slab_bytes,
            page_tables_bytes: host.page_tables_bytes,
            kernel_stack_bytes: host.kernel_stack_bytes,
            percpu_bytes: host.percpu_bytes,
            page_cache_bytes: host.page_cache_bytes,
            counted: self.counted,
            rss_bytes: sum(self.sum.rss_bytes),
            pss_bytes: sum(self.sum.pss_bytes),
            private_bytes: sum(self.sum.private_bytes),
            virtual_bytes: sum(self.sum.virtual_bytes),
            cgroup_bytes: sum(self.sum.cgroup_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Cut from a Debian 12 host.
    const MEMINFO: &str = "\
MemTotal:       24736444 kB
MemFree:        23000000 kB
MemAvailable:   23900000 kB
Buffers:            1000 kB
Cached:           700000 kB
SwapCached:            0 kB
Slab:             120000 kB
KernelStack:        2000 kB
PageTables:         3000 kB
Percpu:              900 kB
";

    #[test]
    fn meminfo_is_read_in_bytes() {
        let host = Host::parse(MEMINFO);
        assert_eq!(host.page_cache_bytes, Some(701_000 * 1024));
        assert_eq!(host.slab_bytes, Some(120_000 * 1024));
        assert!(host.free_ratio().is_some_and(|free| (0.96..0.97).contains(&free)));
        assert_eq!(Host::parse("").free_ratio(), None);
    }

    // Cut from kernel 6.18.
    const ZONEINFO: &str = "\
Node 0, zone   Normal
  pages free     5366231
  pagesets
    cpu: 0
              count:    100
              high:     14
              batch:    63
    cpu: 1
              count:    28
              high:     14
  node_unreclaimable:  0
";

    #[test]
    fn free_pages_of_single_processors_are_available() {
        assert_eq!(parked_bytes(ZONEINFO), 128 * rustix::param::page_size() as u64);
        assert_eq!(parked_bytes(""), 0);
        let root = tempfile::tempdir().expect("folder");
        fs::create_dir(root.path().join("proc")).expect("made");
        fs::write(root.path().join("proc/meminfo"), MEMINFO).expect("written");
        let without = Host::read(root.path()).available_bytes.expect("known");
        fs::write(root.path().join("proc/zoneinfo"), ZONEINFO).expect("written");
        assert_eq!(Host::read(root.path()).available_bytes, Some(without + parked_bytes(ZONEINFO)));
    }

    #[test]
    fn half_a_sum_is_no_sum() {
        let footprint =
            |rss, cgroup| Footprint { rss_bytes: Some(rss), cgroup_bytes: cgroup, ..Footprint::default() };
        let mut sums = Sums::default();
        let row = |sums: &Sums| sums.row(0, "x", 0, MemoryState::Idle, &Host::default());
        assert_eq!(row(&sums).rss_bytes, Some(0));
        sums.live = 2;
        sums.take(&footprint(10, Some(1)));
        assert_eq!((row(&sums).rss_bytes, row(&sums).counted), (None, 1));
        sums.take(&footprint(5, None));
        assert_eq!((row(&sums).rss_bytes, row(&sums).cgroup_bytes), (Some(15), None));
    }
}
