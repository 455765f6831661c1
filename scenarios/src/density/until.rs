//! How far to grow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When a repetition has grown enough. The host's reserve ends it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Until {
    /// At this many instances.
    Count(u32),
    /// At the first step in which an instance does not come up.
    Failure,
    /// When MemAvailable is at or below this share of all memory.
    Free(f64),
}

/// A text that says no end of growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUntilError(String);

impl fmt::Display for ParseUntilError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no end of growth: write a number from 1, failure, or free=10%", self.0)
    }
}

impl std::error::Error for ParseUntilError {}

impl FromStr for Until {
    type Err = ParseUntilError;

    fn from_str(text: &str) -> Result<Until, ParseUntilError> {
        let refused = || ParseUntilError(text.to_owned());
        if text == "failure" {
            return Ok(Until::Failure);
        }
        if let Some(share) = text.strip_prefix("free=") {
            let percent: f64 = share.strip_suffix('%').and_then(|n| n.parse().ok()).ok_or_else(refused)?;
            return if (1.0..100.0).contains(&percent) {
                Ok(Until::Free(percent / 100.0))
            } else {
                Err(refused())
            };
        }
        match text.parse() {
            Ok(0) | Err(_) => Err(refused()),
            Ok(count) => Ok(Until::Count(count)),
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::Count(count) => write!(f, "{count}"),
            Until::Failure => f.write_str("failure"),
            Until::Free(share) => write!(f, "free={}%", share * 100.0),
        }
    }
}

impl TryFrom<String> for Until {
    type Error = ParseUntilError;

    fn try_from(text: String) -> Result<Until, ParseUntilError> {
        text.parse()
    }
}

impl From<Until> for String {
    fn from(until: Until) -> String {
        until.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_and_nonsense_is_refused() {
        for text in ["1", "1000", "failure", "free=10%", "free=2.5%"] {
            let until: Until = text.parse().expect(text);
            assert_eq!(until.to_string(), text);
        }
        for text in ["0", "-1", "", "free=0%", "free=100%", "free=10", "free=NaN%", "ever"] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }
}
