//! `bench` as its users run it: arguments in; output, files and exit code out. Nothing here needs
//! KVM or QEMU: the storms are the fake backend's, but for those of containers without root.

mod endings;
mod image;
mod inspection;
mod judging;
mod rootless;
mod storms;
mod usage;

use std::path::Path;
use std::process::{Command, Output};

/// `bench` in `folder`, with nothing of the caller's settings.
fn bench(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BENCH_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder);
    command
}

/// What `bench` with `arguments` (split at blanks) says in an empty folder.
fn say(arguments: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    said(bench(folder.path()).args(arguments.split_whitespace()))
}

fn said(command: &mut Command) -> Said {
    Said::from(command.output().unwrap())
}

/// Exit code and output, in a form that shows well in a failed assertion.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!said.err.contains("panicked"), "{said:?}");
        said
    }
}

/// The rows of a CSV file as maps from column to field.
fn rows(path: &Path) -> Vec<std::collections::HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}
