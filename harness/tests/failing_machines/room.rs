//! No room where machines have their files.

use std::process::{Command, Output};

use super::program::{HALT, program};
use super::{has_qemu, read, rows, silent_disk, storm};

/// The storm of `words` in `folder` with a file system of `size` bytes at `place` in its cache.
fn without_room(folder: &std::path::Path, place: &str, size: &str, words: &[&str]) -> Option<Output> {
    if !has_qemu() || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a small file system in a mount namespace needs root, or see above");
        return None;
    }
    let run = storm(folder, words);
    let place = folder.join("cache/bench").join(place);
    std::fs::create_dir_all(&place).unwrap();
    // What lies there when the run is over is seen in that namespace only.
    let script = r#"
mount -t tmpfs -o "size=$1" none "$0" || exit 99
place=$0; shift
"$@"; code=$?
ls -A "$place" >left
exit $code"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&place).arg(size);
    command.arg(run.get_program()).args(run.get_args());
    command.env("XDG_CACHE_HOME", folder.join("cache")).current_dir(folder);
    let output = command.output().unwrap();
    if output.status.code() == Some(99) {
        eprintln!("skipped: this host mounts nothing in a mount namespace: {output:?}");
        return None;
    }
    assert_eq!(std::fs::read_to_string(folder.join("left")).unwrap(), "", "{output:?}");
    Some(output)
}

#[test]
fn no_room_for_an_overlay_is_a_failure_of_each_machine() {
    let folder = tempfile::tempdir().unwrap();
    silent_disk(folder.path());
    let words = ["--on", "vm:full", "--disk", "disk.raw", "--timeout", "60s"];
    let Some(output) = without_room(folder.path(), "clones", "4k", &words) else { return };
    for row in rows(folder.path(), &output) {
        let error = &row["error"];
        assert_eq!(row["outcome"], "failed", "{row:?}");
        assert!(
            error.contains("make an overlay over the master disk")
                && error.contains("cache/bench/clones")
                && error.contains("No space left on device")
                && error.contains("make room there"),
            "{error}"
        );
    }
}

#[test]
fn no_room_for_what_machines_boot_from_leaves_them_out_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vmlinuz-silent"), program(&HALT)).unwrap();
    let words = ["--on", "vm:direct,process", "--kernel", "vmlinuz-silent"];
    let Some(output) = without_room(folder.path(), "initramfs", "64k", &words) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("No space left on device") && said.contains("make room there"),
        "{:?} {said}",
        output.status
    );
    let rows = read(&folder.path().join("out/attempts.csv"));
    let ready: Vec<&str> = rows.iter().map(|row| row["backend"].as_str()).collect();
    assert_eq!(ready, ["process", "process"], "{output:?}");
    assert!(rows.iter().all(|row| row["outcome"] == "ready"), "{rows:?}");
}
