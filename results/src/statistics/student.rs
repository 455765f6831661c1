//! Student's t-test of two samples (Student, *Biometrika* 6 (1908) 1), for change points. Assumes
//! values that are about normal with equal spread, as figures that are medians of storms are.

/// Two-sided p-value; 1 where there are too few values, 0 where two constants differ.
pub(super) fn t_test(left: &[f64], right: &[f64]) -> f64 {
    let (m, n) = (left.len() as f64, right.len() as f64);
    if left.is_empty() || right.is_empty() || m + n <= 2.0 {
        return 1.0;
    }
    let (left_mean, left_squares) = moments(left);
    let (right_mean, right_squares) = moments(right);
    let freedom = m + n - 2.0;
    let error = ((left_squares + right_squares) / freedom * (1.0 / m + 1.0 / n)).sqrt();
    let difference = left_mean - right_mean;
    if error == 0.0 {
        return if difference == 0.0 { 1.0 } else { 0.0 };
    }
    let t = difference / error;
    two_sided(t, freedom)
}

/// P(|T| ≥ t), a value of the incomplete beta function (Abramowitz & Stegun, 26.7.1).
fn two_sided(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The t that a two-sided test at 1 − `confidence` asks for, by bisection of [`two_sided`].
pub(super) fn critical(confidence: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if two_sided(middle, freedom) > 1.0 - confidence { low = middle } else { high = middle }
    }
    high
}

/// Mean and sum of squared deviations.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum())
}

/// The regularised incomplete beta function Iₓ(a, b), by its continued fraction (Abramowitz &
/// Stegun, 26.5.8) evaluated with Lentz's method.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges quickly below the mean; above it the other tail is computed.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln();
    (front.exp() * beta_fraction(x, a, b) / a).clamp(0.0, 1.0)
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let nonzero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut c, mut d) = (1.0, 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / nonzero(1.0 + term * d);
            c = nonzero(1.0 + term / c);
            step = c * d;
            fraction *= step;
        }
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Lanczos' approximation with g = 7 and nine terms (*SIAM J. Numer. Anal. B* 1 (1964) 86), good
/// to about fifteen digits for positive arguments.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let base = x + 7.5;
    let series: f64 =
        0.999_999_999_999_809_9 + (1..).zip(TERMS).map(|(i, term)| term / (x + f64::from(i))).sum::<f64>();
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * base.ln() - base + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.16: `ttest_ind(a, b).pvalue`, `special.betainc(a, b, x)`, `special.gammaln(x)`.
    #[test]
    fn p_values_are_those_of_scipy() {
        let close =
            |ours: f64, theirs: f64| assert!((ours - theirs).abs() <= 1e-10 * theirs, "{ours} {theirs}");
        close(t_test(&[10.1, 9.8, 10.3, 10.0, 9.9], &[10.9, 11.2, 10.7, 11.0]), 0.000_219_873_521_030_337_43);
        close(t_test(&[1.0, 2.0, 3.0], &[1.5, 2.5, 3.5, 2.0]), 0.614_605_598_918_966_3);
        close(incomplete_beta(0.3, 2.5, 0.5), 0.018_927_124_071_945_658);
        close(incomplete_beta(0.99, 30.0, 0.5), 0.439_334_368_905_250_74);
        close(ln_gamma(0.5), 0.572_364_942_924_700_1);
        close(ln_gamma(50.5), 146.519_255_490_720_64);
    }

    #[test]
    fn too_little_and_constants_have_their_answer() {
        assert_eq!(t_test(&[1.0], &[2.0]), 1.0);
        assert_eq!(t_test(&[], &[2.0, 3.0, 4.0]), 1.0);
        assert_eq!(t_test(&[2.0, 2.0], &[2.0, 2.0]), 1.0);
        assert_eq!(t_test(&[2.0, 2.0], &[3.0, 3.0]), 0.0);
    }

    // scipy 1.17.1: scipy.stats.t.ppf(0.975, [1, 2, 4, 9, 100]).
    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (freedom, expected) in
            [(1.0, 12.706205), (2.0, 4.302653), (4.0, 2.776445), (9.0, 2.262157), (100.0, 1.983972)]
        {
            assert!((critical(0.95, freedom) - expected).abs() < 1e-5, "{freedom}");
        }
    }
}
