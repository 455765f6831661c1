//! The verdict on one metric.

use super::{Change, Floor, Level, Quantity, Rules, Side, Unit, Verdict, fingerprint};
use crate::statistics::{
    Bootstrap, Estimate, mean_difference, permutation_test, quantile, shift, shift_ratio, smallest_p, sorted,
};
use crate::text::{percent, ratio};

/// Measures the change of a quantity; [`decide`] judges it once all are measured.
pub(super) fn measure(
    base: &Side,
    head: &Side,
    backend: &str,
    quantity: Quantity,
    unit: Unit,
    rules: &Rules,
    seed: u64,
) -> Change {
    let mut change = Change {
        backend: backend.into(),
        metric: quantity,
        verdict: Verdict::Inconclusive,
        why: String::new(),
        base: Level::default(),
        head: Level::default(),
        ratio: Estimate::none("not computed"),
        difference: Estimate::none("not computed"),
        test: None,
        adjusted_p: None,
        floor: rules.floor(backend, quantity),
    };
    let samples = |side: &Side| {
        let group = side.groups.get(backend).filter(|group| group.has(quantity))?;
        Some((group.samples(quantity, unit), group.attempts()))
    };
    let (of_base, of_head) = (samples(base), samples(head));
    if let Some((samples, attempts)) = &of_base {
        change.base = level(samples, *attempts, quantity);
    }
    if let Some((samples, attempts)) = &of_head {
        change.head = level(samples, *attempts, quantity);
    }
    let missing = |side: &str, label: &str| format!("{side} ({label}) has no {quantity} of {backend}");
    let differing = match (&of_base, &of_head) {
        (None, _) => vec![missing("the base", &base.label)],
        (_, None) => vec![missing("the head", &head.label)],
        _ => fingerprint::differences(&base.groups[backend].fingerprint, &head.groups[backend].fingerprint),
    };
    let (Some((of_base, _)), Some((of_head, _)), true) = (of_base, of_head, differing.is_empty()) else {
        change.verdict = Verdict::Incomparable;
        change.why = differing.join("; ");
        return change;
    };
    let medians = |samples: &[Vec<f64>]| samples.iter().cloned().map(median).collect::<Vec<_>>();
    let (base_values, head_values) = (medians(&of_base), medians(&of_head));
    change.test = permutation_test(&head_values, &base_values, seed);
    let mut bootstrap = Bootstrap::new(seed);
    match quantity.metric() {
        Some(_) => {
            change.ratio = shift_ratio(&of_head, &of_base, &mut bootstrap);
            change.difference = shift(&head_values, &base_values);
        }
        None => {
            change.ratio = Estimate::none("a share has no ratio");
            change.difference = mean_difference(&head_values, &base_values, &mut bootstrap);
        }
    }
    change
}

/// The verdict, among `family` tests that could raise an alarm.
pub(super) fn decide(change: &mut Change, family: usize, unit: Unit, rules: &Rules) {
    if change.verdict == Verdict::Incomparable {
        return;
    }
    let (m, n) = (change.base.n, change.head.n);
    if smallest_p(m, n) * family.max(1) as f64 >= rules.alpha {
        let needed = needed_storms(family.max(1), rules.alpha);
        change.why = format!(
            "{} metrics at α = {} need {needed} {} a side, there are {m} and {n}",
            family.max(1),
            rules.alpha,
            unit.plural()
        );
        return;
    }
    let Some(bounds) = Bounds::of(change) else {
        change.why = match change.ratio.reason.as_str() {
            "" => change.difference.reason.clone(),
            reason => format!("the change {reason}: see not-ready-share"),
        };
        return;
    };
    let significant = change.adjusted_p.is_some_and(|p| p < rules.alpha);
    let said = bounds.words(change);
    (change.verdict, change.why) = match (significant, bounds.beyond()) {
        (true, Some(Verdict::Regressed)) => (Verdict::Regressed, format!("{said}, beyond its floor")),
        (true, Some(_)) => (Verdict::Improved, format!("{said}, beyond its floor")),
        _ if bounds.within() => (Verdict::Unchanged, format!("{said}, within its floor")),
        _ => {
            let more = bounds.storms_to_tell(m.min(n)).map_or(String::new(), |storms| {
                format!("; about {storms} {} a side would tell", unit.plural())
            });
            (Verdict::Inconclusive, format!("{said}: neither beyond its floor nor within it{more}"))
        }
    };
}

