//! JUnit XML, which every CI system shows: a suite a backend, a case a metric; a suite of claims.
//! What cannot be told is skipped, not passed.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Document, Export, Figure, Source};
use crate::claims::Verdict as ClaimVerdict;
use crate::compare::{Quantity, Verdict};

/// `junit`.
pub(super) struct JUnit;

impl Export for JUnit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn description(&self) -> &'static str {
        "JUnit XML: a case a metric, failed where it regressed"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        let mut report = Report::new("bench");
        for document in documents {
            let mut suites: Vec<TestSuite> = Vec::new();
            for figure in &document.figures {
                let name = clean(&format!("{}/{}", document.scenario, figure.backend));
                let case = case(figure, document);
                match suites.iter_mut().find(|suite| suite.name.as_str() == name) {
                    Some(suite) => _ = suite.add_test_case(case),
                    None => {
                        let mut suite = TestSuite::new(name);
                        suite.add_test_case(case);
                        suites.push(suite);
                    }
                }
            }
            if !document.findings.is_empty() {
                let mut claims = TestSuite::new(clean(&format!("{}/claims", document.scenario)));
                for finding in &document.findings {
                    let status = match &finding.verdict {
                        ClaimVerdict::Undetermined(why) => skipped(why),
                        _ => TestCaseStatus::success(),
                    };
                    let mut case = TestCase::new(clean(&finding.id), status);
                    let text = format!(
                        "“{}”: {}\n{}",
                        finding.statement,
                        finding.verdict.word(),
                        finding.evidence.join("\n")
                    );
                    case.set_system_out(clean(&text));
                    claims.add_test_case(case);
                }
                suites.push(claims);
            }
            report.add_test_suites(suites);
        }
        report.serialize(out).map_err(io::Error::other)
    }
}

fn case(figure: &Figure, document: &Document) -> TestCase {
    let status = match (&figure.verdict, &document.source) {
        (Some((Verdict::Regressed, why)), _) => failed("regressed", why),
        (Some((Verdict::Inconclusive | Verdict::Incomparable, why)), _) => skipped(why),
        // In a run nothing is compared; that nothing came up is a failure all the same.
        (None, Source::Run(_))
            if figure.metric == Quantity::NotReadyShare && figure.estimate.value == Some(1.0) =>
        {
            failed("failed", "not one attempt got ready")
        }
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(figure.metric.name(), status);
    case.set_classname(clean(&figure.backend));
    let show = |value| figure.metric.show(value);
    let mut text = figure.estimate.value.map_or_else(|| figure.estimate.reason.clone(), show);
    if let Some(base) = figure.base {
        text.push_str(&format!(", base {}", show(base)));
    }
    if let Some((verdict, why)) = &figure.verdict {
        text.push_str(&format!(": {}: {why}", verdict.word()));
    }
    case.set_system_out(clean(&text));
    case
}

fn failed(kind: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(clean(why));
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(clean(why));
    status
}

/// XML has no place for control characters (XML 1.0, §2.2).
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}
