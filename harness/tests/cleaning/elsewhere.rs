//! A run that lives in a mount namespace with another /run than that in which is cleaned.

use crate::own_host::Groups;

/// The run has a /run of its own and the host's cgroups; cleans beside it while instances live, and once
/// it is over.
const ROUND: &str = r#"
own='mount -t tmpfs -o mode=755 none /run && exec "$@"'
unshare --mount sh -c "$own" sh "$0" run boot-storm --on container,process --warmup 0 --storms 2 \
    --instances 10 --arrival rate=10/s --out out >run.out 2>&1 &
run=$!
tops=$(awk '/ - cgroup2? / { print $5 "/bench" }' /proc/self/mountinfo | sort -u)
until find $tops -mindepth 2 -name 's*-i*' 2>/dev/null | grep -q .; do
    kill -0 $run || exit 98
    sleep 0.01
done
for time in 1 2 3; do "$0" clean >>clean.out; done
wait $run
echo $? >code
"$0" clean >after.out
"#;

#[test]
fn a_run_with_a_run_folder_elsewhere_lives_on() {
    let groups = Groups::new("elsewhere");
    if !groups.can_be_had() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = groups.command(ROUND, &[env!("CARGO_BIN_EXE_bench")]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let (cleaned, told) = (read("clean.out"), format!("{output:?} {}", read("run.out")));
    assert_eq!(read("code"), "0\n", "{cleaned}{told}");
    let sentences: Vec<&str> = cleaned.lines().collect();
    assert_eq!(sentences.len(), 6, "{cleaned}{told}");
    for said in sentences.chunks(2) {
        assert_eq!(said[0], "nothing to clean");
        assert!(
            said[1].starts_with("left the run ") && said[1].contains(" lives and has its folder elsewhere")
        );
    }
    let mut rows = csv::Reader::from_path(folder.path().join("out/attempts.csv")).unwrap();
    let rows: Vec<std::collections::BTreeMap<String, String>> =
        rows.deserialize().map(Result::unwrap).collect();
    assert!(rows.len() == 40 && rows.iter().all(|row| row["outcome"] == "ready"), "{rows:?}");
    assert_eq!(read("after.out"), "nothing to clean\n", "{told}");
}
