//! The claims: at the top what was found of each, below what it rests on.

use crate::chart::Chart;
use crate::claims::{CLAIMS, Finding, Verdict, claim};
use crate::report::page::{details, list};
use crate::text::escape;

/// A card a claim that was told, a line each that was not, and what needs another scenario.
pub(super) fn glance(findings: &[Finding], charts: &[Chart]) -> String {
    let told = |finding: &&Finding| !matches!(finding.verdict, Verdict::Undetermined(_));
    let mut html = String::new();
    for finding in findings.iter().filter(told) {
        html.push_str(&card(finding, charts));
    }
    let untold: Vec<String> = findings
        .iter()
        .filter(|finding| !told(finding))
        .map(|finding| match &finding.verdict {
            Verdict::Undetermined(why) => format!(
                "<li>“{}” <span class=\"verdict\">undetermined</span>: {} <a href=\"#claim-{}\">evidence</a></li>\n",
                escape(&finding.statement),
                escape(why),
                escape(&finding.id)
            ),
            _ => String::new(),
        })
        .collect();
    if !untold.is_empty() {
        html.push_str(&format!(
            "<p>This run cannot tell:</p><ul class=\"untold\">{}</ul>\n",
            untold.concat()
        ));
    }
    let elsewhere: Vec<String> = CLAIMS
        .iter()
        .filter(|one| !findings.iter().any(|finding| finding.id == one.id))
        .map(|one| format!("“{}”: bench run {}", one.statement, one.scenario))
        .collect();
    if !elsewhere.is_empty() {
        let title = format!("{} claims that other scenarios decide", elsewhere.len());
        html.push_str(&details(&title, &list(&elsewhere)));
    }
    html
}

fn card(finding: &Finding, charts: &[Chart]) -> String {
    let id = escape(&finding.id);
    let figure = finding.evidence.first().map(|one| escape(one)).unwrap_or_default();
    let chart = claim(&finding.id)
        .and_then(|claim| claim.chart)
        .filter(|name| charts.iter().any(|chart| chart.name == *name))
        .map(|name| format!(" · <a href=\"#chart-{name}\">chart</a>"))
        .unwrap_or_default();
    format!(
        "<div class=\"card {word}\"><p class=\"said\">“{}” <span class=\"verdict\">{mark} {word}</span></p>\n<p>{figure}</p>\n\
         <p class=\"dim\"><a href=\"#claim-{id}\">evidence</a>{chart}</p></div>\n",
        escape(&finding.statement),
        word = finding.verdict.word(),
        mark = mark(&finding.verdict),
    )
}

/// What each verdict rests on, and the definition under which it was reached.
pub(super) fn evidence(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| {
            let why = match &finding.verdict {
                Verdict::Undetermined(why) => format!(": {}", escape(why)),
                _ => String::new(),
            };
            let admissible = claim(&finding.id)
                .map(|claim| format!("<p class=\"dim\">Evidence: {}.</p>", escape(claim.admissible)))
                .unwrap_or_default();
            format!(
                "<div class=\"card {word}\" id=\"claim-{id}\"><p>“{}” <span class=\"verdict\">{mark} {word}</span>{why}</p>\n\
                 {}<p class=\"dim\">Meaning: {}. Otherwise: {}. ({id})</p>{admissible}</div>\n",
                escape(&finding.statement),
                list(&finding.evidence),
                escape(&finding.definition),
                escape(&finding.flips),
                id = escape(&finding.id),
                word = finding.verdict.word(),
                mark = mark(&finding.verdict),
            )
        })
        .collect()
}

/// A sign that does not need its colour.
fn mark(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Supported => "✓",
        Verdict::Refuted => "✗",
        Verdict::Mixed => "±",
        Verdict::Undetermined(_) => "?",
    }
}
