//! Wall-clock time, for names and people only; nothing is computed from it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now in UTC, RFC 3339 to the second.
pub fn now_utc() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    runtime::clock::rfc3339(since.as_secs())
}

/// A moment in UTC, RFC 3339 to the second.
pub fn utc(unix_ns: u64) -> String {
    runtime::clock::rfc3339(unix_ns / 1_000_000_000)
}
