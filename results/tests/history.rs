//! Runs over time.

mod fixture;

use results::LoadedRun;
use results::compare::Quantity;
use results::history::history;

#[test]
fn a_new_level_is_dated_an_odd_run_is_fenced_and_another_host_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for day in 0..26 {
        let path = dir.path().join(day.to_string());
        let mut run = fixture::run();
        run.id = format!("r{day}");
        run.began_at = format!("2026-01-{:02}T00:00:00Z", day + 1);
        if day >= 20 {
            run.host.insert("kernel".into(), "7.0".into());
        }
        let wobble = 1.0 + 0.002 * f64::from(day * 7 % 5);
        let factor = if day >= 10 { 1.2 } else { 1.0 };
        let odd = if day == 25 { 2.0 } else { 1.0 };
        fixture::write_scaled(&path, &run, wobble * factor * odd, 4).unwrap();
        runs.push(LoadedRun::load(&path).unwrap());
    }
    let all = history(&runs, "cont*", &[Quantity::ReadyFromScheduled]);
    assert_eq!(all.len(), 1);
    let series = &all[0];
    assert_eq!((series.backend.as_str(), series.points.len()), ("container", 26));
    assert_eq!(
        series.changes.iter().map(|change| change.index).collect::<Vec<_>>(),
        [10],
        "{:?}",
        series.changes
    );
    let differing: Vec<usize> = (0..26).filter(|index| !series.points[*index].differs.is_empty()).collect();
    assert_eq!(differing, [20]);
    assert!(series.points[20].differs[0].contains("kernel") && series.points[20].fence.is_none());
    assert_eq!((series.points[25].odd(), series.points[24].odd()), (1, 0), "{:?}", series.points[25]);
    assert_eq!(all, history(&runs, "cont*", &[Quantity::ReadyFromScheduled]));
    assert!(history(&runs, "jail", &[Quantity::ReadyFromScheduled]).is_empty());
}
