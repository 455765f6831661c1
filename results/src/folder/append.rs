//! A table that only grows, by whole rows.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::Error;

/// A CSV file open for appending.
#[derive(Debug)]
pub(super) struct AppendFile {
    path: PathBuf,
    columns: &'static [&'static str],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Absent until the first row of a file that not every run has.
    file: Option<File>,
    /// Length of the whole rows written so far.
    bytes: u64,
}

impl AppendFile {
    /// Makes the file with its header.
    pub(super) fn create(path: PathBuf, columns: &'static [&'static str]) -> Result<AppendFile, Error> {
        let table = AppendFile::at_first_row(path, columns);
        table.append(&[])?;
        Ok(table)
    }

    /// A file that is made with its header when its first row comes.
    pub(super) fn at_first_row(path: PathBuf, columns: &'static [&'static str]) -> AppendFile {
        AppendFile { path, columns, state: Mutex::new(State { file: None, bytes: 0 }) }
    }

    /// Appends all of `rows` or none.
    pub(super) fn rows<R: Serialize>(&self, rows: &[R]) -> Result<(), Error> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for row in rows {
            writer
                .serialize(row)
                .map_err(|refused| Error::Invalid { path: self.path.clone(), what: refused.to_string() })?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|failed| Error::Invalid { path: self.path.clone(), what: failed.error().to_string() })?;
        self.append(&bytes)
    }

    fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        // A thread that panicked here left whole rows: they are appended by one call each.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.file.is_none() {
            let made = OpenOptions::new().append(true).create_new(true).open(&self.path);
            state.file = Some(made.map_err(Error::system("make", &self.path))?);
            let header = format!("{}\n", self.columns.join(","));
            state.append(header.as_bytes()).map_err(Error::system("append a row to", &self.path))?;
        }
        state.append(bytes).map_err(Error::system("append a row to", &self.path))
    }
}

impl State {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Err(refused) = file.write_all(bytes) {
            // A full disk takes part of a row: give it back, so that the rows before stay readable.
            let _ = file.set_len(self.bytes);
            return Err(refused);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_the_file() {
        // full(4): every write to it fails as on a full disk.
        let Ok(file) = OpenOptions::new().append(true).open("/dev/full") else {
            println!("skipped: no /dev/full");
            return;
        };
        let state = Mutex::new(State { file: Some(file), bytes: 0 });
        let table = AppendFile { path: "x/attempts.csv".into(), columns: &[], state };
        let error = table.rows(&[("a", 1)]).unwrap_err().to_string();
        assert!(error.contains("x/attempts.csv") && error.contains("No space left"), "{error}");
    }
}
