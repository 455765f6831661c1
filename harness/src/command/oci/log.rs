//! The log file of `--log`, in the form that engines read it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::args::LogFormat;
use crate::time;

/// Appends an error. One that cannot be written is on standard error all the same.
pub fn error(file: &Path, format: LogFormat, message: &str) {
    let line = match format {
        LogFormat::Json => {
            serde_json::json!({ "level": "error", "msg": message, "time": time::now_utc() }).to_string()
        }
        LogFormat::Text => format!("time={:?} level=error msg={message:?}", time::now_utc()),
    };
    let opened = OpenOptions::new().append(true).create(true).open(file);
    let _ = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}
