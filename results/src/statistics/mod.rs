//! What can be said of samples, and how surely. Distribution-free throughout.
//!
//! A sample holds latencies in nanoseconds. An attempt that failed or timed out is right-censored:
//! all that is known is that it took longer than it was given, so it is `f64::INFINITY`, ranks
//! above everything observed, and whatever falls on it is not a number but `None`.

mod bootstrap;
mod change_point;
mod ecdf;
mod holm;
mod mean;
mod order_statistic;
mod percentile;
mod permutation;
mod shift;
mod student;
mod tukey;

pub use bootstrap::{Bootstrap, mean_difference, shift_ratio, storm_median, storm_ratio};
pub use change_point::{ChangePoint, change_points};
pub use ecdf::{Step, ecdf};
pub use holm::holm;
pub use mean::mean;
pub use percentile::{attempts_needed, percentile, quantile, rank_interval};
pub use permutation::{Permutation, permutation_test, smallest_p};
pub use shift::shift;
pub use tukey::{Fences, Label, Outliers, fences, outliers};

use serde::{Deserialize, Serialize};

/// Confidence of every interval here.
pub const CONFIDENCE: f64 = 0.95;

/// A number with its two-sided 95 % interval, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Estimate {
    /// The number.
    pub value: Option<f64>,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end; absent beside a present `low` where it falls among censored attempts: unbounded.
    pub high: Option<f64>,
    /// Why something is absent; empty where nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Estimate {
    /// Nothing, and why.
    pub fn none(reason: impl Into<String>) -> Estimate {
        Estimate { reason: reason.into(), ..Estimate::default() }
    }
}

/// Sorts a sample, censored values last.
pub fn sorted(mut sample: Vec<f64>) -> Vec<f64> {
    sample.sort_by(f64::total_cmp);
    sample
}
