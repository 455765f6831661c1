//! Medians and their intervals.

/// Times in nanoseconds.
#[derive(Default)]
pub struct Sample(pub Vec<u64>);

impl Sample {
    pub fn median_ms(&self) -> f64 {
        median(&self.0) / 1e6
    }

    /// `median [95 % interval]` in milliseconds, by bootstrap.
    pub fn show(&self) -> String {
        let (low, high) = interval(|random| median(&resample(&self.0, random)));
        format!("{:8.1} ms [{:.1}, {:.1}] n={}", self.median_ms(), low / 1e6, high / 1e6, self.0.len())
    }

    /// `ratio [95 % interval]` of the medians.
    pub fn ratio_to(&self, base: &Sample) -> String {
        let (low, high) =
            interval(|random| median(&resample(&self.0, random)) / median(&resample(&base.0, random)));
        format!("{:.3} [{low:.3}, {high:.3}]", median(&self.0) / median(&base.0))
    }
}

fn median(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    match sorted.len() {
        0 => f64::NAN,
        length if length.is_multiple_of(2) => (sorted[length / 2 - 1] + sorted[length / 2]) as f64 / 2.0,
        length => sorted[length / 2] as f64,
    }
}

fn resample(values: &[u64], random: &mut dyn FnMut() -> u64) -> Vec<u64> {
    (0..values.len()).map(|_| values[(random() % values.len() as u64) as usize]).collect()
}

fn interval(mut statistic: impl FnMut(&mut dyn FnMut() -> u64) -> f64) -> (f64, f64) {
    // Marsaglia's xorshift: the same resamples every time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let mut values: Vec<f64> = (0..2000).map(|_| statistic(&mut random)).collect();
    values.sort_by(f64::total_cmp);
    (values[50], values[1949])
}
