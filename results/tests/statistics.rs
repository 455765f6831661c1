//! Statistics against reference values. Those of `rank_interval` come from scipy 1.17:
//! `binom.ppf(.025, n, p), binom.ppf(.975, n, p) + 1`.

use proptest::prelude::*;
use results::statistics::{
    Bootstrap, attempts_needed, percentile, quantile, rank_interval, sorted, storm_median,
};

#[test]
fn ranks_are_those_of_scipy() {
    for (n, p, ranks) in [
        (6, 0.5, (1, 6)),
        (10, 0.5, (2, 9)),
        (40, 0.5, (14, 27)),
        (100, 0.5, (40, 61)),
        (100, 0.9, (84, 96)),
        (1000, 0.99, (983, 997)),
        (10_000, 0.999, (9983, 9997)),
    ] {
        assert_eq!(rank_interval(n, p), Some(ranks), "n={n} p={p}");
    }
}

#[test]
fn a_percentile_needs_its_attempts() {
    for (p, needed) in [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)] {
        assert_eq!(attempts_needed(p), needed);
        assert!(rank_interval(needed, p).is_some() && rank_interval(needed - 1, p).is_none(), "{p}");
    }
}

#[test]
fn what_falls_among_the_censored_is_no_number() {
    let sample: Vec<f64> = (0..40).map(|i| if i < 15 { f64::from(i) } else { f64::INFINITY }).collect();
    let median = percentile(&sample, 0.5);
    assert!(median.value.is_none() && median.reason.contains("25 of 40"));
}

proptest! {
    #[test]
    fn intervals_hold_their_value(sample in prop::collection::vec(1.0..1e9f64, 6..200)) {
        let sample = sorted(sample);
        let median = percentile(&sample, 0.5);
        let value = median.value.unwrap();
        prop_assert!(median.low.unwrap() <= value && value <= median.high.unwrap());
        prop_assert_eq!(quantile(&sample, 0.5), Some(value));
    }

    #[test]
    fn the_same_seed_gives_the_same_interval(seed: u64, storms in prop::collection::vec(prop::collection::vec(1.0..1e6f64, 1..9), 3..7)) {
        let one = storm_median(&storms, &mut Bootstrap::new(seed));
        prop_assert_eq!(&one, &storm_median(&storms, &mut Bootstrap::new(seed)));
        prop_assert!(one.low.unwrap() <= one.high.unwrap());
    }
}
