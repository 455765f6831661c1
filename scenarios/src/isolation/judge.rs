//! Judgements many checks share.

use guest::probe::Request;
use nix::errno::Errno;

use super::check::{Finding, Missing, Scene, Seen};
use crate::prioritize::question::Question;

/// The name of an error number.
pub fn name(errno: i64) -> String {
    if errno == 0 { "success".into() } else { format!("{:?}", Errno::from_raw(errno as i32)) }
}

/// A look that must fail with one of `errnos`: success is open, any other error a wrong reason.
/// ENOENT and ENOSYS are never taken for a refusal.
///
/// # Errors
/// Where there is no `errno`.
pub fn refused(seen: Seen<'_>, errnos: &[i32]) -> Result<Finding, Missing> {
    let errno = seen.number("errno")?;
    let told = name(errno);
    Ok(match errno {
        0 => Finding::Open("it succeeded".into()),
        _ if errno == i64::from(nix::libc::ENOENT) || errno == i64::from(nix::libc::ENOSYS) => {
            Finding::Wrong(format!("{told} says that there is nothing, not that it is refused"))
        }
        _ if errnos.contains(&(errno as i32)) => Finding::Apart(told),
        _ => Finding::Wrong(told),
    })
}

/// A look by key or name that must find nothing, while one for something of the probe's own finds it.
///
/// # Errors
/// Where a fact is missing.
pub fn not_found(seen: Seen<'_>, errno_if_absent: i32) -> Result<Finding, Missing> {
    let (errno, own) = (seen.number("errno")?, seen.number("own")?);
    let told = name(errno);
    Ok(match errno {
        0 => Finding::Open("it is found".into()),
        _ if own != 1 => Finding::Wrong(format!("{told}, and not even its own is found")),
        _ if errno == i64::from(errno_if_absent) => Finding::Apart(told),
        _ => Finding::Wrong(told),
    })
}

/// Looks through a list, however long, for what the host has planted; `own` is in it in any case.
pub fn host_line(scene: &Scene<'_>, path: &str, own: &str) -> Request {
    let word = scene.on_host.map_or_else(String::new, |plant| plant.text());
    Request::FindLine { path: path.into(), word, own: own.into() }
}

/// The answer to [`host_line`].
///
/// # Errors
/// Where a fact is missing.
pub fn host_not_listed(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    let errno = look.number("errno")?;
    if errno != 0 {
        return refused(look, &[nix::libc::EACCES, nix::libc::EPERM]);
    }
    let (lines, found) = (look.number("lines")?, look.number("found")?);
    Ok(match (found, look.number("own")?) {
        (1.., _) => Finding::Open(format!("it is listed: {}", look.text("line")?.trim())),
        (_, 1) => Finding::Apart(format!("{lines} lines, its own among them, none the host's")),
        _ => Finding::Wrong(format!("{lines} lines, and not even its own is among them")),
    })
}

/// Whether `seen` is what was planted.
pub fn differs(what: &str, seen: &str, planted: &str) -> Finding {
    match seen == planted {
        true => Finding::Open(format!("{what} is the one planted")),
        false => Finding::Apart(format!("another {what}")),
    }
}

/// What was measured against what was asked, in the terms of the scenario of priorities: more than its most is
/// open. Less than was asked is no leak; by how much it is off is told.
pub fn measured(question: &Question, value: f64) -> Finding {
    let asked = question.asked.unwrap_or(f64::NAN);
    let off = 100.0 * (value / asked - 1.0);
    let said = format!("{value:.3} {}, asked {asked}: off by {off:+.1} %", question.unit);
    match question.most {
        Some(most) if value > most => Finding::Open(said),
        _ => Finding::Apart(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prioritize::question::{WORK, ask};

    #[test]
    fn more_than_was_asked_is_open() {
        let question = ask("a", WORK, "cores", Some(0.5)).off_by(0.1);
        assert!(matches!(measured(&question, 0.56), Finding::Open(_)));
        assert!(matches!(measured(&question, 0.5), Finding::Apart(said) if said.contains("+0.0 %")));
        assert!(matches!(measured(&question, 0.44), Finding::Apart(said) if said.contains("-12.0 %")));
    }
}
