//! Why a container is not saved: what CRIU says of this host, or what it cannot carry along.

use std::process::Command;

use crate::Error;

/// Asks CRIU.
pub(super) fn refusal() -> Error {
    let asked = Command::new("criu").arg("check").output();
    match asked {
        Err(error) => Error::Missing {
            what: format!("cannot run criu: {error}"),
            fix: Some("apt-get install criu".into()),
        },
        Ok(output) if !output.status.success() => Error::Missing {
            what: format!("criu check fails: {}", first_error(&String::from_utf8_lossy(&output.stderr))),
            fix: None,
        },
        // criu.org/External_UNIX_socket: the end outside is not part of what is saved.
        Ok(_) => Error::Missing {
            what:
                "criu works here, but a container speaks to this program on a connected socket, which criu \
                   does not restore"
                    .into(),
            fix: None,
        },
    }
}

/// The first is the cause of those that follow.
fn first_error(said: &str) -> &str {
    let line = said.lines().find(|line| line.contains("Error")).or_else(|| said.lines().next());
    line.map_or("it says nothing", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told() {
        // criu 3.17.1 on a kernel 6.18.
        let said = "Warn  (criu/x.c:1): odd\nError (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds\n\
                    Error (criu/crtools.c:260): Could not initialize kernel features detection.\n";
        assert!(first_error(said).contains("vDSO area bounds"));
        assert_eq!(first_error(""), "it says nothing");
    }
}
