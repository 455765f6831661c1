//! Outliers are labelled, never dropped (Tukey, *Exploratory Data Analysis* (1977), §2D).

use serde::{Deserialize, Serialize};

use super::quantile;

/// Where a value lies against the fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Within 1.5 interquartile ranges of the quartiles.
    Usual,
    /// Between 1.5 and 3.
    Outside,
    /// Beyond 3.
    FarOut,
}

/// How many values are how far out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outliers {
    /// Beyond 1.5 interquartile ranges, within 3.
    pub outside: usize,
    /// Beyond 3.
    pub far_out: usize,
}

/// Fences of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fences {
    first_quartile: f64,
    third_quartile: f64,
}

impl Fences {
    /// The far fences, Q1 − 3·IQR and Q3 + 3·IQR: what lies beyond is odd.
    pub fn far(&self) -> (f64, f64) {
        let range = self.third_quartile - self.first_quartile;
        (self.first_quartile - 3.0 * range, self.third_quartile + 3.0 * range)
    }

    /// Label of a value.
    pub fn label(&self, value: f64) -> Label {
        let range = self.third_quartile - self.first_quartile;
        let beyond = (self.first_quartile - value).max(value - self.third_quartile);
        if beyond > 3.0 * range {
            Label::FarOut
        } else if beyond > 1.5 * range {
            Label::Outside
        } else {
            Label::Usual
        }
    }
}

/// Fences of a sorted sample without censored values; fewer than 4 have none.
pub fn fences(sorted: &[f64]) -> Option<Fences> {
    if sorted.len() < 4 {
        return None;
    }
    Some(Fences { first_quartile: quantile(sorted, 0.25)?, third_quartile: quantile(sorted, 0.75)? })
}

/// Counts the labels of a sorted sample's observed values.
pub fn outliers(sorted: &[f64]) -> Outliers {
    let observed = &sorted[..sorted.iter().take_while(|value| value.is_finite()).count()];
    let mut counts = Outliers::default();
    if let Some(fences) = fences(observed) {
        for value in observed {
            match fences.label(*value) {
                Label::Usual => {}
                Label::Outside => counts.outside += 1,
                Label::FarOut => counts.far_out += 1,
            }
        }
    }
    counts
}
