//! Since when a series of runs is different: E-divisive (Matteson & James, *JASA* 109 (2014) 334)
//! with Student's t-test in the place of its random permutations, so that the same series gives
//! the same answer, and weak points merged away afterwards (Fleming, Kołaczkowski et al., *Hunter:
//! Using Change Point Detection to Hunt for Performance Regressions*, ICPE 2023). Assumes levels
//! with independent noise about them.

use serde::{Deserialize, Serialize};

use super::student::t_test;

/// Values looked at together: a change is sought within a window, not against all of history.
const WINDOW: usize = 50;
/// Fewest values beside a change within a window.
const FEWEST: usize = 2;

/// The series has another level from here on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChangePoint {
    /// Index of the first value of the new level.
    pub index: usize,
    /// Mean of the level before.
    pub before: f64,
    /// Mean of the level after.
    pub after: f64,
    /// p-value of the t-test between them.
    pub p: f64,
}

impl ChangePoint {
    /// Change of the level, relative to the level before.
    pub fn relative(&self) -> f64 {
        self.after / self.before - 1.0
    }
}

/// Change points of `series` at level `alpha` whose relative change is at least `floor`, in order.
/// Values must be finite.
pub fn change_points(series: &[f64], alpha: f64, floor: f64) -> Vec<ChangePoint> {
    // Weak ones at first: a strong one may only show once a weak one has split its window.
    let mut cuts = split(series, (alpha * 10.0).min(0.5));
    loop {
        let points = describe(series, &cuts);
        let weakest = points.iter().enumerate().max_by(|a, b| a.1.p.total_cmp(&b.1.p));
        let drop = match weakest {
            None => return points,
            Some((at, point)) if point.p >= alpha => at,
            Some(_) => {
                let size = |point: &ChangePoint| point.relative().abs();
                let smallest = points.iter().enumerate().min_by(|a, b| size(a.1).total_cmp(&size(b.1)));
                match smallest {
                    Some((at, point)) if size(point) < floor => at,
                    _ => return points,
                }
            }
        };
        cuts.remove(drop);
    }
}

/// Where windows are split, the most divisive cut first, until no cut is significant.
fn split(series: &[f64], alpha: f64) -> Vec<usize> {
    let mut cuts: Vec<usize> = Vec::new();
    let mut from = 0;
    // Windows follow each other; each begins where the last change was, so that none is cut in two.
    while from < series.len() {
        let to = series.len().min(from + WINDOW);
        let found = split_window(&series[from..to], alpha);
        cuts.extend(found.iter().map(|cut| from + cut));
        if to == series.len() {
            break;
        }
        from = found.last().map_or(from + WINDOW / 2, |last| from + last);
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn split_window(window: &[f64], alpha: f64) -> Vec<usize> {
    let mut edges = vec![0, window.len()];
    loop {
        let best = edges
            .windows(2)
            .filter_map(|pair| {
                let (cut, divergence) = most_divisive(&window[pair[0]..pair[1]])?;
                let cut = pair[0] + cut;
                let p = t_test(&window[pair[0]..cut], &window[cut..pair[1]]);
                (p < alpha).then_some((divergence, cut))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((_, cut)) => {
                edges.push(cut);
                edges.sort_unstable();
            }
            None => break,
        }
    }
    edges[1..edges.len() - 1].to_vec()
}

/// The cut with the greatest energy distance between its sides (Székely & Rizzo, *J. Stat. Plan.
/// Inference* 143 (2013) 1249), α = 1, and that distance.
fn most_divisive(values: &[f64]) -> Option<(usize, f64)> {
    let n = values.len();
    if n < 2 * FEWEST {
        return None;
    }
    let distance = |i: usize, j: usize| (values[i] - values[j]).abs();
    // Sums of distances within the left side, within the right side, and between them, of the cut
    // before the first value; moving one value over updates all three.
    let (mut left, mut between) = (0.0, 0.0);
    let mut right: f64 = (0..n).flat_map(|i| (0..i).map(move |j| distance(i, j))).sum();
    let mut best: Option<(usize, f64)> = None;
    for cut in 1..n {
        let moved = cut - 1;
        let to_left: f64 = (0..moved).map(|i| distance(moved, i)).sum();
        let to_right: f64 = (cut..n).map(|i| distance(moved, i)).sum();
        left += to_left;
        right -= to_right;
        between += to_right - to_left;
        if cut < FEWEST || n - cut < FEWEST {
            continue;
        }
        let (m, k) = (cut as f64, (n - cut) as f64);
        let divergence = m * k / (m + k)
            * (2.0 * between / (m * k) - 2.0 * left / (m * (m - 1.0)) - 2.0 * right / (k * (k - 1.0)));
        if best.is_none_or(|(_, most)| divergence > most) {
            best = Some((cut, divergence));
        }
    }
    best
}

fn describe(series: &[f64], cuts: &[usize]) -> Vec<ChangePoint> {
    let mut edges = vec![0];
    edges.extend(cuts);
    edges.push(series.len());
    edges
        .windows(3)
        .map(|edge| {
            let (before, after) = (&series[edge[0]..edge[1]], &series[edge[1]..edge[2]]);
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            ChangePoint { index: edge[1], before: mean(before), after: mean(after), p: t_test(before, after) }
        })
        .collect()
}
