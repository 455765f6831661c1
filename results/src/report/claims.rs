//! The claims: at the top what was found of each, below what it rests on.

use crate::chart::Chart;
use crate::claims::{CLAIMS, Finding, Verdict, claim};
use crate::report::page::{details, list};
use crate::text::escape;

/// A card a claim that was told, a line each that was not, and what needs another scenario.
pub(super) fn glance(findings: &[Finding], charts: &[Chart]) -> String {
    let mut html: String = findings
        .iter()
        .filter(|finding| finding.verdict.tells())
        .map(|finding| {
            let chart = claim(&finding.id)
                .and_then(|claim| claim.chart)
                .filter(|name| charts.iter().any(|chart| chart.name == *name));
            let links = chart.map(|name| format!("<a href=\"#chart-{name}\">chart</a>"));
            card(finding, &links.into_iter().collect::<Vec<_>>())
        })
        .collect();
    html.push_str(&untold(findings));
    let elsewhere: Vec<String> = CLAIMS
        .iter()
        .filter(|one| !findings.iter().any(|finding| finding.id == one.id))
        .map(|one| format!("“{}”: bench run {}", one.statement, one.scenarios.join(" or ")))
        .collect();
    if !elsewhere.is_empty() {
        let title = format!("{} claims that other scenarios decide", elsewhere.len());
        html.push_str(&details(&title, &list(&elsewhere)));
    }
    html
}

/// A line a claim of which nothing can be said, with the reason.
pub(super) fn untold(findings: &[Finding]) -> String {
    let lines: String = findings
        .iter()
        .filter_map(|finding| {
            let Verdict::Undetermined(why) = &finding.verdict else { return None };
            let evidence = match finding.evidence.is_empty() {
                true => String::new(),
                false => format!(" <a href=\"#claim-{}\">evidence</a>", escape(&finding.id)),
            };
            Some(format!(
                "<li>“{}” <span class=\"verdict\">undetermined</span>: {}{evidence}</li>\n",
                escape(&finding.statement),
                escape(why),
            ))
        })
        .collect();
    match lines.is_empty() {
        true => lines,
        false => format!("<p>Not to be told from this:</p><ul class=\"untold\">{lines}</ul>\n"),
    }
}

/// Claim, verdict, what it says, the first figure, and where to read on.
pub(super) fn card(finding: &Finding, links: &[String]) -> String {
    let id = escape(&finding.id);
    let figure = finding.evidence.first().map(|one| escape(one)).unwrap_or_default();
    let links: String = links.iter().map(|link| format!(" · {link}")).collect();
    format!(
        "<div class=\"card {word}\"><p class=\"said\">“{}” <span class=\"verdict\">{mark} {word}</span></p>\n{}\
         <p class=\"figure\">{figure}</p>\n<p class=\"dim\"><a href=\"#claim-{id}\">evidence</a>{links}</p></div>\n",
        escape(&finding.statement),
        because(finding),
        word = finding.verdict.word(),
        mark = mark(&finding.verdict),
    )
}

/// What each verdict rests on, and the definition under which it was reached.
pub(super) fn evidence(findings: &[Finding]) -> String {
    findings.iter().map(|finding| grounds(finding, &list(&finding.evidence))).collect()
}

/// What one verdict rests on; `evidence` is HTML.
pub(super) fn grounds(finding: &Finding, evidence: &str) -> String {
    let why = match &finding.verdict {
        Verdict::Undetermined(why) => format!(": {}", escape(why)),
        _ => String::new(),
    };
    let admissible = claim(&finding.id)
        .map(|claim| format!("<p class=\"dim\">Evidence: {}.</p>", escape(claim.admissible)))
        .unwrap_or_default();
    format!(
        "<div class=\"card {word}\" id=\"claim-{id}\"><p>“{}” <span class=\"verdict\">{mark} {word}</span>{why}</p>\n\
         {}{evidence}<p class=\"dim\">Meaning: {}. Otherwise: {}. ({id})</p>{admissible}</div>\n",
        escape(&finding.statement),
        because(finding),
        escape(&finding.definition),
        escape(&finding.flips),
        id = escape(&finding.id),
        word = finding.verdict.word(),
        mark = mark(&finding.verdict),
    )
}

fn because(finding: &Finding) -> String {
    match finding.because.is_empty() {
        true => String::new(),
        false => format!("<p>{}.</p>\n", escape(&capitalised(&finding.because))),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
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
