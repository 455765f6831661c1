//! The frame of a page that needs nothing else: style and script inside, no network. Every text
//! from outside goes through [`escape`].

use crate::text::escape;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
/// What a browser must find the script to be (Content Security Policy Level 3, §6.7.3.2): SHA-256
/// of [`SCRIPT`] in base 64, so that a script that a hostile text smuggled in does not run.
const SCRIPT_HASH: &str = "sha256-Hv1k9jlm20aTiVBm0OGItVTpNuLa4Jt61SyEVN2iN9E=";

/// A section of the page.
pub(super) struct Section {
    /// What links point to.
    pub(super) id: String,
    /// Its heading.
    pub(super) title: String,
    /// HTML; a section without any is left out.
    pub(super) html: String,
}

impl Section {
    pub(super) fn new(id: &str, title: &str, html: String) -> Section {
        Section { id: id.into(), title: title.into(), html }
    }
}

/// A whole page; `head` is HTML above the first section.
pub(super) fn page(title: &str, head: &str, sections: &[Section]) -> String {
    let there = || sections.iter().filter(|section| !section.html.is_empty());
    let links: String = there()
        .map(|section| format!("<a href=\"#{}\">{}</a> ", section.id, escape(&section.title)))
        .collect();
    let body: String = there()
        .map(|section| {
            let title = escape(&section.title);
            format!("<section id=\"{}\"><h2>{title}</h2>\n{}</section>\n", section.id, section.html)
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; base-uri 'none'; \
         form-action 'none'\">\n<title>{}</title>\n<style>{STYLE}</style></head>\n<body>\n{head}<nav>{links}<button \
         id=\"details\" hidden>Open details</button></nav>\n{body}<script>{SCRIPT}</script>\n</body></html>\n",
        escape(title)
    )
}

/// A list, or nothing.
pub(super) fn list<'a>(lines: impl IntoIterator<Item = &'a String>) -> String {
    let items: String = lines.into_iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>\n") }
}

/// A table of texts.
pub(super) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
    let rows: String = rows
        .into_iter()
        .map(|row| {
            let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!("<div class=\"wide\"><table><tr>{heads}</tr>\n{rows}</table></div>\n")
}

/// What is folded until somebody wants it.
pub(super) fn details(summary: &str, html: &str) -> String {
    format!("<details><summary>{}</summary>\n{html}</details>\n", escape(summary))
}

/// A picture with its caption; `within` tells apart what several runs on a page have.
pub(super) fn figure(chart: &crate::chart::Chart, within: &str) -> String {
    format!(
        "<figure id=\"chart-{within}{}\">{}<figcaption>{}</figcaption></figure>\n",
        chart.name,
        chart.svg,
        escape(&chart.caption)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_lets_this_script_run_and_no_other() {
        let digest = Sha256::digest(SCRIPT.as_bytes());
        assert_eq!(SCRIPT_HASH, format!("sha256-{}", base64(&digest)), "put this into SCRIPT_HASH");
    }

    /// RFC 4648, §4.
    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..4 {
                match place <= chunk.len() {
                    true => text.push(char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize])),
                    false => text.push('='),
                }
            }
        }
        text
    }
}
