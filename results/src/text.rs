//! Numbers for people.

/// A duration of `ns` nanoseconds with three significant digits and its unit.
pub fn duration(ns: f64) -> String {
    let (scale, unit) = match ns.abs() {
        size if size >= 999.5e6 => (1e9, "s"),
        size if size >= 999.5e3 => (1e6, "ms"),
        size if size >= 999.5 => (1e3, "µs"),
        _ => (1.0, "ns"),
    };
    format!("{} {unit}", three_digits(ns / scale))
}

/// A ratio with three significant digits.
pub fn ratio(value: f64) -> String {
    format!("{}×", three_digits(value))
}

/// A size of `bytes` with three significant digits and its unit, in powers of 1,024.
pub fn size(bytes: f64) -> String {
    let (scale, unit) = match bytes.abs() {
        size if size >= 999.5 * 1024.0 * 1024.0 => (f64::from(1 << 30), "GiB"),
        size if size >= 999.5 * 1024.0 => (f64::from(1 << 20), "MiB"),
        size if size >= 999.5 => (1024.0, "KiB"),
        _ => (1.0, "B"),
    };
    format!("{} {unit}", three_digits(bytes / scale))
}

/// A share as per cent.
pub fn percent(share: f64) -> String {
    format!("{} %", three_digits(share * 100.0))
}

fn three_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// Escapes a text for HTML, within elements and within quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Terminal escapes and the like: HTML has no place for them.
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_change_where_three_digits_would_become_four() {
        assert_eq!(duration(999.0), "999 ns");
        assert_eq!(duration(999.6), "1.00 µs");
        assert_eq!(duration(1_350_000.0), "1.35 ms");
        assert_eq!(duration(2.113e9), "2.11 s");
        assert_eq!(duration(-54e6), "-54.0 ms");
        assert_eq!(ratio(1523.4), "1523×");
        assert_eq!(size(67_108_864.0), "64.0 MiB");
        assert_eq!(size(1_020_000.0), "996 KiB");
        assert_eq!(size(-5120.0), "-5.00 KiB");
    }

    #[test]
    fn nothing_hostile_survives_escaping() {
        let escaped = escape("<img src=x onerror='a'>\"&\u{1b}[31m");
        assert_eq!(escaped, "&lt;img src=x onerror=&#39;a&#39;&gt;&quot;&amp;\u{fffd}[31m");
    }
}
