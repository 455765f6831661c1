//! By how much one group of storms is above another: the Hodges–Lehmann estimate, the median of
//! all pairwise differences, with the exact interval that inverts the rank-sum test (Hollander,
//! Wolfe & Chicken, *Nonparametric Statistical Methods*, 3rd ed., §4.2 and §4.3).

use super::{CONFIDENCE, Estimate, quantile, sorted};

/// Above this many pairs the normal approximation of the rank sum is used (its error is then
/// below one rank in a thousand).
const EXACT_PAIRS: usize = 2500;

/// Shift of `values` over `reference`, one value a storm, same unit as the values.
pub fn shift(values: &[f64], reference: &[f64]) -> Estimate {
    if values.is_empty() || reference.is_empty() {
        return Estimate::none("no storm to compare with");
    }
    if values.iter().chain(reference).any(|value| !value.is_finite()) {
        return Estimate::none("a storm's median falls among attempts that never got there");
    }
    let differences =
        sorted(values.iter().flat_map(|value| reference.iter().map(move |other| value - other)).collect());
    let value = quantile(&differences, 0.5);
    match ranks_cut(values.len(), reference.len()) {
        0 => Estimate {
            value,
            reason: format!("an interval needs 4 storms a side, has {}", values.len().min(reference.len())),
            ..Estimate::default()
        },
        cut => Estimate {
            value,
            low: Some(differences[cut - 1]),
            high: Some(differences[differences.len() - cut]),
            reason: String::new(),
        },
    }
}

/// The largest c with P(U < c) ≤ 2.5 % under no difference; the interval runs from the c-th
/// smallest to the c-th largest difference. 0: the groups are too small for any.
fn ranks_cut(m: usize, n: usize) -> usize {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    if m * n > EXACT_PAIRS {
        let (m, n) = (m as f64, n as f64);
        return (m * n / 2.0 - 1.96 * (m * n * (m + n + 1.0) / 12.0).sqrt()).floor().max(0.0) as usize;
    }
    let counts = rank_sum_counts(m, n);
    let total: f64 = counts.iter().sum();
    let mut below = 0.0;
    for (u, count) in counts.iter().enumerate() {
        below += count / total;
        if below > tail {
            return u;
        }
    }
    0
}

/// How many arrangements of m among m+n give each value of U: the coefficients of the Gaussian
/// binomial, ∏ (1-x^(n+i)) / (1-x^i) for i in 1..=m.
fn rank_sum_counts(m: usize, n: usize) -> Vec<f64> {
    let mut counts = vec![0.0; m * n + 1];
    counts[0] = 1.0;
    for i in 1..=m {
        for u in (n + i..counts.len()).rev() {
            counts[u] -= counts[u - (n + i)];
        }
        for u in i..counts.len() {
            counts[u] += counts[u - i];
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From scipy 1.17, the distribution behind
    /// `mannwhitneyu(…, method="exact")`; 5 × 5: P(U ≤ 2) = 0.0159, P(U ≤ 3) = 0.0278.
    #[test]
    fn cuts_are_those_of_the_exact_rank_sum_tables() {
        assert_eq!(ranks_cut(3, 3), 0);
        assert_eq!(ranks_cut(4, 4), 1);
        assert_eq!(ranks_cut(5, 5), 3);
        assert_eq!(ranks_cut(10, 10), 24);
        assert_eq!(ranks_cut(20, 20), 128);
    }

    #[test]
    fn counts_sum_to_the_binomial_coefficient() {
        assert_eq!(rank_sum_counts(5, 5).iter().sum::<f64>(), 252.0);
        assert_eq!(rank_sum_counts(4, 7).iter().sum::<f64>(), 330.0);
        assert_eq!(rank_sum_counts(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn a_known_shift_is_found_and_too_few_storms_get_no_interval() {
        let reference = [1.0, 2.0, 3.0, 4.0, 5.0];
        let values = reference.map(|value| value + 10.0);
        let estimate = shift(&values, &reference);
        assert_eq!(estimate.value, Some(10.0));
        assert_eq!((estimate.low, estimate.high), (Some(7.0), Some(13.0)));
        let few = shift(&values[..3], &reference[..3]);
        assert!(few.low.is_none() && few.reason.contains("4 storms"));
    }
}
