//! What was measured about attempts beside their times.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::measure::Storms;
use crate::folder::LoadedRun;
use crate::statistics::{quantile, sorted};
use crate::text;

/// One measure over the counted attempts of a backend that have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Measured {
    /// What, with its unit as in `overlay_bytes`.
    pub measure: String,
    /// Attempts that have it.
    pub n_attempts: usize,
    /// Median.
    pub median: f64,
    /// Least.
    pub least: u64,
    /// Most.
    pub most: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, show): (&str, fn(f64) -> String) = match self.measure.rsplit_once('_') {
            Some((what, "ns")) => (what, text::duration),
            Some((what, "bytes")) => (what, text::size),
            _ => (&self.measure, |value| value.to_string()),
        };
        let (median, least, most) = (show(self.median), show(self.least as f64), show(self.most as f64));
        let what = what.replace('_', " ");
        write!(f, "{what}: median {median}, {least} to {most} (n = {})", self.n_attempts)
    }
}

pub(super) fn of_backend(run: &LoadedRun, storms: &Storms, backend: &str) -> Vec<Measured> {
    let mut values: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let rows = run.measures.iter().filter(|row| row.backend == backend);
    for row in rows.filter(|row| storms.counted.contains_key(&row.storm)) {
        values.entry(&row.measure).or_default().push(row.value);
    }
    let sum_up = |(measure, values): (&str, Vec<u64>)| {
        let ordered = sorted(values.iter().map(|value| *value as f64).collect());
        Some(Measured {
            measure: measure.to_owned(),
            n_attempts: values.len(),
            median: quantile(&ordered, 0.5)?,
            least: *values.iter().min()?,
            most: *values.iter().max()?,
        })
    };
    values.into_iter().filter_map(sum_up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_off_the_name() {
        let measured = |measure: &str| Measured {
            measure: measure.into(),
            n_attempts: 3,
            median: 2e6,
            least: 1_000_000,
            most: 3_000_000,
        };
        let text = measured("clock_error_ns").to_string();
        assert!(text.starts_with("clock error: median 2.00 ms, 1.00 ms to"), "{text}");
        let text = measured("disk_written_bytes").to_string();
        assert!(text.starts_with("disk written: median ") && text.contains("B"), "{text}");
    }
}
