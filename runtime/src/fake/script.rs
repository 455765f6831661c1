//! What a fake instance is to do.

use std::time::Duration;

use crate::{Error, InstanceName};

/// A script: `key=value` words with `,`, `+` or `;` between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Script {
    /// From launch to `ready`.
    pub(super) ready: Duration,
    /// Up to this much more, evenly distributed.
    pub(super) jitter: Duration,
    /// From `ready` to `serving`.
    pub(super) serving: Duration,
    /// How long the launch itself takes.
    pub(super) launch: Duration,
    /// How long stopping takes.
    pub(super) stop: Duration,
    /// Share of launches that are refused.
    fail: f64,
    /// Share of instances that never get ready.
    hang: f64,
    /// Share of instances that end before they are ready.
    die: f64,
}

/// What becomes of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Gets ready.
    Live,
    /// Its launch is refused.
    Fail,
    /// Never gets ready.
    Hang,
    /// Ends before it is ready.
    Die,
}

impl Script {
    /// Reads a script.
    pub(super) fn parse(text: &str) -> Result<Script, Error> {
        let mut script = Script::default();
        for word in text.split([',', '+', ';']).filter(|word| !word.is_empty()) {
            let bad = || {
                Error::Invalid(format!(
                    "fake script: {word:?} is not ready, jitter, serving, launch or stop=DURATION, or fail, hang or die=SHARE"
                ))
            };
            let (key, value) = word.split_once('=').ok_or_else(bad)?;
            let duration = || duration(value).ok_or_else(bad);
            let share = || value.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(bad);
            match key {
                "ready" => script.ready = duration()?,
                "jitter" => script.jitter = duration()?,
                "serving" => script.serving = duration()?,
                "launch" => script.launch = duration()?,
                "stop" => script.stop = duration()?,
                "fail" => script.fail = share()?,
                "hang" => script.hang = share()?,
                "die" => script.die = share()?,
                _ => return Err(bad()),
            }
        }
        Ok(script)
    }

    /// What becomes of `name`: always the same for the same script and name.
    pub(super) fn fate(&self, name: &InstanceName) -> Fate {
        let dice = unit(name, 1);
        if dice < self.fail {
            Fate::Fail
        } else if dice < self.fail + self.hang {
            Fate::Hang
        } else if dice < self.fail + self.hang + self.die {
            Fate::Die
        } else {
            Fate::Live
        }
    }

    /// From launch to `ready`, jitter included.
    pub(super) fn ready_after(&self, name: &InstanceName) -> Duration {
        self.ready + self.jitter.mul_f64(unit(name, 2))
    }
}

/// An evenly distributed number in [0, 1) that depends on its arguments only (splitmix64, Steele
/// et al. 2014).
fn unit(name: &InstanceName, purpose: u64) -> f64 {
    let mut z = (u64::from(name.storm) << 32 | u64::from(name.index))
        .wrapping_add(purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read_whole_or_refused() {
        let script = Script::parse("ready=5ms,jitter=1ms+hang=0.5").expect("script");
        assert_eq!(script.ready, Duration::from_millis(5));
        assert_eq!(script.hang, 0.5);
        for bad in ["ready", "ready=5", "fail=2", "sleep=1s", "ready=-1s"] {
            assert!(Script::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fates_are_shared_out_as_asked_and_repeat() {
        let script = Script::parse("fail=0.1,hang=0.05,die=0.02").expect("script");
        let fates: Vec<Fate> =
            (0..10_000).map(|index| script.fate(&InstanceName { storm: 3, index })).collect();
        let count = |fate| fates.iter().filter(|it| **it == fate).count();
        assert!((900..1100).contains(&count(Fate::Fail)), "{}", count(Fate::Fail));
        assert!((430..570).contains(&count(Fate::Hang)), "{}", count(Fate::Hang));
        assert!((150..250).contains(&count(Fate::Die)), "{}", count(Fate::Die));
        assert_eq!(fates[7], script.fate(&InstanceName { storm: 3, index: 7 }));
    }
}
