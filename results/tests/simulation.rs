//! What the comparison does over and over: false alarms where nothing changed, and changes found.
//!
//! The noise is that of a busy two-core host: every storm shares a factor (log-normal), the host
//! drifts from storm to storm (a random walk), instances scatter about their storm (log-normal) and
//! one in fifty takes three times as long. Storms are interleaved in ABBA order, as `bench ab` does.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use results::compare::{Comparison, Group, Quantity, Rules, Side, StormSample, Verdict, compare};
use results::noise::{INSTANCES_OF_SHORT_STARTS, STORMS_OF_SHORT_STARTS};
use results::summary::Metric;

/// Standard deviations of the logarithm.
#[derive(Clone, Copy)]
struct Noise {
    between_storms: f64,
    drift: f64,
    between_instances: f64,
}

/// Assumed, and milder than a bad case: `bench aa` on a two-core virtual machine found storms of 8
/// processes to differ by 12 % and their instances by 32 %, storms of containers by 22 % and 20 %.
const TWO_NOISY_CORES: Noise = Noise { between_storms: 0.02, drift: 0.005, between_instances: 0.15 };

/// Measured there by `bench aa` with starts one after the other: storms of 8 containers differ by 4 %, of
/// which 3 % is not the scatter of their instances, 6 %.
const ONE_AFTER_THE_OTHER: Noise = Noise { between_storms: 0.03, drift: 0.005, between_instances: 0.06 };

/// Storms a side of a burst, of 32 instances each, that find 5 % in the assumed noise at least 95 times of
/// 100. Found by trying: 10 of 8 instances find it 6 times of 100, 20 of 32 57 times, 40 of 32 93 times.
const BURSTS_FOR_FIVE_PER_CENT: usize = 60;

