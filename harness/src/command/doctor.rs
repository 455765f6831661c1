//! `bench doctor`: what this host can run, what is missing, and the command that fixes it.

use std::io::Write;
use std::path::Path;

use runtime::{Backend, vm};
use serde_json::{Value, json};

use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::terminal::{self, BOLD, GREEN, RED, paint};
use crate::{host, select};

/// Writes the state of every backend's requirements and the host's fingerprint.
///
/// # Errors
/// Where standard output refuses.
pub fn run(args: &DoctorArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let backends = runtime::backends(&vm::Options::default());
    if args.json {
        json_report(&backends, out)?
    } else {
        text_report(&backends, out)?
    }
    Ok(0)
}

fn text_report(backends: &[Box<dyn Backend>], out: &mut impl Write) -> Result<(), Failure> {
    let colours = terminal::stdout_colours();
    writeln!(out, "{}", paint(colours, BOLD, "host"))?;
    for (name, value) in host::fingerprint(Path::new("/")) {
        let value = match value {
            Value::Null => "not known".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        writeln!(out, "  {name:<28} {value}")?;
    }
    for backend in backends {
        writeln!(out, "\n{}: {}", paint(colours, BOLD, &backend.id()), backend.description())?;
        for requirement in backend.requirements() {
            match requirement.state {
                Ok(found) => {
                    writeln!(out, "  {} {}: {found}", paint(colours, GREEN, "ok     "), requirement.what)?;
                }
                Err(why) => {
                    writeln!(out, "  {} {}: {why}", paint(colours, RED, "missing"), requirement.what)?;
                    if let Some(fix) = requirement.fix {
                        writeln!(out, "          fix: {fix}")?;
                    }
                }
            }
        }
        let verdict = match select::missing(backend.as_ref()) {
            None => paint(colours, GREEN, "can run here"),
            Some(_) => paint(colours, RED, "cannot run here"),
        };
        writeln!(out, "  {verdict}")?;
    }
    Ok(())
}

fn json_report(backends: &[Box<dyn Backend>], out: &mut impl Write) -> Result<(), Failure> {
    let backends: Vec<Value> = backends
        .iter()
        .map(|backend| {
            let requirements: Vec<Value> = backend
                .requirements()
                .into_iter()
                .map(|requirement| {
                    json!({
                        "what": requirement.what,
                        "met": requirement.state.is_ok(),
                        "found": requirement.state.as_ref().ok(),
                        "problem": requirement.state.as_ref().err(),
                        "fix": requirement.fix,
                    })
                })
                .collect();
            json!({
                "backend": backend.id(),
                "description": backend.description(),
                "usable": requirements.iter().all(|requirement| requirement["met"] == true),
                "requirements": requirements,
            })
        })
        .collect();
    let report = json!({ "host": host::fingerprint(Path::new("/")), "backends": backends });
    writeln!(out, "{report:#}")?;
    Ok(())
}
