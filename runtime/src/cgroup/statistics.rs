//! What a group's controllers have counted.

/// Counters of one group. `None` or empty: that controller does not count for this group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Memory.
    pub memory: Option<MemoryStatistics>,
    /// Processor time.
    pub cpu: Option<CpuStatistics>,
    /// Processes and threads.
    pub pids: Option<PidsStatistics>,
    /// Block devices that were used.
    pub io: Vec<IoStatistics>,
    /// Huge pages, by size.
    pub hugetlb: Vec<HugetlbStatistics>,
}

/// Memory of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatistics {
    /// Charged now, kernel memory included.
    pub usage_bytes: u64,
    /// The most that was charged at one time.
    pub peak_bytes: Option<u64>,
    /// Swapped out.
    pub swap_bytes: Option<u64>,
    /// Of `usage_bytes`, the kernel's own on behalf of the group.
    pub kernel_bytes: Option<u64>,
    /// How often usage was about to pass the limit.
    pub limit_hits: u64,
    /// How often usage passed the `high` mark; v2 only.
    pub high_hits: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
}

/// Processor time of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStatistics {
    /// Used.
    pub usage_ns: Option<u64>,
    /// Of that, in user space.
    pub user_ns: Option<u64>,
    /// Of that, in the kernel.
    pub system_ns: Option<u64>,
    /// Quota periods that have passed.
    pub periods: Option<u64>,
    /// Of these, the ones in which the quota was used up.
    pub throttled_periods: Option<u64>,
    /// Time the group's processors were kept waiting, summed.
    pub throttled_ns: Option<u64>,
}

/// Processes and threads of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsStatistics {
    /// Alive now.
    pub current: u64,
    /// The most at one time.
    pub peak: Option<u64>,
    /// How often one more was refused.
    pub refused: u64,
}

/// What one group has done with one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStatistics {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
}

/// Huge pages of one size of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HugetlbStatistics {
    /// The size as the kernel names it.
    pub page_size: String,
    /// In use.
    pub usage_bytes: u64,
    /// How often more was refused.
    pub refused: u64,
}