fn normal(rng: &mut StdRng) -> f64 {
    // Irwin–Hall: the sum of twelve uniform numbers less six.
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Latencies of the storms of both sides in ABBA order; those of the head are `effect` times as long.
fn session(
    rng: &mut StdRng,
    storms: usize,
    instances: usize,
    effect: f64,
    noise: Noise,
) -> [Vec<Vec<f64>>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    let mut drift = 0.0;
    for turn in 0..2 * storms {
        let side = [0, 1, 1, 0][turn % 4];
        drift += noise.drift * normal(rng);
        let storm = drift + noise.between_storms * normal(rng);
        let factor = if side == 1 { effect } else { 1.0 };
        let latencies = (0..instances)
            .map(|_| {
                let outlier = if rng.random_bool(0.02) { 3.0 } else { 1.0 };
                5e6 * factor * outlier * (storm + noise.between_instances * normal(rng)).exp()
            })
            .collect();
        sides[side].push(latencies);
    }
    sides
}

fn side(label: &str, storms: &[Vec<f64>]) -> Side {
    let storms = storms.iter().enumerate().map(|(number, latencies)| {
        let mut latencies = latencies.clone();
        latencies.sort_by(f64::total_cmp);
        StormSample {
            run: 0,
            storm: number as u32,
            attempts: latencies.len(),
            not_ready: 0,
            latencies_ns: BTreeMap::from([(Metric::ReadyFromScheduled, latencies)]),
        }
    });
    let group = Group { storms: storms.collect(), ..Group::default() };
    Side { label: label.into(), groups: [("process".to_owned(), group)].into(), ..Side::of_runs(label, &[]) }
}

fn judged(sides: &[Vec<Vec<f64>>; 2], seed: u64) -> Comparison {
    compare(&side("base", &sides[0]), &side("head", &sides[1]), &Rules::default(), seed).unwrap()
}

fn latency(comparison: &Comparison) -> &results::compare::Change {
    comparison.changes.iter().find(|change| change.metric == Quantity::ReadyFromScheduled).unwrap()
}

/// Share of A/A comparisons with p below α, and of those with a verdict.
fn false_alarms(pairs: usize, storms: usize, instances: usize, noise: Noise, pooled: bool) -> (f64, f64) {
    let mut rng = StdRng::seed_from_u64(11);
    let (mut significant, mut verdicts) = (0, 0);
    for pair in 0..pairs {
        let mut sides = session(&mut rng, storms, instances, 1.0, noise);
        if pooled {
            // The mistake: every instance counts as a value of its own.
            sides = sides.map(|storms| storms.into_iter().flatten().map(|one| vec![one]).collect());
        }
        let comparison = judged(&sides, pair as u64);
        significant += usize::from(latency(&comparison).adjusted_p.is_some_and(|p| p < 0.01));
        verdicts += usize::from(comparison.has(Verdict::Regressed) || comparison.has(Verdict::Improved));
    }
    (significant as f64 / pairs as f64, verdicts as f64 / pairs as f64)
}

fn found(pairs: usize, storms: usize, instances: usize, effect: f64, noise: Noise) -> f64 {
    let mut rng = StdRng::seed_from_u64(12);
    let regressed = (0..pairs)
        .filter(|pair| {
            let sides = session(&mut rng, storms, instances, effect, noise);
            latency(&judged(&sides, *pair as u64)).verdict == Verdict::Regressed
        })
        .count();
    regressed as f64 / pairs as f64
}

#[test]
fn two_hundred_pairs_of_the_same_raise_no_more_alarms_than_promised() {
    for storms in [6, 10] {
        let (significant, verdicts) = false_alarms(200, storms, 8, TWO_NOISY_CORES, false);
        println!("A/A, {storms} storms a side: p < 0.01 in {significant}, a verdict in {verdicts}");
        assert!(verdicts <= 0.015, "{storms} storms: {verdicts}");
        // Three standard errors above 1 %.
        assert!(significant <= 0.031, "{storms} storms: {significant}");
    }
}

/// Instances of one storm share what the host did to it. To take each for a value of its own is
/// the mistake this project's method warns of; built on purpose, it fails what the method passes.
#[test]
fn pooled_instances_raise_false_alarms_and_storms_do_not() {
    let wobble = Noise { between_storms: 0.04, drift: 0.0, between_instances: 0.10 };
    let (by_storm, _) = false_alarms(60, 6, 20, wobble, false);
    let (pooled, _) = false_alarms(60, 6, 20, wobble, true);
    println!("A/A: p < 0.01 in {by_storm} by storm, in {pooled} by pooled instance");
    assert!(by_storm <= 0.035, "{by_storm}");
    assert!(pooled >= 0.10, "{pooled}");
}

#[test]
fn five_per_cent_is_found_in_the_noise_of_two_cores() {
    let (storms, instances) = (STORMS_OF_SHORT_STARTS as usize, INSTANCES_OF_SHORT_STARTS as usize);
    let by_default = found(100, storms, instances, 1.05, ONE_AFTER_THE_OTHER);
    println!("5 % found in {by_default} at {storms} storms a side, one after the other");
    assert!(by_default >= 0.95, "{by_default}");
    let bursts = found(100, BURSTS_FOR_FIVE_PER_CENT, 32, 1.05, TWO_NOISY_CORES);
    println!("5 % found in {bursts} at {BURSTS_FOR_FIVE_PER_CENT} bursts a side");
    assert!(bursts >= 0.95, "{bursts}");
}

#[test]
fn intervals_cover_the_truth() {
    let mut rng = StdRng::seed_from_u64(13);
    let storms = 6;
    let covered = (0..200)
        .filter(|pair| {
            let sides = session(&mut rng, storms, 8, 1.2, TWO_NOISY_CORES);
            let comparison = judged(&sides, *pair);
            let ratio = &latency(&comparison).ratio;
            ratio.low.unwrap() <= 1.2 && 1.2 <= ratio.high.unwrap()
        })
        .count();
    println!("{covered} of 200 intervals cover the truth");
    assert!(covered >= 182, "{covered}");
}
