//! Curves of a made-up host on which latency depends on starts per core alone.

use super::*;
use crate::record::Run;

/// 2 ms up to two starts per core, then 1 ms more for each.
fn latency_ns(starts_per_core: f64) -> u64 {
    (2e6 + 1e6 * f64::max(0.0, starts_per_core - 2.0)) as u64
}

fn run() -> LoadedRun {
    let (mut storms, mut attempts) = (Vec::new(), Vec::new());
    for cores in [1, 2] {
        for instances in [1, 2, 4, 8, 16] {
            for repetition in 0..3 {
                let storm = storms.len() as u32;
                storms.push(Storm {
                    storm,
                    backend: "container".into(),
                    warmup: false,
                    instances,
                    arrival: "burst".into(),
                    cores,
                    images: "shared".into(),
                    began_ns: 0,
                    ended_ns: 9_000_000_000,
                });
                for instance in 0..instances {
                    let ns = latency_ns(f64::from(instances) / f64::from(cores)) * (100 + repetition) / 100;
                    let missed = instances == 16 && instance == 0;
                    attempts.push(Attempt {
                        storm,
                        backend: "container".into(),
                        instance,
                        config: String::new(),
                        scheduled_ns: 1_000,
                        started_ns: Some(2_000),
                        ready_ns: (!missed).then_some(1_000 + ns),
                        serving_ns: None,
                        stopped_ns: None,
                        outcome: if missed { Outcome::Timeout } else { Outcome::Ready },
                        error: String::new(),
                    });
                }
            }
        }
    }
    let run = Run { backends: vec!["container".into()], seed: 1, ..Run::new("x", SCENARIO) };
    LoadedRun { attempts, storms, ..LoadedRun::without_rows(run) }
}

#[test]
fn each_number_of_cores_has_its_curve_and_the_knee_is_in_starts_per_core() {
    let (curves, models) = summarize(&run());
    assert_eq!(curves.len(), 2);
    for curve in &curves {
        assert_eq!(curve.points.len(), 5);
        let knee = curve.knee_starts_per_core.value.expect("knee");
        assert!((1.7..2.4).contains(&knee), "{} cores: {knee}", curve.cores);
        let last = &curve.points[4];
        assert_eq!((last.attempts, last.missed, last.storms), (48, 3, 3));
        assert!(last.per_s.value.is_some_and(|per_s| per_s > 500.0));
    }
    // The made-up host is what the model assumes.
    assert_eq!(models.len(), 1);
    assert!(models[0].held_out_error_ratio.is_some_and(|error| error < 0.02), "{models:?}");
    assert_eq!(models[0].instances, 16);
    let (cores, predicted) = models[0].predicted_ns[0];
    assert_eq!(cores, 4);
    assert!((predicted / 4.0e6 - 1.0).abs() < 0.03, "{predicted}");
}

#[test]
fn other_scenarios_have_no_curves() {
    let mut run = run();
    run.run.scenario = "boot-storm".into();
    assert!(summarize(&run).0.is_empty());
}
