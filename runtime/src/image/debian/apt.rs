//! Where the host's apt gets its packages from (sources.list(5)).

use std::fs;
use std::path::{Path, PathBuf};

use super::super::Error;

/// Copies the sources in use below `apt` to `folder`, one-line and deb822 ones, for another release
/// where `suite` is given; gives the copies.
///
/// # Errors
/// There are none, or what the system said.
pub(super) fn sources(apt: &Path, suite: Option<&str>, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![apt.join("sources.list")];
    let parts = apt.join("sources.list.d");
    let mut listed: Vec<PathBuf> =
        fs::read_dir(&parts).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    listed.sort();
    found.extend(
        listed.into_iter().filter(|path| path.extension().is_some_and(|e| e == "list" || e == "sources")),
    );
    let host = suite.and_then(|_| code_name());
    let mut copies = Vec::new();
    for path in found {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let text = match (suite, &host) {
            (Some(suite), Some(host)) => other_release(&text, host, suite),
            _ => text,
        };
        let copy = folder.join(format!(
            "{}-{}",
            copies.len(),
            path.file_name().unwrap_or_default().to_string_lossy()
        ));
        fs::write(&copy, text).map_err(Error::io("write", &copy))?;
        copies.push(copy);
    }
    if copies.is_empty() {
        return Err(Error::malformed(apt.display().to_string(), "has no package sources to build from"));
    }
    Ok(copies)
}

/// The same sources for another release: `bookworm` and `bookworm-updates` are the host's.
fn other_release(text: &str, host: &str, suite: &str) -> String {
    let word = |word: &str| match word.strip_prefix(host) {
        Some(rest) if rest.is_empty() || rest.starts_with(['-', '/']) => format!("{suite}{rest}"),
        _ => word.to_owned(),
    };
    let lines = text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// VERSION_CODENAME of os-release(5).
fn code_name() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_in_use_are_copied() {
        let (apt, out) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let parts = apt.path().join("sources.list.d");
        fs::create_dir(&parts).expect("folder");
        assert!(sources(apt.path(), None, out.path()).is_err());
        fs::write(apt.path().join("sources.list"), "# moved\n\n").expect("list");
        fs::write(parts.join("b.sources"), "Types: deb\nSuites: bookworm\n").expect("deb822");
        fs::write(parts.join("a.list"), "deb http://example.org/debian bookworm main\n").expect("list");
        fs::write(parts.join("c.list.disabled"), "deb http://example.org/debian sid main\n").expect("list");
        let copies = sources(apt.path(), None, out.path()).expect("sources");
        let names: Vec<_> = copies.iter().map(|path| path.extension().expect("kind").to_owned()).collect();
        assert_eq!(names, ["list", "sources"]);
        assert_eq!(fs::read_to_string(&copies[1]).expect("copy"), "Types: deb\nSuites: bookworm\n");
    }

    #[test]
    fn another_release_of_the_same_sources() {
        let text =
            "Suites: bookworm bookworm-updates bookwormish\ndeb http://x/bookworm bookworm/updates main";
        assert_eq!(
            other_release(text, "bookworm", "trixie"),
            "Suites: trixie trixie-updates bookwormish\ndeb http://x/bookworm trixie/updates main\n"
        );
    }
}
