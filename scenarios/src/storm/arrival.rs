//! When the attempts of a storm are due.

use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The pattern by which attempts become due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Arrival {
    /// All at once.
    Burst,
    /// One at a time: the next is due when the one before is gone.
    Serial,
    /// Evenly, this many a second.
    Rate(f64),
    /// At random, this many a second on average (exponential gaps).
    Poisson(f64),
}

impl Arrival {
    /// When each of `instances` attempts is due, in nanoseconds after the storm's beginning; in
    /// order. `None` for [`Arrival::Serial`], where it depends on what happens.
    pub fn offsets_ns(self, instances: u32, seed: u64) -> Option<Vec<u64>> {
        let count = u64::from(instances);
        match self {
            Arrival::Serial => None,
            Arrival::Burst => Some(vec![0; instances as usize]),
            Arrival::Rate(per_s) => Some((0..count).map(|i| (i as f64 * 1e9 / per_s) as u64).collect()),
            Arrival::Poisson(per_s) => {
                let mut random = StdRng::seed_from_u64(seed);
                let mut at_ns = 0.0;
                Some(
                    (0..count)
                        .map(|_| {
                            // Inverse of the exponential distribution's cumulative function;
                            // random() is below 1, so the logarithm is finite.
                            at_ns += -(1.0 - random.random::<f64>()).ln() / per_s * 1e9;
                            at_ns as u64
                        })
                        .collect(),
                )
            }
        }
    }
}

/// A text that names no arrival pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseArrivalError(String);

impl fmt::Display for ParseArrivalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no arrival: write burst, serial, rate=R/s or poisson=R/s with R above 0, as in rate=20/s",
            self.0
        )
    }
}

impl std::error::Error for ParseArrivalError {}

impl FromStr for Arrival {
    type Err = ParseArrivalError;

    fn from_str(text: &str) -> Result<Arrival, ParseArrivalError> {
        let bad = || ParseArrivalError(text.into());
        let per_s = |number: &str| {
            let number = number.strip_suffix("/s").unwrap_or(number);
            number.parse::<f64>().ok().filter(|rate| (1e-3..=1e6).contains(rate)).ok_or_else(bad)
        };
        match text.split_once('=') {
            None if text == "burst" => Ok(Arrival::Burst),
            None if text == "serial" => Ok(Arrival::Serial),
            Some(("rate", number)) => Ok(Arrival::Rate(per_s(number)?)),
            Some(("poisson", number)) => Ok(Arrival::Poisson(per_s(number)?)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrival::Burst => f.write_str("burst"),
            Arrival::Serial => f.write_str("serial"),
            Arrival::Rate(per_s) => write!(f, "rate={per_s}/s"),
            Arrival::Poisson(per_s) => write!(f, "poisson={per_s}/s"),
        }
    }
}

impl TryFrom<String> for Arrival {
    type Error = ParseArrivalError;

    fn try_from(text: String) -> Result<Arrival, ParseArrivalError> {
        text.parse()
    }
}

impl From<Arrival> for String {
    fn from(arrival: Arrival) -> String {
        arrival.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        for text in ["burst", "serial", "rate=20/s", "poisson=0.5/s"] {
            assert_eq!(text.parse::<Arrival>().map(|arrival| arrival.to_string()), Ok(text.into()));
        }
        for bad in ["", "rate", "rate=0/s", "rate=-1/s", "rate=NaN/s", "rate=inf", "bursts", "poisson=1/min"]
        {
            assert!(bad.parse::<Arrival>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_even_and_begins_at_once() {
        assert_eq!(Arrival::Rate(10.0).offsets_ns(3, 1), Some(vec![0, 100_000_000, 200_000_000]));
        assert_eq!(Arrival::Burst.offsets_ns(2, 1), Some(vec![0, 0]));
        assert_eq!(Arrival::Serial.offsets_ns(2, 1), None);
    }

    #[test]
    fn poisson_keeps_its_mean_and_depends_on_the_seed_only() {
        let arrival = Arrival::Poisson(100.0);
        let offsets = arrival.offsets_ns(10_000, 7).unwrap_or_default();
        assert!(offsets.is_sorted());
        // 10,000 gaps of 10 ms: the mean's standard error is 1 %.
        let mean_ns = offsets[9_999] as f64 / 1e4;
        assert!((9.5e6..10.5e6).contains(&mean_ns), "{mean_ns}");
        // Exponential gaps: standard deviation = mean.
        let gaps: Vec<f64> = offsets.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let variance = gaps.iter().map(|gap| (gap - mean_ns).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.9..1.1).contains(&(variance.sqrt() / mean_ns)));
        assert_eq!(arrival.offsets_ns(10_000, 7), Some(offsets.clone()));
        assert_ne!(arrival.offsets_ns(10_000, 8), Some(offsets));
    }
}
