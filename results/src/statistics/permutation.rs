//! Whether two groups of storms differ: the permutation test on ranks.
//!
//! Under no difference every assignment of the storms to the two sides is equally likely, whatever
//! their distribution; p is the share of assignments whose rank sum is at least as far from its
//! mean as the one seen (Fisher (1935); on midranks this is Wilcoxon's rank-sum test, exact also
//! with ties: Streitberg & Röhmel, *Statistical Software Newsletter* 12 (1986) 10). Ranks, because
//! a storm that never got there ranks above all others, and one wild storm weighs as one.
//! Assumes that storms are exchangeable: that is what interleaving them is for.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Above this many assignments a random part of them is looked at.
const MOST_ARRANGEMENTS: u64 = 200_000;
/// How many of them then.
const MONTE_CARLO: u64 = 20_000;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Permutation {
    /// Two-sided p-value.
    pub p: f64,
    /// The smallest these values could have given, however assigned: above α the test cannot find
    /// anything.
    pub smallest_p: f64,
    /// Assignments looked at.
    pub arrangements: u64,
    /// Whether those are all there are; else p = (k+1)/(m+1) of a random part (Davison & Hinkley
    /// (1997), §4.3).
    pub exact: bool,
    /// Seed of the random part.
    pub seed: u64,
}

/// Tests `values` against `reference`, one value a storm; ∞ is a storm that never got there.
/// `None` where a side is empty or a value is not a number.
pub fn permutation_test(values: &[f64], reference: &[f64], seed: u64) -> Option<Permutation> {
    let pooled: Vec<f64> = values.iter().chain(reference).copied().collect();
    if values.is_empty() || reference.is_empty() || pooled.iter().any(|value| value.is_nan()) {
        return None;
    }
    let ranks = doubled_midranks(&pooled);
    // The smaller side decides just as well: its rank sum is the total less the other's.
    let (of_side, drawn) = match values.len() <= reference.len() {
        true => (&ranks[..values.len()], values.len()),
        false => (&ranks[values.len()..], reference.len()),
    };
    let center = drawn as i64 * ranks.iter().sum::<i64>();
    let distance = |sum: i64| (sum * ranks.len() as i64 - center).unsigned_abs();
    let seen = distance(of_side.iter().sum());
    Some(match arrangements(ranks.len() as u64, drawn as u64) {
        Some(all) => exact(&ranks, drawn, all, seen, distance, seed),
        None => monte_carlo(&ranks, drawn, seen, distance, seed),
    })
}

/// The smallest two-sided p that `m` against `n` storms without ties can give.
pub fn smallest_p(m: usize, n: usize) -> f64 {
    match arrangements((m + n) as u64, m.min(n) as u64) {
        Some(all) => (2.0 / all as f64).min(1.0),
        None => 1.0 / (MONTE_CARLO + 1) as f64,
    }
}

fn exact(
    ranks: &[i64],
    drawn: usize,
    all: u64,
    seen: u64,
    distance: impl Fn(i64) -> u64,
    seed: u64,
) -> Permutation {
    let (mut as_far, mut farthest, mut farthest_count) = (0_u64, 0, 0_u64);
    each_combination(ranks, drawn, &mut |sum| {
        let distance = distance(sum);
        as_far += u64::from(distance >= seen);
        match distance.cmp(&farthest) {
            std::cmp::Ordering::Greater => (farthest, farthest_count) = (distance, 1),
            std::cmp::Ordering::Equal => farthest_count += 1,
            std::cmp::Ordering::Less => {}
        }
    });
    let share = |count: u64| count as f64 / all as f64;
    Permutation { p: share(as_far), smallest_p: share(farthest_count), arrangements: all, exact: true, seed }
}

fn monte_carlo(
    ranks: &[i64],
    drawn: usize,
    seen: u64,
    distance: impl Fn(i64) -> u64,
    seed: u64,
) -> Permutation {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ranks = ranks.to_vec();
    let mut as_far = 0_u64;
    for _ in 0..MONTE_CARLO {
        // The first steps of a Fisher–Yates shuffle: a random choice of `drawn`.
        for at in 0..drawn {
            let other = rng.random_range(at..ranks.len());
            ranks.swap(at, other);
        }
        as_far += u64::from(distance(ranks[..drawn].iter().sum()) >= seen);
    }
    let share = |count: u64| (count + 1) as f64 / (MONTE_CARLO + 1) as f64;
    let constant = ranks.iter().all(|rank| *rank == ranks[0]);
    Permutation {
        p: share(as_far),
        smallest_p: if constant { 1.0 } else { share(0) },
        arrangements: MONTE_CARLO,
        exact: false,
        seed,
    }
}

/// Twice the rank of each value, so that the mean rank of tied values is whole.
fn doubled_midranks(values: &[f64]) -> Vec<i64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let tied = order[from..].iter().take_while(|at| values[**at] == values[order[from]]).count();
        for at in &order[from..from + tied] {
            ranks[*at] = (2 * from + tied + 1) as i64;
        }
        from += tied;
    }
    ranks
}

/// The binomial coefficient, where it is not above [`MOST_ARRANGEMENTS`].
fn arrangements(n: u64, k: u64) -> Option<u64> {
    let mut all = 1_u64;
    for i in 1..=k {
        // Whole at each step: it is the coefficient of n−k+i over i.
        all = all * (n - k + i) / i;
        if all > MOST_ARRANGEMENTS {
            return None;
        }
    }
    Some(all)
}

/// Calls `visit` with the sum of every choice of `k` of `values`.
fn each_combination(values: &[i64], k: usize, visit: &mut impl FnMut(i64)) {
    fn choose(values: &[i64], k: usize, sum: i64, visit: &mut impl FnMut(i64)) {
        if k == 0 {
            return visit(sum);
        }
        for at in 0..=values.len() - k {
            choose(&values[at + 1..], k - 1, sum + values[at], visit);
        }
    }
    choose(values, k, 0, visit);
}
