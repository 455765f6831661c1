//! The page of a dossier: every claim with its verdict on top, then each part, then the evidence.

use super::page::{Section, list, page};
use super::{METHOD, body, claims, host_line, properties, repeat};
use crate::chart::Chart;
use crate::claims::{Finding, claim};
use crate::dossier::{Decided, LoadedDossier};
use crate::text::escape;

/// The page; `charts` are those of each part.
pub fn dossier(loaded: &LoadedDossier, charts: &[Vec<Chart>]) -> String {
    let mut sections = vec![Section::new("claims", "Findings", glance(loaded, charts))];
    for (part, charts) in loaded.parts.iter().zip(charts) {
        let name = &part.part.name;
        let html = format!(
            "<p>{}</p>\n{}<p class=\"dim\"><a href=\"{name}/report.html\">all of this run</a>: bench run {}</p>\n",
            escape(&part.part.question),
            body(&part.summary, charts, &within(name)),
            escape(&part.run.run.scenario),
            name = escape(name),
        );
        sections.push(Section::new(&anchor(name), &title(name, &part.run.run.scenario), html));
    }
    let reasons: Vec<String> = loaded
        .dossier
        .parts
        .iter()
        .filter(|part| !part.reason.is_empty())
        .map(|part| format!("{} (bench run {}): {}", part.name, part.scenario, part.reason))
        .collect();
    sections.push(Section::new("left-out", "Left out", list(&reasons)));
    let evidence = loaded.decisions.claims.iter().map(evidence).collect();
    sections.push(Section::new("evidence", "Evidence", evidence));
    sections.push(Section::new("method", "Method", METHOD.into()));
    if let Some(first) = loaded.parts.first() {
        let run = &first.run.run;
        sections.push(Section::new("self-test", "Self-test", properties(run.self_test.iter())));
        sections.push(Section::new("host", "Host", properties(run.host.iter())));
        sections.push(Section::new("data", "Raw data", data(loaded)));
        let again = repeat(&loaded.dossier.argv, run.seed, &run.versions);
        sections.push(Section::new("repeat", "How to repeat it", again));
    }
    page(&format!("claims {}", loaded.dossier.began_at), &head(loaded), &sections)
}

fn head(loaded: &LoadedDossier) -> String {
    let count = |word: &str| {
        let n = loaded.decisions.claims.iter().filter(|one| one.finding.verdict.word() == word).count();
        format!("{n} {word}")
    };
    let counts = ["supported", "refuted", "mixed", "undetermined"].map(count).join(", ");
    let host = loaded.parts.first().map_or_else(|| "no host".into(), |part| host_line(&part.run));
    let mut html = format!(
        "<h1>Containers and virtual machines: {} claims on trial</h1>\n<p>{counts}.</p>\n<p class=\"dim\">On {}; \
         begun {}. Run {}.</p>\n",
        loaded.decisions.claims.len(),
        escape(&host),
        escape(&loaded.dossier.began_at),
        escape(&loaded.dossier.id)
    );
    if !loaded.dossier.complete {
        html.push_str("<p class=\"warn\">Incomplete: not every part was carried out to its end.</p>\n");
    }
    html
}

fn glance(loaded: &LoadedDossier, charts: &[Vec<Chart>]) -> String {
    let told = loaded.decisions.claims.iter().filter(|one| one.finding.verdict.tells());
    let cards: String = told.map(|one| claims::card(&one.finding, &links(one, loaded, charts))).collect();
    let findings: Vec<Finding> = loaded.decisions.claims.iter().map(|one| one.finding.clone()).collect();
    cards + &claims::untold(&findings)
}

/// To the chart of the first part that tells, and to each such part.
fn links(decided: &Decided, loaded: &LoadedDossier, charts: &[Vec<Chart>]) -> Vec<String> {
    let telling = decided.parts.iter().filter(|part| part.finding.verdict.tells());
    let mut links = Vec::new();
    for part in telling {
        let name = &part.part;
        let of_part = loaded.parts.iter().zip(charts).find(|(one, _)| one.part.name == *name);
        let chart = claim(&decided.finding.id)
            .and_then(|claim| claim.chart)
            .filter(|chart| of_part.is_some_and(|(_, charts)| charts.iter().any(|one| one.name == *chart)));
        if let Some(chart) = chart {
            let id = format!("chart-{}{chart}", within(name));
            links.push(format!("<a href=\"#{}\">chart of {}</a>", escape(&id), escape(name)));
        } else {
            links.push(format!("<a href=\"#{}\">{}</a>", escape(&anchor(name)), escape(name)));
        }
    }
    links
}

fn evidence(decided: &Decided) -> String {
    let parts: String = decided
        .parts
        .iter()
        .map(|part| {
            let name = escape(&part.part);
            let word = part.finding.verdict.word();
            let id = escape(&decided.finding.id);
            let link = format!("<a href=\"{name}/report.html#claim-{id}\">{name}</a>");
            format!("<p>{link}: {word}</p>\n{}", list(&part.finding.evidence))
        })
        .collect();
    claims::grounds(&decided.finding, &parts)
}

fn data(loaded: &LoadedDossier) -> String {
    let items: String = loaded
        .parts
        .iter()
        .map(|part| {
            let name = escape(&part.part.name);
            format!("<li><a href=\"{name}/\">{name}/</a>: {}</li>\n", escape(&part.part.question))
        })
        .collect();
    format!(
        "<ul>{items}<li><a href=\"claims.json\">claims.json</a>: every claim with what each part says of it</li></ul>\n"
    )
}

fn anchor(part: &str) -> String {
    format!("part-{}", plain(part))
}

fn within(part: &str) -> String {
    format!("{}-", plain(part))
}

/// A name as part of an identifier, whatever somebody wrote into the file.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The name without its number, and the scenario where that is another word.
fn title(name: &str, scenario: &str) -> String {
    let bare = name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    match bare == scenario {
        true => bare.to_owned(),
        false => format!("{scenario}: {bare}"),
    }
}
