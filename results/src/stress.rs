//! What the host and the canary felt during each storm, one value a storm.

use std::collections::BTreeMap;

use crate::folder::LoadedRun;
use crate::record::HostSample;
use crate::statistics::{quantile, sorted};

/// A measure of stress on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// CPU use of the whole host, 0 to 1.
    CpuUsed,
    /// PSI cpu `some`, 0 to 1.
    PsiCpu,
    /// PSI io `some`, 0 to 1.
    PsiIo,
    /// PSI memory `some`, 0 to 1.
    PsiMemory,
    /// Median canary latency as a multiple of that between storms.
    CanarySlowdown,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 5] =
        [Measure::CpuUsed, Measure::PsiCpu, Measure::PsiIo, Measure::PsiMemory, Measure::CanarySlowdown];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Measure::CpuUsed => "CPU used",
            Measure::PsiCpu => "waiting for CPU (PSI)",
            Measure::PsiIo => "waiting for I/O (PSI)",
            Measure::PsiMemory => "waiting for memory (PSI)",
            Measure::CanarySlowdown => "canary's slowdown",
        }
    }

    fn of(self, sample: &HostSample) -> Option<f64> {
        match self {
            Measure::CpuUsed => sample.cpu_used_ratio,
            Measure::PsiCpu => sample.psi_cpu_some_ratio,
            Measure::PsiIo => sample.psi_io_some_ratio,
            Measure::PsiMemory => sample.psi_memory_some_ratio,
            Measure::CanarySlowdown => sample.canary_p50_ns.map(|ns| ns as f64),
        }
    }
}

/// Median over the samples between storms; for the canary in nanoseconds.
pub fn baseline(run: &LoadedRun, measure: Measure) -> Option<f64> {
    let idle = run.host.iter().filter(|sample| sample.storm.is_none() && sample.live_instances == 0);
    quantile(&sorted(idle.filter_map(|sample| measure.of(sample)).collect()), 0.5)
}

/// Median of one storm's samples; for the canary as a multiple of that between storms.
pub fn of_storm(run: &LoadedRun, measure: Measure, storm: u32) -> Option<f64> {
    let unit = match measure {
        Measure::CanarySlowdown => baseline(run, measure).filter(|idle| *idle > 0.0)?,
        _ => 1.0,
    };
    let samples = run.host.iter().filter(|sample| sample.storm == Some(storm));
    quantile(&sorted(samples.filter_map(|sample| measure.of(sample)).collect()), 0.5)
        .map(|value| value / unit)
}

/// Median of each counted storm's samples, by backend. The canary's is divided by its baseline.
pub fn by_storm(run: &LoadedRun, measure: Measure) -> BTreeMap<&str, Vec<f64>> {
    let unit = match measure {
        Measure::CanarySlowdown => match baseline(run, measure) {
            Some(idle) if idle > 0.0 => idle,
            _ => return BTreeMap::new(),
        },
        _ => 1.0,
    };
    let mut samples: BTreeMap<(&str, u32), Vec<f64>> = BTreeMap::new();
    for sample in &run.host {
        if let (Some(storm), Some(value)) = (sample.storm, measure.of(sample))
            && !run.run.warmup_storms.contains(&storm)
        {
            samples.entry((&sample.backend, storm)).or_default().push(value / unit);
        }
    }
    let mut storms: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for ((backend, _), values) in samples {
        if let Some(median) = quantile(&sorted(values), 0.5) {
            storms.entry(backend).or_default().push(median);
        }
    }
    storms
}
