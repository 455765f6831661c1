//! How much of a host there is to ask of.

/// What of the host decides how much a run can ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSize {
    /// Processors this program may use.
    pub cores: u32,
    /// MemAvailable.
    pub mem_available_bytes: u64,
    /// Whether hardware virtualization is proven to work.
    pub kvm: bool,
}

/// Processors this program may use.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}
