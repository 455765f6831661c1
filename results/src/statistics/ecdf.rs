//! The empirical distribution function. Censored attempts keep their share: the curve ends below 1.

/// The curve jumps to `share` at `value`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Where.
    pub value: f64,
    /// Share of all attempts at or below it, 0 to 1.
    pub share: f64,
}

/// Steps of the curve of a sorted sample, one for each distinct observed value.
pub fn ecdf(sorted: &[f64]) -> Vec<Step> {
    let n = sorted.len() as f64;
    let mut steps: Vec<Step> = Vec::new();
    for (index, value) in sorted.iter().copied().enumerate().filter(|(_, value)| value.is_finite()) {
        let step = Step { value, share: (index + 1) as f64 / n };
        match steps.last_mut() {
            Some(last) if last.value == value => *last = step,
            _ => steps.push(step),
        }
    }
    steps
}