/// A change against its floor, on a scale on which no change is 0 and both directions are alike:
/// the logarithm of a ratio, a difference of shares.
struct Bounds {
    value: f64,
    low: f64,
    high: f64,
    floor: f64,
    /// Whether the absolute floor lets it count as beyond.
    large: bool,
    /// Whether the absolute floor alone makes it nothing.
    small: bool,
}

impl Bounds {
    fn of(change: &Change) -> Option<Bounds> {
        let Floor { relative, absolute, .. } = change.floor;
        let difference = &change.difference;
        if change.metric.metric().is_none() {
            let (value, low, high) = (difference.value?, difference.low?, difference.high?);
            return Some(Bounds { value, low, high, floor: absolute, large: true, small: false });
        }
        let ratio = &change.ratio;
        // An interval without upper end reaches attempts that never got there.
        let (value, low, high) =
            (ratio.value?.ln(), ratio.low?.ln(), ratio.high.map_or(f64::INFINITY, f64::ln));
        let small = match (difference.low, difference.high) {
            (Some(low), Some(high)) => low >= -absolute && high <= absolute,
            _ => false,
        };
        let large = difference.value.is_none_or(|value| value.abs() > absolute);
        Some(Bounds { value, low, high, floor: relative.ln_1p(), large, small })
    }

    fn beyond(&self) -> Option<Verdict> {
        match self {
            _ if !self.large => None,
            _ if self.low > self.floor => Some(Verdict::Regressed),
            _ if self.high < -self.floor => Some(Verdict::Improved),
            _ => None,
        }
    }

    fn within(&self) -> bool {
        (self.low >= -self.floor && self.high <= self.floor) || self.small
    }

    /// Storms a side after which the interval, which narrows with their square root, would be
    /// beyond or within the floor.
    fn storms_to_tell(&self, storms: usize) -> Option<usize> {
        let (half, distance) = ((self.high - self.low) / 2.0, (self.value.abs() - self.floor).abs());
        let needed = storms as f64 * (half / distance).powi(2);
        (needed.is_finite() && needed < 10_000.0).then_some((needed * 1.2).ceil() as usize)
    }

    fn words(&self, change: &Change) -> String {
        match change.metric.metric() {
            None => format!(
                "{} more never got ready [{}, {}], floor {}",
                percent(self.value),
                percent(self.low),
                percent(self.high),
                percent(self.floor)
            ),
            Some(_) => format!(
                "{} [{}, {}], floor {} and {}",
                ratio(self.value.exp()),
                ratio(self.low.exp()),
                if self.high.is_finite() { ratio(self.high.exp()) } else { "∞".into() },
                percent(change.floor.relative),
                change.metric.show(change.floor.absolute)
            ),
        }
    }
}

/// Storms a side that `metrics` tests at level `alpha` need to be able to find anything.
pub fn needed_storms(metrics: usize, alpha: f64) -> usize {
    (2..200).find(|n| smallest_p(*n, *n) * (metrics as f64) < alpha).unwrap_or(200)
}

fn level(samples: &[Vec<f64>], n_attempts: usize, quantity: Quantity) -> Level {
    let values: Vec<f64> = samples.iter().cloned().map(median).collect();
    let value = match quantity.metric() {
        Some(_) => quantile(&sorted(values.clone()), 0.5),
        None => Some(values.iter().sum::<f64>() / values.len().max(1) as f64),
    };
    Level {
        value,
        n: values.len(),
        n_attempts,
        values: values.into_iter().map(|value| value.is_finite().then_some(value)).collect(),
    }
}

/// Median of a storm; ∞ where it falls among what never got there.
pub(super) fn median(sample: Vec<f64>) -> f64 {
    quantile(&sorted(sample), 0.5).unwrap_or(f64::INFINITY)
}
