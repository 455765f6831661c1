//! A mean with its interval, for figures that are one per storm.

use super::{CONFIDENCE, Estimate, student};

/// The mean of `values` with Student's interval (*Biometrika* 6 (1908) 1). Assumes values that are
/// about normal, as slopes fitted through many instances are; two are the least.
pub fn mean(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    match values.len() {
        0 => Estimate::none("nothing was measured"),
        1 => Estimate {
            value: Some(values[0]),
            reason: "one repetition has no interval: 2 at least".into(),
            ..Estimate::default()
        },
        _ => {
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let error = (squares / (n - 1.0) / n).sqrt();
            let half = student::critical(CONFIDENCE, n - 1.0) * error;
            Estimate {
                value: Some(mean),
                low: Some(mean - half),
                high: Some(mean + half),
                reason: String::new(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy 1.17.1: scipy.stats.t.interval(0.95, 4, numpy.mean(x), scipy.stats.sem(x)) of these five.
    #[test]
    fn the_interval_is_students() {
        let estimate = mean(&[4.1, 3.9, 4.4, 4.0, 4.2]);
        assert!((estimate.value.expect("mean") - 4.12).abs() < 1e-12);
        assert!((estimate.low.expect("low") - 3.881_161).abs() < 1e-5, "{estimate:?}");
        assert!((estimate.high.expect("high") - 4.358_839).abs() < 1e-5, "{estimate:?}");
    }

    #[test]
    fn one_value_has_no_interval_and_none_no_mean() {
        assert_eq!((mean(&[2.0]).value, mean(&[2.0]).low), (Some(2.0), None));
        assert_eq!(mean(&[]).value, None);
    }
}
