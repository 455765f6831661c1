//! Limits, shares and accounts: what was asked beside what was measured.

use super::page::{details, table};
use crate::readings::{Case, Standing, value, words};
use crate::summary::Summary;
use crate::text::percent;

const HEADS: [&str; 9] = [
    "backend",
    "mechanism",
    "case",
    "said by",
    "asked",
    "counts as that",
    "measured [95 %]",
    "off by [95 %]",
    "it",
];

/// A row a case; nothing where nothing was asked.
pub(super) fn readings(summary: &Summary) -> String {
    if summary.readings.is_empty() {
        return String::new();
    }
    let rows = summary.readings.iter().map(cells);
    let reasons: Vec<Vec<String>> = summary.readings.iter().filter_map(why).collect();
    let folded = match reasons.is_empty() {
        true => String::new(),
        false => details(
            "What was not measured, or says nothing, and why",
            &table(&["backend", "case", "why"], reasons),
        ),
    };
    table(&HEADS, rows)
        + "<p class=\"dim\">Mean over repetitions with Student's 95 % interval. <em>Held</em> where the whole interval counts \
           as what was asked, <em>missed</em> where all of it lies outside. A control is the same with the mechanism off: \
           where it does not show the opposite, nothing is said. Latencies of victims inside virtual machines are durations \
           on their own kernel's clock, all else is on the host's.</p>\n"
        + &folded
}

fn cells(case: &Case) -> Vec<String> {
    let unit = |number: f64| value(number, &case.unit);
    let range = match (case.least, case.most) {
        (Some(least), Some(most)) if least == most => unit(least),
        (Some(least), Some(most)) => format!("{} to {}", unit(least), unit(most)),
        (Some(least), None) => format!("at least {}", unit(least)),
        (None, Some(most)) => format!("at most {}", unit(most)),
        (None, None) => "–".into(),
    };
    let error = match (case.error_ratio.value, case.error_ratio.low, case.error_ratio.high) {
        (Some(error), Some(low), Some(high)) => {
            format!("{} [{}, {}]", percent(error), percent(low), percent(high))
        }
        (Some(error), ..) => percent(error),
        _ => "–".into(),
    };
    vec![
        case.backend.clone(),
        case.mechanism.clone(),
        format!("{}{}", case.case, if case.control { " (control)" } else { "" }),
        case.by.clone(),
        case.asked.map_or("–".into(), unit),
        range,
        words(&case.measured, &case.unit),
        error,
        case.standing.word().into(),
    ]
}

fn why(case: &Case) -> Option<Vec<String>> {
    let why = match &case.standing {
        Standing::Undetermined(why) => why.clone(),
        Standing::Failed | Standing::NotApplicable => String::new(),
        _ if case.reasons.is_empty() => return None,
        _ => String::new(),
    };
    let all: Vec<&str> = [why.as_str()]
        .into_iter()
        .chain(case.reasons.iter().map(String::as_str))
        .filter(|text| !text.is_empty())
        .collect();
    Some(vec![case.backend.clone(), format!("{}: {}", case.mechanism, case.case), all.join("; ")])
}
