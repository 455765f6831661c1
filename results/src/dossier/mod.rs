//! Several runs made to decide all claims: a folder of run folders with `dossier.json` beside them.

mod decide;

use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use decide::{Decided, decide};

use crate::chart::Chart;
use crate::folder::{LoadedRun, replace};
use crate::summary::{Summary, summarize};
use crate::{Error, report, write};

/// Name of the file that makes a folder a dossier.
pub const DOSSIER_JSON: &str = "dossier.json";
/// Name of the file with what was decided.
pub const CLAIMS_JSON: &str = "claims.json";
/// Version of the format of both.
pub const DOSSIER_SCHEMA_VERSION: u32 = 1;

/// `dossier.json`: which parts there are, and what became of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dossier {
    /// Version of the format.
    pub schema_version: u32,
    /// Identifier.
    pub id: String,
    /// Begin, RFC 3339 in UTC.
    pub began_at: String,
    /// The command line.
    pub argv: Vec<String>,
    /// The parts in their order.
    pub parts: Vec<Part>,
    /// Whether every part that could be carried out was.
    pub complete: bool,
}

/// One part: a run in a folder of the same name, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Its name, and that of its folder.
    pub name: String,
    /// Scenario.
    pub scenario: String,
    /// What it is to find out.
    pub question: String,
    /// Why there is no run of it, or an incomplete one; empty where all went well.
    pub reason: String,
}

/// What was decided: `claims.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decisions {
    /// Version of the format.
    pub schema_version: u32,
    /// Identifier of the dossier.
    pub id: String,
    /// A decision a claim, in the order of the article.
    pub claims: Vec<Decided>,
}

/// A part with its run, as read.
pub struct LoadedPart {
    /// The part.
    pub part: Part,
    /// Its run.
    pub run: LoadedRun,
    /// What that says.
    pub summary: Summary,
}

/// A dossier as read.
pub struct LoadedDossier {
    /// Its folder.
    pub path: PathBuf,
    /// `dossier.json`.
    pub dossier: Dossier,
    /// Parts of which there is a run.
    pub parts: Vec<LoadedPart>,
    /// What was decided.
    pub decisions: Decisions,
}

impl LoadedDossier {
    /// Reads the dossier in the folder `path`.
    ///
    /// # Errors
    /// A file that cannot be read, a newer format, or a run that is broken.
    pub fn load(path: &Path) -> Result<LoadedDossier, Error> {
        let dossier = read(&path.join(DOSSIER_JSON))?;
        let mut parts = Vec::new();
        for part in &dossier.parts {
            let folder = path.join(&part.name);
            if folder.join(crate::folder::RUN_JSON).exists() {
                let run = LoadedRun::load(&folder)?;
                let summary = summarize(&run);
                parts.push(LoadedPart { part: part.clone(), run, summary });
            }
        }
        let decisions = Decisions {
            schema_version: DOSSIER_SCHEMA_VERSION,
            id: dossier.id.clone(),
            claims: decide(&dossier, &parts),
        };
        Ok(LoadedDossier { path: path.to_owned(), dossier, parts, decisions })
    }
}

/// Whether the folder `path` is a dossier.
pub fn is_dossier(path: &Path) -> bool {
    path.join(DOSSIER_JSON).exists()
}

/// Makes what is derived of the dossier in `path` and of each of its parts, over what is there.
///
/// # Errors
/// Where something cannot be read or a file not be written.
pub fn write_all(path: &Path) -> Result<LoadedDossier, Error> {
    let loaded = LoadedDossier::load(path)?;
    let mut charts: Vec<Vec<Chart>> = Vec::new();
    for part in &loaded.parts {
        charts.push(write::derived(&part.run, &part.summary)?);
    }
    write::write_json(&path.join(CLAIMS_JSON), &loaded.decisions)?;
    replace(&path.join("report.html"), report::dossier(&loaded, &charts).as_bytes())?;
    Ok(loaded)
}

fn read(path: &Path) -> Result<Dossier, Error> {
    let invalid = |refused: serde_json::Error| Error::Invalid {
        path: path.to_owned(),
        what: format!("is no description of a dossier: {refused}"),
    };
    let text = fs::read(path).map_err(Error::system("read", path))?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(invalid)?;
    if let Some(found) = value.get("schema_version").and_then(serde_json::Value::as_u64)
        && found > u64::from(DOSSIER_SCHEMA_VERSION)
    {
        return Err(Error::Newer { path: path.to_owned(), found, supported: DOSSIER_SCHEMA_VERSION });
    }
    let dossier: Dossier = serde_json::from_value(value).map_err(invalid)?;
    // A part lies below its dossier, whatever somebody wrote into the file.
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match dossier.parts.iter().find(|part| !plain(&part.name)) {
        Some(part) => Err(Error::Invalid {
            path: path.to_owned(),
            what: format!("names a part {:?}: letters, digits and '-' only", part.name),
        }),
        None => Ok(dossier),
    }
}
