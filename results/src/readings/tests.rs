//! Rows as they come from a run.

use super::*;
use crate::record::Run;

fn row(storm: u32, case: &str, measured: Option<f64>) -> Reading {
    Reading {
        storm,
        backend: "container".into(),
        mechanism: "cpu-quota".into(),
        case: case.into(),
        control: case == "control",
        by: "host's count".into(),
        unit: "cores".into(),
        asked: Some(0.5),
        least: Some(0.475),
        most: Some(0.525),
        measured,
        outcome: if measured.is_some() { ReadingOutcome::Measured } else { ReadingOutcome::Failed },
        reason: if measured.is_some() { String::new() } else { "broken".into() },
    }
}

fn cases(readings: Vec<Reading>) -> Vec<Case> {
    let run = Run { backends: vec!["container".into()], ..Run::new("x", "prioritize") };
    summarize(&LoadedRun { readings, ..LoadedRun::without_rows(run) })
}

fn standing(values: &[f64]) -> Standing {
    let rows = values.iter().zip(0..).map(|(value, storm)| row(storm, "a", Some(*value))).collect();
    cases(rows)[0].standing.clone()
}

#[test]
fn the_whole_interval_decides() {
    assert_eq!(standing(&[0.499, 0.501, 0.5]), Standing::Held);
    assert_eq!(standing(&[0.7, 0.71, 0.7]), Standing::Missed);
    assert_eq!(standing(&[0.3, 0.31, 0.3]), Standing::Missed);
    assert!(matches!(standing(&[0.5, 0.6]), Standing::Undetermined(_)));
    assert!(matches!(standing(&[0.5]), Standing::Undetermined(why) if why.contains("2 at least")));
    assert_eq!(standing(&[0.525, 0.525]), Standing::Held);
}

#[test]
fn the_error_is_a_share_of_what_was_asked() {
    let all = cases(vec![row(0, "a", Some(0.51)), row(1, "a", Some(0.51))]);
    assert!((all[0].error_ratio.value.expect("an error") - 0.02).abs() < 1e-12);
    let zero = Reading { asked: Some(0.0), ..row(0, "a", Some(0.1)) };
    assert_eq!(cases(vec![zero])[0].error_ratio.value, None);
}

#[test]
fn no_row_is_dropped_and_failures_are_no_success() {
    let mut rows = vec![row(0, "a", Some(0.5)), row(1, "a", None), row(2, "a", Some(0.5))];
    rows.push(row(0, "b", None));
    rows.push(Reading { outcome: ReadingOutcome::NotApplicable, ..row(0, "c", None) });
    let all = cases(rows);
    let counts: Vec<_> = all.iter().map(|one| (one.measured_n, one.failed_n, one.not_applicable_n)).collect();
    assert_eq!(counts, [(2, 1, 0), (0, 1, 0), (0, 0, 1)]);
    assert!(matches!(&all[0].standing, Standing::Undetermined(why) if why.contains("1 of 3")));
    assert_eq!((&all[1].standing, &all[2].standing), (&Standing::Failed, &Standing::NotApplicable));
    assert_eq!(all[1].reasons, ["broken"]);
}

#[test]
fn without_its_control_a_limit_has_not_held() {
    let held = |storm| row(storm, "a", Some(0.5));
    let good = cases(vec![held(0), held(1), row(0, "control", Some(0.5)), row(1, "control", Some(0.5))]);
    assert_eq!(good[0].standing, Standing::Held);
    let bad = cases(vec![held(0), held(1), row(0, "control", Some(0.1)), row(1, "control", Some(0.1))]);
    assert!(matches!(&bad[0].standing, Standing::Undetermined(why) if why.contains("control")));
}
