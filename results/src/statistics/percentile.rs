//! Percentiles with the distribution-free interval between two order statistics.
//!
//! The number of observations below the p-quantile is binomial(n, p), whatever the distribution;
//! so X(l) ≤ q ≤ X(u) with 95 % where each tail of the binomial holds at most 2.5 %. Source:
//! Hahn & Meeker, *Statistical Intervals* (1991), §5.2; David & Nagaraja, *Order Statistics*
//! (2003), §7.1. Where u would exceed n or l fall below 1, n cannot support the interval.

use super::{CONFIDENCE, Estimate};

/// Share of either tail.
const TAIL: f64 = (1.0 - CONFIDENCE) / 2.0;

/// The p-quantile of a sorted sample: the inverse of its ECDF, averaged where that is flat
/// (definition 2 of Hyndman & Fan, *The American Statistician* 50 (1996) 361). `None` where it
/// falls on a censored value or the sample is empty.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let n = sorted.len();
    if n == 0 {
        return None;
    }
    let position = p * n as f64;
    // n·p that is whole but for rounding counts as whole.
    let nearest = position.round();
    let value = if (position - nearest).abs() < 1e-9 * n as f64 && nearest >= 1.0 && (nearest as usize) < n {
        let rank = nearest as usize;
        (sorted[rank - 1] + sorted[rank]) / 2.0
    } else {
        sorted[(position.ceil() as usize).clamp(1, n) - 1]
    };
    value.is_finite().then_some(value)
}

/// Ranks `(l, u)`, from 1, between whose order statistics the p-quantile lies with two-sided 95 %
/// confidence; `None` where n cannot support it.
pub fn rank_interval(n: usize, p: f64) -> Option<(usize, usize)> {
    let mut below = 0.0;
    let mut low = None;
    // ln pmf(k), stepped from pmf(0) = (1-p)^n: exact enough for n of millions, and never 0·∞.
    let mut ln_pmf = n as f64 * (1.0 - p).ln();
    for k in 0..=n {
        below += ln_pmf.exp();
        // P(B ≤ k) first exceeds a tail at k: the largest l with P(B ≤ l-1) ≤ tail is this k.
        if low.is_none() && below > TAIL {
            low = Some(k);
        }
        if below >= 1.0 - TAIL {
            let (low, high) = (low?, k + 1);
            return (low >= 1 && high <= n).then_some((low, high));
        }
        ln_pmf += ((n - k) as f64 / (k + 1) as f64).ln() + (p / (1.0 - p)).ln();
    }
    None
}

/// Attempts below which no two-sided 95 % interval of the p-quantile exists: both p^n and
/// (1-p)^n must be at most 2.5 %.
pub fn attempts_needed(p: f64) -> usize {
    (TAIL.ln() / p.max(1.0 - p).ln()).ceil() as usize
}

/// The p-quantile of a sorted sample with its interval, or why not.
pub fn percentile(sorted: &[f64], p: f64) -> Estimate {
    let n = sorted.len();
    let Some((low, high)) = rank_interval(n, p) else {
        return Estimate::none(format!("needs {} attempts, has {n}", attempts_needed(p)));
    };
    let censored = sorted.iter().filter(|value| value.is_infinite()).count();
    let Some(value) = quantile(sorted, p) else {
        return Estimate::none(format!("falls among the {censored} of {n} attempts that never got there"));
    };
    let high = Some(sorted[high - 1]).filter(|high| high.is_finite());
    let reason = match high {
        Some(_) => String::new(),
        None => format!("no upper end: it falls among the {censored} of {n} attempts that never got there"),
    };
    Estimate { value: Some(value), low: Some(sorted[low - 1]), high, reason }
}
