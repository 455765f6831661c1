//! Wrong usage ends with exit code 2 and names what may have been meant.

use crate::{bench, said, say};

#[test]
fn wrong_names_are_answered_with_the_nearest() {
    for (arguments, nearest) in [
        ("run boot-strom", "\"boot-storm\""),
        ("run boot-storm --on contianer", "\"container\""),
        ("run boot-storm --on process,vm:drect", "\"vm:direct\""),
        ("run boot-storm --workload htpp", "\"http\""),
        ("run boot-storm --image bultin", "\"builtin\""),
        ("run boot-storm --accel kwm", "\"kvm\""),
        ("run boot-storm --machine micorvm", "\"microvm\""),
        ("run boot-storm --instnaces 3", "--instances"),
        ("exec proces -- /bin/true", "\"process\""),
        ("exec process --image bultin -- /bin/true", "\"builtin\""),
        ("doctr", "doctor"),
    ] {
        let said = say(arguments);
        assert_eq!(said.code, Some(2), "{arguments}: {said:?}");
        assert!(said.err.contains(nearest), "{arguments}: {said:?}");
        assert!(said.out.is_empty(), "{arguments}: {said:?}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for arguments in [
        "run boot-storm --instances 0",
        "run boot-storm --instances -1",
        "run boot-storm --instances 99999999999",
        "run boot-storm --storms 0",
        "run boot-storm --arrival sometimes",
        "run boot-storm --arrival rate=0/s",
        "run boot-storm --timeout 0",
        "run boot-storm --timeout soon",
        "run boot-storm --workload memory",
        "run boot-storm --workload memory=0",
        "run boot-storm --on process,process",
        "run boot-storm --on vm,vm:direct",
        "run boot-storm --workload http -- /bin/true",
        "run nowhere.toml",
        "exec process",
        "report",
    ] {
        let said = say(arguments);
        assert_eq!(said.code, Some(2), "{arguments}: {said:?}");
        assert!(!said.err.is_empty(), "{arguments}");
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("bench.toml"),
        "instances = 3\nstorms = 4\nseed = 5\non = [\"process\"]\n",
    )
    .unwrap();
    let said = said(bench(folder.path()).env("BENCH_STORMS", "6").env("BENCH_SEED", "7").args([
        "run",
        "boot-storm",
        "--dry-run",
        "--seed",
        "8",
    ]));
    assert_eq!(said.code, Some(0), "{said:?}");
    for line in ["instances = 3", "storms = 6", "seed = 8", "on = [\"process\"]"] {
        assert!(said.out.lines().any(|found| found == line), "{line}: {said:?}");
    }
}

#[test]
fn an_unknown_variable_is_answered_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let said = said(bench(folder.path()).env("BENCH_INSTANCE", "6").args(["run", "boot-storm", "--dry-run"]));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("\"BENCH_INSTANCES\""), "{said:?}");
}

#[test]
fn a_wrong_key_in_a_file_is_answered_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bench.toml"), "instnaces = 3\n").unwrap();
    let said_of_settings = said(bench(folder.path()).args(["run", "boot-storm", "--dry-run"]));
    assert_eq!(said_of_settings.code, Some(2));
    assert!(said_of_settings.err.contains("bench.toml") && said_of_settings.err.contains("\"instances\""));

    std::fs::remove_file(folder.path().join("bench.toml")).unwrap();
    std::fs::write(folder.path().join("my.toml"), "scenario = \"boot-storm\"\nstrorms = 3\n").unwrap();
    let said_of_plan = said(bench(folder.path()).args(["run", "my.toml", "--dry-run"]));
    assert_eq!(said_of_plan.code, Some(2));
    assert!(
        said_of_plan.err.contains("my.toml") && said_of_plan.err.contains("\"storms\""),
        "{said_of_plan:?}"
    );
}

#[test]
fn what_a_dry_run_prints_is_a_plan_that_runs_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let first = said(bench(folder.path()).args("run boot-storm --dry-run --on fake --storms 2".split(' ')));
    assert_eq!(first.code, Some(0), "{first:?}");
    std::fs::write(folder.path().join("plan.toml"), &first.out).unwrap();
    let second = said(bench(folder.path()).args(["run", "plan.toml", "--dry-run"]));
    let keys = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(keys(&first.out), keys(&second.out), "{second:?}");
    assert!(!folder.path().join("bench-results").exists());
}
