//! A straight line through steps of growth.

/// `y = intercept + slope · x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// At no instance.
    pub intercept: f64,
    /// Per instance.
    pub slope: f64,
    /// Root mean square of what the line leaves, in the unit of y.
    pub residual: f64,
}

/// Ordinary least squares. `None` where the points have no two different x. Assumes that one more
/// instance costs the same wherever it comes; [`Line::residual`] shows where it does not.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len() as f64;
    let (mean_x, mean_y) = (
        points.iter().map(|point| point.0).sum::<f64>() / n,
        points.iter().map(|point| point.1).sum::<f64>() / n,
    );
    let squares: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if points.len() < 2 || squares <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / squares;
    let intercept = mean_y - slope * mean_x;
    let left: f64 = points.iter().map(|(x, y)| (y - intercept - slope * x).powi(2)).sum();
    Some(Line { intercept, slope, residual: (left / n).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python 3.11: statistics.linear_regression([0, 1, 2, 4], [1.0, 3.1, 4.9, 9.2]).
    #[test]
    fn the_line_is_that_of_least_squares() {
        let fit = line(&[(0.0, 1.0), (1.0, 3.1), (2.0, 4.9), (4.0, 9.2)]).expect("line");
        assert!((fit.slope - 2.04).abs() < 1e-12 && (fit.intercept - 0.98).abs() < 1e-12, "{fit:?}");
    }

    #[test]
    fn what_has_no_extent_has_no_slope() {
        assert_eq!(line(&[]), None);
        assert_eq!(line(&[(3.0, 1.0), (3.0, 2.0)]), None);
    }
}
