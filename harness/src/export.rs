//! `--export FORMAT[=FILE]`.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use results::LoadedRun;
use results::compare::Comparison;
use results::export::{self, Document};

use crate::failure::Failure;
use crate::nearest;

/// A format and where it goes.
#[derive(Clone)]
pub struct Export {
    format: &'static dyn export::Export,
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {:?}", self.format.name(), self.file)
    }
}

impl FromStr for Export {
    type Err = String;

    fn from_str(text: &str) -> Result<Export, String> {
        let (name, file) = match text.split_once('=') {
            Some((_, "")) => return Err("there is no file behind the =".into()),
            Some((name, file)) => (name, Some(file.into())),
            None => (text, None),
        };
        let names: Vec<&str> = export::all().iter().map(|format| format.name()).collect();
        let format = export::by_name(name).ok_or_else(|| nearest::unknown("format", name, &names))?;
        Ok(Export { format, file })
    }
}

/// Writes a comparison in each of `formats`.
///
/// # Errors
/// Files or standard output that cannot be written.
pub fn comparison(comparison: &Comparison, formats: &[Export], out: &mut impl Write) -> Result<(), Failure> {
    if formats.is_empty() {
        return Ok(());
    }
    write(&[Document::of_comparison(comparison)], formats, out)
}

/// Writes runs in each of `formats`.
///
/// # Errors
/// As [`comparison`].
pub fn runs(runs: &[LoadedRun], formats: &[Export], out: &mut impl Write) -> Result<(), Failure> {
    if formats.is_empty() {
        return Ok(());
    }
    let documents: Vec<Document> =
        runs.iter().map(|run| Document::of_run(&run.run, &results::summarize(run))).collect();
    write(&documents, formats, out)
}

fn write(documents: &[Document], formats: &[Export], out: &mut impl Write) -> Result<(), Failure> {
    for Export { format, file } in formats {
        let mut text = Vec::new();
        format
            .write(documents, &mut text)
            .map_err(|error| Failure::Cannot(format!("cannot write {}: {error}", format.name())))?;
        match file {
            None => out.write_all(&text)?,
            Some(path) => std::fs::write(path, &text)
                .map_err(|error| Failure::Cannot(format!("cannot write {}: {error}", path.display())))?,
        }
    }
    Ok(())
}
