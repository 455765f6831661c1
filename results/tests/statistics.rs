//! Statistics against reference values. Those of `rank_interval` come from scipy 1.17:
//! `binom.ppf(.025, n, p), binom.ppf(.975, n, p) + 1`.

use proptest::prelude::*;
use results::statistics::{
    Bootstrap, attempts_needed, change_points, fences, holm, mean_difference, percentile, permutation_test,
    quantile, rank_interval, shift_ratio, smallest_p, sorted, storm_median,
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

/// scipy 1.16: `permutation_test((ra, rb), lambda x, y: abs(x.mean() - y.mean()), n_resamples=inf,
/// alternative="greater")` of `rankdata` of both; without ties also `mannwhitneyu(a, b, method="exact")`.
#[test]
fn permutation_p_values_are_those_of_scipy() {
    let cases: [(&[f64], &[f64], f64); 5] = [
        (&[1., 2., 3., 4., 5.], &[6., 7., 8., 9., 10.], 0.007936507936507936),
        (&[1., 2., 3., 4., 7.], &[5., 6., 8., 9., 10.], 0.031746031746031744),
        (&[1.5, 2.5, 2.5, 4.], &[2.5, 4., 4., 5., 6., 7.], 0.0761904761904762),
        (&[3., 1., 4., 1., 5., 9.], &[2., 6., 5., 3., 5., 8.], 0.4134199134199134),
        (
            &[10., 12., 13., 15., 20., 21., 25.],
            &[11., 14., 16., 22., 23., 24., 26., 27.],
            0.18927738927738927,
        ),
    ];
    for (a, b, p) in cases {
        for (one, other) in [(a, b), (b, a)] {
            let test = permutation_test(one, other, 1).unwrap();
            assert!(test.exact && (test.p - p).abs() < 1e-12, "{one:?} {other:?}: {test:?}");
        }
    }
}

#[test]
fn the_smallest_p_is_what_the_method_says() {
    for (n, p) in [(5, 0.0079), (6, 0.0022), (7, 0.0006)] {
        assert!((smallest_p(n, n) - p).abs() < 5e-5, "{n}: {}", smallest_p(n, n));
    }
    assert!(smallest_p(4, 4) > 0.01);
    let constant = permutation_test(&[3.0; 5], &[3.0; 5], 1).unwrap();
    assert_eq!((constant.p, constant.smallest_p), (1.0, 1.0));
    assert_eq!(permutation_test(&[f64::NAN], &[1.0], 1), None);
    assert_eq!(permutation_test(&[], &[1.0], 1), None);
}

#[test]
fn storms_that_never_got_there_rank_above_all() {
    let reference = [1.0, 2.0, 3.0, 4.0, 5.0];
    let test = permutation_test(&[f64::INFINITY; 5], &reference, 1).unwrap();
    assert!((test.p - 2.0 / 252.0).abs() < 1e-12);
}

/// 12 against 12 are 2,704,156 assignments: a random part of them is near what all of them give
/// (scipy 1.16, `mannwhitneyu(…, method="exact")`: 0.03872, of the same two samples).
#[test]
fn a_random_part_of_the_assignments_is_near_all_of_them() {
    let a: Vec<f64> = (0..12).map(|i| f64::from(2 * i)).collect();
    let b: Vec<f64> = (0..12).map(|i| f64::from(2 * i) + 7.0).collect();
    let test = permutation_test(&a, &b, 5).unwrap();
    assert!(!test.exact && test.arrangements == 20_000 && test.seed == 5);
    assert!((test.p - 0.03872).abs() < 0.006, "{test:?}");
    assert_eq!(test, permutation_test(&a, &b, 5).unwrap());
}

/// statsmodels 0.15, `multipletests(…, method="holm")`; R's `p.adjust` gives the same.
#[test]
fn holm_is_that_of_statsmodels() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005, 0.8]);
    for (ours, theirs) in adjusted.iter().zip([0.04, 0.09, 0.09, 0.025, 0.8]) {
        assert!((ours - theirs).abs() < 1e-12, "{adjusted:?}");
    }
}

#[test]
fn the_far_fences_are_three_ranges_beyond_the_quartiles() {
    // Quartiles 2 and 6 of 1…8 by definition 2 of Hyndman & Fan are 2.5 and 6.5.
    let (low, high) = fences(&[1., 2., 3., 4., 5., 6., 7., 8.]).unwrap().far();
    assert_eq!((low, high), (2.5 - 12.0, 6.5 + 12.0));
    assert!(fences(&[1.0, 2.0, 3.0]).is_none());
}

