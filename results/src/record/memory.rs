//! `memory.csv` and `ksm.csv`: what instances occupy.

use serde::{Deserialize, Serialize};

/// What the instances were doing when their memory was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryState {
    /// Started, ready or serving, and left alone.
    Idle,
    /// After each had answered requests.
    Worked,
    /// After each that can had given memory back to the host (a machine's balloon).
    Ballooned,
    /// After the kernel had been told to merge equal pages (KSM) and was done with it.
    Merged,
}

/// A row of `memory.csv`: the host and the sums over all live instances of one backend after a
/// step of growth. What an accounting method cannot say is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryStep {
    /// Repetition, numbered as storms are.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// Instances alive.
    pub live: u32,
    /// When it was looked.
    pub at_ns: u64,
    /// What the instances were doing.
    pub state: MemoryState,
    /// MemAvailable of the host, and the free pages on the lists of single processors that it leaves out.
    pub mem_available_bytes: Option<u64>,
    /// Slab of the host: kernel objects, those of namespaces among them.
    pub slab_bytes: Option<u64>,
    /// PageTables of the host.
    pub page_tables_bytes: Option<u64>,
    /// KernelStack of the host.
    pub kernel_stack_bytes: Option<u64>,
    /// Percpu of the host.
    pub percpu_bytes: Option<u64>,
    /// Cached and Buffers of the host.
    pub page_cache_bytes: Option<u64>,
    /// Instances whose processes could be read for the sums below.
    pub counted: u32,
    /// Σ resident set size: shared pages count once for each who shares them.
    pub rss_bytes: Option<u64>,
    /// Σ proportional set size: shared pages count once.
    pub pss_bytes: Option<u64>,
    /// Σ private pages.
    pub private_bytes: Option<u64>,
    /// Σ virtual size.
    pub virtual_bytes: Option<u64>,
    /// Σ memory cgroups, kernel memory included.
    pub cgroup_bytes: Option<u64>,
}

/// A row of `ksm.csv`: how far the kernel's merging of equal pages is
/// (Documentation/admin-guide/mm/ksm.rst).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KsmSample {
    /// Repetition.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// When it was looked.
    pub at_ns: u64,
    /// Pages that stand for others.
    pub pages_shared: u64,
    /// Pages that are saved.
    pub pages_sharing: u64,
    /// Complete scans of all memory on offer, since boot.
    pub full_scans: u64,
    /// Processor time the kernel's thread has taken since merging was switched on.
    pub ksmd_cpu_ns: u64,
    /// MemAvailable.
    pub mem_available_bytes: Option<u64>,
}
