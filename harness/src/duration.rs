//! Durations as people write them.

use std::time::Duration;

/// Reads `90`, `90s`, `1.5m` or `200ms`.
///
/// # Errors
/// A sentence that says what may be written.
pub fn parse(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds_per_unit = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * seconds_per_unit;
    // A day is far beyond any start; the bound also keeps the conversion from overflowing.
    if seconds > 0.0 && seconds <= 86_400.0 {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("{text:?} is no duration: write 500ms, 90s or 2m, above 0 and at most a day"))
    }
}

/// The deadline of the whole, and those of phases.
pub type Deadlines = (Option<Duration>, Vec<(String, Duration)>);

/// Reads `90s`, or with deadlines of phases `90s,firmware=10s`.
///
/// # Errors
/// As [`parse`].
pub fn deadlines(text: &str) -> Result<Deadlines, String> {
    let (mut whole, mut phases) = (None, Vec::new());
    for word in text.split(',') {
        match word.split_once('=') {
            Some((phase, longest)) => phases.push((phase.trim().to_owned(), parse(longest.trim())?)),
            None if whole.is_some() => {
                return Err(format!("{text:?} has two deadlines of the whole: write one, and PHASE=TIME"));
            }
            None => whole = Some(parse(word.trim())?),
        }
    }
    Ok((whole, phases))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_deadlines_of_their_own() {
        let seconds = Duration::from_secs;
        assert_eq!(deadlines("90"), Ok((Some(seconds(90)), Vec::new())));
        let phases = vec![("firmware".to_owned(), seconds(10)), ("kernel".to_owned(), seconds(30))];
        assert_eq!(deadlines("firmware=10s, 2m, kernel=30s"), Ok((Some(seconds(120)), phases)));
        for bad in ["90s,80s", "kernel=", "=", "90s,", "kernel=x"] {
            assert!(deadlines(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "0", "-1s", "1d", "1e9", "99999h", "s", "1.2.3s", "NaN", "ä"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