/// The indices are those of Apache Otava 0.8, `compute_change_points(…, window_len=50,
/// max_pvalue=0.001, min_magnitude=0.02)`, of the same series.
#[test]
fn change_points_are_those_of_otava() {
    let noise: Vec<f64> = std::iter::successors(Some(7_u64), |x| {
        Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .skip(1)
    .map(|x| (x >> 33) as f64 / (1_u64 << 31) as f64 - 0.5)
    .take(120)
    .collect();
    let series = |level: fn(usize) -> f64, n: usize| -> Vec<f64> {
        (0..n).map(|i| 100.0 * level(i) + 3.0 * noise[i]).collect()
    };
    let cuts = |series: &[f64]| -> Vec<usize> {
        change_points(series, 0.001, 0.02).iter().map(|point| point.index).collect()
    };
    let step = |i| if i >= 60 { 1.10 } else { 1.0 };
    let up_and_down = |i| {
        if i >= 75 {
            0.97
        } else if i >= 30 {
            1.05
        } else {
            1.0
        }
    };
    assert_eq!(cuts(&series(|_| 1.0, 120)), [0; 0]);
    assert_eq!(cuts(&series(step, 120)), [60]);
    assert_eq!(cuts(&series(up_and_down, 120)), [30, 75]);
    assert_eq!(cuts(&series(|i| if i >= 17 { 1.08 } else { 1.0 }, 20)), [17]);
    // One odd value is no new level.
    assert_eq!(cuts(&series(|i| if i == 40 { 1.3 } else { 1.0 }, 80)), [0; 0]);
    let point = change_points(&series(step, 120), 0.001, 0.02)[0];
    assert!((point.relative() - 0.10).abs() < 0.01 && point.p < 1e-20, "{point:?}");
    for short in [&[][..], &[1.0], &[1.0, 2.0, 1.0]] {
        assert!(change_points(short, 0.001, 0.02).is_empty());
    }
}

#[test]
fn a_known_factor_and_a_known_share_are_found() {
    let base: Vec<Vec<f64>> = (0..10).map(|storm| vec![100.0 + f64::from(storm), 102.0, 98.0]).collect();
    let head: Vec<Vec<f64>> = base.iter().map(|storm| storm.iter().map(|v| v * 1.2).collect()).collect();
    let ratio = shift_ratio(&head, &base, &mut Bootstrap::new(1));
    assert!((ratio.value.unwrap() - 1.2).abs() < 0.01, "{ratio:?}");
    assert!(ratio.low.unwrap() < 1.2 && ratio.high.unwrap() > 1.2);
    let shares = mean_difference(&[0.25, 0.25, 0.5, 0.0], &[0.0; 4], &mut Bootstrap::new(1));
    assert_eq!(shares.value, Some(0.25));
    assert!(shares.low.unwrap() > 0.0);
    // Storms that never got there leave no number, and no interval.
    let never = vec![vec![f64::INFINITY; 3]; 10];
    assert_eq!(shift_ratio(&never, &base, &mut Bootstrap::new(1)).value, None);
}

proptest! {
    #[test]
    fn a_permutation_test_does_not_see_scale_or_sides(
        a in prop::collection::vec(1.0..1e6f64, 2..8),
        b in prop::collection::vec(1.0..1e6f64, 2..8),
        factor in 1.0..1e3f64,
    ) {
        let test = permutation_test(&a, &b, 1).unwrap();
        prop_assert!(test.smallest_p <= test.p && test.p <= 1.0);
        prop_assert_eq!(test.p, permutation_test(&b, &a, 1).unwrap().p);
        let scaled = |values: &[f64]| values.iter().map(|value| value * factor).collect::<Vec<_>>();
        prop_assert_eq!(test.p, permutation_test(&scaled(&a), &scaled(&b), 1).unwrap().p);
        prop_assert!(permutation_test(&a, &a, 1).unwrap().p >= 0.5);
    }

    #[test]
    fn holm_keeps_order_and_never_lowers_a_p(p_values in prop::collection::vec(0.0..=1.0f64, 1..12)) {
        let adjusted = holm(&p_values);
        for (at, p) in p_values.iter().enumerate() {
            prop_assert!(*p <= adjusted[at] && adjusted[at] <= (p * p_values.len() as f64).min(1.0) + 1e-12
                || adjusted.iter().any(|other| *other == adjusted[at]));
            for (other, q) in p_values.iter().enumerate() {
                prop_assert!(p > q || adjusted[at] <= adjusted[other]);
            }
        }
    }

    #[test]
    fn a_ratio_turned_round_is_its_inverse(
        a in prop::collection::vec(1.0..1e3f64, 3..9),
        b in prop::collection::vec(1.0..1e3f64, 3..9),
    ) {
        // An odd number of pairs has a middle one, whose inverse is the middle of the inverses.
        prop_assume!(a.len() * b.len() % 2 == 1);
        let storms = |values: &[f64]| values.iter().map(|value| vec![*value]).collect::<Vec<_>>();
        let there = shift_ratio(&storms(&a), &storms(&b), &mut Bootstrap::new(1)).value.unwrap();
        let back = shift_ratio(&storms(&b), &storms(&a), &mut Bootstrap::new(1)).value.unwrap();
        prop_assert!((there * back - 1.0).abs() < 1e-9);
    }

    #[test]
    fn change_points_are_within_the_series_and_deterministic(series in prop::collection::vec(1.0..100.0f64, 0..90)) {
        let points = change_points(&series, 0.01, 0.0);
        prop_assert!(points.windows(2).all(|pair| pair[0].index < pair[1].index));
        prop_assert!(points.iter().all(|point| point.index > 0 && point.index < series.len()));
        prop_assert_eq!(points, change_points(&series, 0.01, 0.0));
    }

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
