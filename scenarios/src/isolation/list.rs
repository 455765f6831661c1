//! The checks there are, and how they are chosen by name.

use std::fmt::Write;

use super::check::{Check, Company, Expect, Twin};
use super::checks;
use super::kind::Kind;

/// All checks, by topic.
pub fn all() -> Vec<&'static Check> {
    checks::TOPICS.iter().flat_map(|topic| topic.iter()).collect()
}

/// Those that `pattern` means: an identifier, a claim, or a glob over identifiers.
pub fn matching(pattern: &str) -> Vec<&'static Check> {
    let mut checks = all();
    checks.retain(|check| check.id == pattern || check.claim == pattern || glob(pattern, check.id));
    checks
}

/// What a check is: why, from where, and how it is judged.
pub fn explain(id: &str) -> Option<String> {
    let check = all().into_iter().find(|check| check.id == id)?;
    let mut text =
        format!("{}: {}\nclaim: {}\nsource: {}\n", check.id, check.question, check.claim, check.source);
    let steps = [
        (check.at_bridge.is_some(), "host and instances meet at a bridge of the check's own"),
        (check.on_host.is_some() || check.at_bridge.is_some(), "the host plants a canary"),
        (check.looks_before, "an instance looks before anything is planted, as the baseline"),
        (check.plant.is_some(), "instance A plants a canary and stays"),
        (true, "the plants are witnessed"),
        (check.look.is_some(), "instance B looks"),
        (check.image.is_some(), "an instance is started from files that lead out of its root"),
        (check.look.is_none(), "the host looks"),
        (true, "the plants are witnessed again, then it is judged"),
    ];
    for (_, step) in steps.iter().filter(|(is_taken, _)| *is_taken) {
        let _ = writeln!(text, "- {step}");
    }
    let _ = writeln!(text, "expected:");
    for (kind, name) in [
        (Kind::Process, "process"),
        (Kind::Container, "container"),
        (Kind::Runtime, "oci"),
        (Kind::Engine, "engine"),
        (Kind::Sandbox, "gVisor"),
        (Kind::Machine, "vm"),
    ] {
        let _ = writeln!(text, "  {name:<10} {}", expectation((check.expect)(kind)));
    }
    let twin = match check.twin {
        Twin::Process => "a bare process".to_owned(),
        Twin::Without(_) | Twin::Careless => twin_name(check.twin),
    };
    let company = match check.company {
        Company::Together => "shares instances with other checks",
        Company::Alone => "has instances of its own",
        Company::Quiet => "has instances of its own, and nothing else runs meanwhile",
    };
    let _ = write!(text, "control: {twin} has to leak\n{company}");
    Some(text)
}

/// An expectation as in `checks.csv`.
pub(super) fn expectation(expect: Expect) -> String {
    match expect {
        Expect::Apart => "apart".into(),
        Expect::Open => "open".into(),
        Expect::Shared(why) => format!("shared: {why}"),
        Expect::Pointless(why) => format!("n/a: {why}"),
    }
}

/// What a twin is called.
pub(super) fn twin_name(twin: Twin) -> String {
    match twin {
        Twin::Process => "process".into(),
        Twin::Careless => "a setup that follows links".into(),
        Twin::Without(without) => {
            let lacks: Vec<String> = without.iter().map(ToString::to_string).collect();
            format!("container without {}", lacks.join(", "))
        }
    }
}

/// `*` stands for anything, everything else for itself.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        assert!(
            glob("uts-*", "uts-host") && glob("*", "") && glob("*-in", "uts-in") && glob("a*b*c", "a1b2c")
        );
        assert!(!glob("uts-*", "uts") && !glob("*-in", "uts-inn") && !glob("", "a"));
    }

    #[test]
    fn checks_have_names_of_their_own_and_are_complete() {
        let checks = all();
        for (at, check) in checks.iter().enumerate() {
            assert!(checks[..at].iter().all(|other| other.id != check.id), "{} twice", check.id);
            let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(check.id.chars().all(shape), "{}", check.id);
            for text in [check.claim, check.question, check.source] {
                assert!(!text.is_empty(), "{} lacks a text", check.id);
            }
            assert!(results::claims::claim(check.claim).is_some(), "{}: no claim {}", check.id, check.claim);
            let asks = check.plant.is_some() || check.look.is_some();
            assert!(asks != check.image.is_some(), "{} asks nothing", check.id);
            assert!((check.twin == Twin::Careless) == check.image.is_some(), "{}", check.id);
            let shares_nothing = check.limits.is_some() || check.act.is_some() || check.image.is_some();
            assert!(!shares_nothing || check.company != Company::Together, "{}", check.id);
            let shares_a_bridge = check.at_bridge.is_some() && check.company == Company::Together;
            assert!(
                check.at_bridge.is_none() || (shares_a_bridge && check.on_host.is_none()),
                "{}",
                check.id
            );
            assert!(check.act.is_none() || check.look.is_some(), "{}: nobody to act on", check.id);
            assert!(explain(check.id).is_some_and(|text| text.contains(check.source)));
        }
    }
}
