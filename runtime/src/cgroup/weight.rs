//! Shares of v1 and weights of v2, and the way from one to the other.

/// A group's share of the processors among its siblings. Both scales have the kernel's default in
/// the middle, and are converted so that it stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuWeight {
    /// v1 and OCI: 2 to 262,144, default 1,024.
    Shares(u64),
    /// v2: 1 to 10,000, default 100.
    Weight(u64),
}

const SHARES: (u64, u64) = (2, 262_144);
const WEIGHTS: (u64, u64) = (1, 10_000);

impl CpuWeight {
    /// For `cpu.weight`. Shares are converted as OCI runtimes do since 2025 (opencontainers/cgroups,
    /// `ConvertCPUSharesToCgroupV2Value`; crun since 1.23): a curve through the lowest, default and
    /// highest values of both scales. The straight line used before made 39 out of the default.
    pub fn weight(self) -> u64 {
        match self {
            CpuWeight::Weight(weight) => weight.clamp(WEIGHTS.0, WEIGHTS.1),
            CpuWeight::Shares(shares) if shares <= SHARES.0 => WEIGHTS.0,
            CpuWeight::Shares(shares) if shares >= SHARES.1 => WEIGHTS.1,
            CpuWeight::Shares(shares) => {
                let log = (shares as f64).log2();
                let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
                // Rounding up as there, but not for the last digits of a logarithm.
                (10f64.powf(exponent) - 1e-9).ceil() as u64
            }
        }
    }

    /// For `cpu.shares`. A weight keeps its ratio to the default, as in the kernel
    /// (`sched_weight_from_cgroup`, kernel/sched/core.c).
    pub fn shares(self) -> u64 {
        match self {
            CpuWeight::Shares(shares) => shares.clamp(SHARES.0, SHARES.1),
            CpuWeight::Weight(weight) => {
                ((weight.min(WEIGHTS.1) * 1024 + 50) / 100).clamp(SHARES.0, SHARES.1)
            }
        }
    }
}

/// A group's share of a block device's time among its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoWeight {
    /// v1, OCI and the BFQ scheduler: 10 (BFQ: 1) to 1,000.
    Blkio(u64),
    /// `io.weight` of v2: 1 to 10,000, default 100.
    Io(u64),
}

impl IoWeight {
    /// For `io.weight`; the conversion is the OCI runtimes' (`ConvertBlkIOToIOWeightValue`).
    pub fn io(self) -> u64 {
        match self {
            IoWeight::Io(weight) => weight.clamp(WEIGHTS.0, WEIGHTS.1),
            IoWeight::Blkio(weight) => 1 + (weight.clamp(10, 1000) - 10) * 9_999 / 990,
        }
    }

    /// For `blkio.weight` and the files of BFQ.
    pub fn blkio(self) -> u64 {
        match self {
            IoWeight::Blkio(weight) => weight.clamp(10, 1000),
            IoWeight::Io(weight) => 10 + (weight.clamp(WEIGHTS.0, WEIGHTS.1) - 1) * 990 / 9_999,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_of_the_scales_meet() {
        for (shares, weight) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
            assert_eq!(CpuWeight::Shares(shares).weight(), weight, "{shares}");
        }
        for (weight, shares) in [(1, 10), (100, 1024), (50, 512), (10_000, 102_400), (0, 2)] {
            assert_eq!(CpuWeight::Weight(weight).shares(), shares, "{weight}");
        }
        for (blkio, io) in [(0, 1), (10, 1), (1000, 10_000)] {
            assert_eq!(IoWeight::Blkio(blkio).io(), io);
        }
        assert_eq!((IoWeight::Io(1).blkio(), IoWeight::Io(10_000).blkio()), (10, 1000));
    }

    #[test]
    fn more_shares_are_never_less_weight() {
        let weights: Vec<_> = (1..=262_144).step_by(97).map(|n| CpuWeight::Shares(n).weight()).collect();
        assert!(weights.is_sorted());
    }
}
