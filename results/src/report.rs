//! `report.html`: one page that needs nothing else. Every text from outside goes through
//! [`escape`].

use std::fmt::Write;

use crate::chart::Chart;
use crate::claims::{Finding, Verdict};
use crate::density;
use crate::folder::LoadedRun;
use crate::statistics::Estimate;
use crate::summary::{Row, Summary, table};
use crate::text::{duration, escape, percent, ratio};

/// The page.
pub fn report(run: &LoadedRun, summary: &Summary, charts: &[Chart]) -> String {
    let title = escape(&format!("{} {}", summary.scenario, run.run.began_at));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{title}</title>\n<style>{}</style></head>\
         <body>\n<h1>{}</h1>\n",
        include_str!("report.css"),
        escape(&summary.scenario)
    );
    page.push_str(&head(run, summary));
    page.push_str("<h2>Claims</h2>\n");
    summary.claims.iter().for_each(|finding| page.push_str(&claim(finding)));
    if summary.sweep.is_empty() {
        // Medians over storms of all sizes together would say nothing.
        page.push_str("<h2>Results</h2>\n");
        page.push_str(&results(summary));
    }
    page.push_str(&density(summary));
    page.push_str(&sweep(summary));
    page.push_str(&recoveries(summary));
    page.push_str("<h2>Charts</h2>\n");
    for chart in charts {
        page.push_str(&format!(
            "<figure>{}<figcaption>{}</figcaption></figure>\n",
            chart.svg,
            escape(&chart.caption)
        ));
    }
    page.push_str(&list("Warnings", &summary.warnings));
    page.push_str(&errors(summary));
    page.push_str("<h2>Self-test</h2>\n");
    page.push_str(&properties(run.run.self_test.iter()));
    page.push_str("<h2>Host</h2>\n");
    page.push_str(&properties(run.run.host.iter()));
    page.push_str(&repeat(run));
    page.push_str("</body></html>\n");
    page
}

fn head(run: &LoadedRun, summary: &Summary) -> String {
    let text = |key: &str| run.run.host.get(key).map(plain);
    let host: Vec<String> = ["cpu", "cpu_model", "cores", "kernel", "accelerator"]
        .into_iter()
        .filter_map(|key| Some(format!("{key} {}", text(key)?)))
        .collect();
    let mut html = format!(
        "<p>{} on {}, begun {}. Run {}, seed {}.</p>\n",
        escape(&run.run.backends.join(", ")),
        escape(&if host.is_empty() { "a host that is not described".to_owned() } else { host.join(", ") }),
        escape(&run.run.began_at),
        escape(&run.run.id),
        run.run.seed
    );
    if !summary.complete {
        html.push_str(
            "<p class=\"warn\">Incomplete: this run did not come to its planned end. Storms cut short are \
             listed but count in no figure.</p>\n",
        );
    }
    html
}

fn claim(finding: &Finding) -> String {
    let why = match &finding.verdict {
        Verdict::Undetermined(why) => format!(": {}", escape(why)),
        _ => String::new(),
    };
    let evidence: String = finding.evidence.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    format!(
        "<div class=\"claim {word}\"><p>“{}” <span class=\"verdict\">{word}</span>{why}</p>\n<ul>{evidence}</ul>\n\
         <p class=\"dim\">Meaning: {}. Otherwise: {}. ({})</p></div>\n",
        escape(&finding.statement),
        escape(&finding.definition),
        escape(&finding.flips),
        escape(&finding.id),
        word = finding.verdict.word(),
    )
}

fn results(summary: &Summary) -> String {
    let mut html = String::from("<div class=\"wide\"><table><tr>");
    Row::HEADS.iter().for_each(|head| _ = write!(html, "<th>{}</th>", escape(head)));
    html.push_str("</tr>\n");
    for row in table(summary) {
        html.push_str("<tr>");
        row.cells().iter().for_each(|cell| _ = write!(html, "<td>{}</td>", escape(cell)));
        html.push_str("</tr>\n");
    }
    let warmup: usize = summary.backends.iter().map(|backend| backend.warmup.total()).sum();
    let _ = write!(
        html,
        "</table></div>\n<p class=\"dim\">Medians over storms with 95 % intervals (bootstrap over storms, then \
         instances); p99 over attempts with its distribution-free interval. Attempts that failed or timed out \
         rank above all others. All {} attempts are in attempts.csv; {warmup} of them are of warm-up storms, \
         which are not counted.</p>\n",
        summary.attempts
    );
    html
}

