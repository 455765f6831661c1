//! The checks in the formats test runners read: KTAP (Documentation/dev-tools/ktap.rst) and JUnit XML.

use std::fmt::Write;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::matrix::matrix;
use crate::record::{Check, CheckVerdict};

/// What a test runner makes of a verdict.
enum Means {
    Fine,
    /// It leaks, as was expected of it.
    Expected,
    Skipped,
    Failed,
}

fn means(row: &Check) -> Means {
    match row.verdict {
        CheckVerdict::Pass => Means::Fine,
        CheckVerdict::SharedByDesign => Means::Expected,
        CheckVerdict::Leak if row.expectation == "open" => Means::Expected,
        CheckVerdict::NotApplicable => Means::Skipped,
        CheckVerdict::Leak | CheckVerdict::WrongReason | CheckVerdict::Blind | CheckVerdict::Broken => {
            Means::Failed
        }
    }
}

/// KTAP version 1: a test a backend, a subtest a check.
pub fn ktap(rows: &[Check]) -> String {
    let matrix = matrix(rows);
    let mut text = format!("KTAP version 1\n1..{}\n", matrix.backends.len());
    for (number, backend) in matrix.backends.iter().enumerate() {
        let own: Vec<&Check> = rows.iter().filter(|row| row.backend == *backend).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  KTAP version 1\n  # Subtest: {backend}\n  1..{}", own.len());
        let mut is_fine = true;
        for (at, row) in own.iter().enumerate() {
            let (word, directive) = match means(row) {
                Means::Fine => ("ok", String::new()),
                Means::Expected => ("ok", format!(" # XFAIL {}", row.verdict.word())),
                Means::Skipped => ("ok", format!(" # SKIP {}", one_line(&row.observation))),
                Means::Failed => {
                    is_fine = false;
                    ("not ok", String::new())
                }
            };
            let _ = writeln!(text, "  {word} {} {}{directive}", at + 1, row.check);
            if word == "not ok" {
                let _ = writeln!(text, "  # {}: {}", row.verdict.word(), one_line(&row.observation));
            }
        }
        let _ = writeln!(text, "{} {} {backend}", if is_fine { "ok" } else { "not ok" }, number + 1);
    }
    text
}

/// JUnit XML: a suite a backend, a case a check.
///
/// # Errors
/// What the library said.
pub fn junit(rows: &[Check]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("bench isolation");
    for backend in matrix(rows).backends {
        let mut suite = TestSuite::new(clean(backend));
        for row in rows.iter().filter(|row| row.backend == backend) {
            let status = match means(row) {
                Means::Fine | Means::Expected => TestCaseStatus::success(),
                Means::Skipped => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(clean(&row.observation));
                    status
                }
                Means::Failed => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_type(row.verdict.word()).set_message(clean(&row.observation));
                    status
                }
            };
            let mut case = TestCase::new(clean(&row.check), status);
            case.set_classname(clean(&row.claim));
            let said = format!(
                "{}\nexpected: {}\nwitness: {}\ncontrols: {}",
                row.observation, row.expectation, row.witness, row.controls
            );
            case.set_system_out(clean(&said));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '#' { ' ' } else { c }).collect()
}

/// XML has no place for control characters (XML 1.0, §2.2).
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(check: &str, verdict: CheckVerdict, expectation: &str) -> Check {
        Check {
            expectation: expectation.into(),
            observation: "a\u{1}#b".into(),
            ..Check::example(check, "container", verdict)
        }
    }

    #[test]
    fn what_is_expected_is_no_failure_and_what_is_not_is() {
        let rows = [
            row("one", CheckVerdict::Pass, "apart"),
            row("two", CheckVerdict::Leak, "open"),
            row("three", CheckVerdict::Leak, "apart"),
            row("four", CheckVerdict::NotApplicable, "apart"),
        ];
        let text = ktap(&rows);
        assert!(text.starts_with("KTAP version 1\n1..1\n"), "{text}");
        for line in [
            "  1..4",
            "  ok 1 one\n",
            "  ok 2 two # XFAIL leak",
            "  not ok 3 three\n  # leak: a  b",
            "  ok 4 four # SKIP",
            "not ok 1 container",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        let xml = junit(&rows).expect("serialised");
        assert!(xml.contains("failures=\"1\"") && xml.contains("name=\"three\""), "{xml}");
    }
}