fn sweep(summary: &Summary) -> String {
    if summary.sweep.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h2>Storms by size</h2>\n<div class=\"wide\"><table><tr><th>backend</th><th>cores</th><th>arrival</th>\
         <th>images</th><th>storm of</th><th>starts per core</th><th>due → there (median)</th><th>start → there \
         (median)</th><th>a second</th><th>missed</th><th>canary</th><th>waiting for CPU</th></tr>\n",
    );
    let dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    for curve in &summary.sweep {
        for point in &curve.points {
            let cells = [
                curve.backend.clone(),
                curve.cores.to_string(),
                curve.arrival.clone(),
                curve.images.clone(),
                point.instances.to_string(),
                format!("{:.1}", point.starts_per_core),
                estimate(&point.from_due_ns, duration),
                estimate(&point.from_started_ns, duration),
                dash(point.per_s.value.map(|per_s| format!("{per_s:.1}"))),
                format!("{} of {}", point.missed, point.attempts),
                dash(point.canary_slowdown.map(ratio)),
                dash(point.psi_cpu_ratio.map(percent)),
            ];
            html.push_str("<tr>");
            cells.iter().for_each(|cell| _ = write!(html, "<td>{}</td>", escape(cell)));
            html.push_str("</tr>\n");
        }
    }
    html.push_str("</table></div>\n");
    for model in summary.sweep_models.iter().filter(|model| !model.predicted_ns.is_empty()) {
        let predicted: Vec<String> =
            model.predicted_ns.iter().map(|(cores, ns)| format!("{cores} cores {}", duration(*ns))).collect();
        let error = match model.held_out_error_ratio {
            Some(error) => format!("its median error on held-out points is {}", percent(error)),
            None => "it could not be checked: only one number of cores was measured".into(),
        };
        let _ = writeln!(
            html,
            "<p class=\"dim\">Model, not measured: {}, a storm of {} by starts per core alone: {}; {error}.</p>",
            escape(&model.backend),
            model.instances,
            escape(&predicted.join(", "))
        );
    }
    html
}

fn recoveries(summary: &Summary) -> String {
    if summary.recoveries.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h2>After a failure</h2>\n<div class=\"wide\"><table><tr><th>backend</th><th>dies</th><th>drills</th>\
         <th>instances</th><th>half serve</th><th>90 % serve</th><th>all serve</th><th>old ones gone</th>\
         <th>requests lost a drill</th><th>lost of all</th></tr>\n",
    );
    for one in &summary.recoveries {
        let cells = [
            one.backend.clone(),
            one.mode.clone(),
            one.drills.to_string(),
            one.instances.to_string(),
            estimate(&one.half_ns, duration),
            estimate(&one.most_ns, duration),
            estimate(&one.all_ns, duration),
            estimate(&one.gone_ns, duration),
            estimate(&one.lost, |lost| format!("{lost:.1}")),
            format!("{} of {}", one.lost_total, one.requests_total),
        ];
        html.push_str("<tr>");
        cells.iter().for_each(|cell| _ = write!(html, "<td>{}</td>", escape(cell)));
        html.push_str("</tr>\n");
    }
    html.push_str(
        "</table></div>\n<p class=\"dim\">From the first kill until the replacements serve, mean over drills with \
         Student's 95 % interval. The old instances are taken down by the same host and their end is inside. Requests \
         are lost where the client had no answer, as it counted them.</p>\n",
    );
    html
}

/// `value [low, high]`, as far as there are any.
fn estimate(estimate: &Estimate, unit: fn(f64) -> String) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{} [{}, {}]", unit(value), unit(low), unit(high)),
        (Some(value), ..) => unit(value),
        _ => "–".into(),
    }
}

fn density(summary: &Summary) -> String {
    if summary.density.is_empty() {
        return String::new();
    }
    let mut html = String::from("<h2>Memory for one more instance</h2>\n<div class=\"wide\"><table><tr>");
    density::heads(&summary.density).iter().for_each(|head| _ = write!(html, "<th>{}</th>", escape(head)));
    html.push_str("</tr>\n");
    for row in density::rows(&summary.density) {
        html.push_str("<tr>");
        row.iter().for_each(|cell| _ = write!(html, "<td>{}</td>", escape(cell)));
        html.push_str("</tr>\n");
    }
    html.push_str(
        "</table></div>\n<p class=\"dim\">Slope of a line through growing numbers of instances, mean over \
         repetitions with Student's 95 % interval. The methods count different things and are not to be added \
         up; the last ones are of the whole host, whatever else happened on it.</p>\n",
    );
    html
}

fn errors(summary: &Summary) -> String {
    let errors: Vec<String> = summary
        .backends
        .iter()
        .flat_map(|backend| {
            backend.errors.iter().map(|(text, n)| format!("{} ({n}×): {text}", backend.backend))
        })
        .collect();
    list("Errors", &errors)
}

fn list(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    format!("<h2>{title}</h2>\n<ul>{items}</ul>\n")
}

fn properties<'a>(all: impl Iterator<Item = (&'a String, &'a serde_json::Value)>) -> String {
    let rows: String = all
        .map(|(key, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(key), escape(&plain(value))))
        .collect();
    match rows.is_empty() {
        true => "<p class=\"dim\">Not recorded.</p>\n".into(),
        false => format!("<div class=\"wide\"><table>{rows}</table></div>\n"),
    }
}

fn repeat(run: &LoadedRun) -> String {
    let argv: Vec<String> = run.run.argv.iter().map(|word| quoted(word)).collect();
    let versions: Vec<String> =
        run.run.versions.iter().map(|(what, version)| format!("{what} {version}")).collect();
    format!(
        "<h2>How to repeat it</h2>\n<pre>{}</pre>\n<p class=\"dim\">With seed {}; {}.</p>\n",
        escape(&argv.join(" ")),
        run.run.seed,
        escape(&versions.join(", "))
    )
}

/// A JSON value as people write it.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
