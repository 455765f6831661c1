//! Machines that hang, are killed, find no room or serve nothing: each a row that says in which phase, since
//! when, and what was said last. These need QEMU.

#[path = "../own_host/mod.rs"]
#[allow(dead_code, reason = "the other program that has it looks at what is left")]
mod own_host;
mod program;
mod room;
mod service;
mod uefi;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use program::{HALT, program};

/// Twice a machine that `words` describe, with its files and a cache of its own in `folder`.
fn storm(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .args(["run", "boot-storm", "--accel", "tcg", "--instances", "2", "--storms", "1", "--warmup", "0"])
        .args(["--workload", "ready", "--seed", "1", "--out", "out"])
        .args(words)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .current_dir(folder);
    command
}

fn has_qemu() -> bool {
    let found = Command::new("qemu-system-x86_64").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no QEMU on this host");
    }
    found
}

fn rows(folder: &Path, output: &Output) -> Vec<HashMap<String, String>> {
    let rows = read(&folder.join("out/attempts.csv"));
    assert_eq!(rows.len(), 2, "{output:?}");
    rows
}

/// The rows of a storm of two machines with that kernel.
fn hung(machine: &str, timeout: &str) -> Option<Vec<HashMap<String, String>>> {
    if !has_qemu() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vmlinuz-silent"), program(&HALT)).unwrap();
    let words =
        ["--on", "vm:direct", "--kernel", "vmlinuz-silent", "--machine", machine, "--timeout", timeout];
    let output = storm(folder.path(), &words).output().unwrap();
    Some(rows(folder.path(), &output))
}

/// A disk with a boot sector that does nothing.
fn silent_disk(folder: &Path) {
    let mut disk = vec![0; 1 << 20];
    disk[..HALT.len()].copy_from_slice(&HALT);
    disk[510..512].copy_from_slice(b"\x55\xaa");
    std::fs::write(folder.join("disk.raw"), disk).unwrap();
}

/// The rows of a storm of two machines with that disk.
fn hung_disk(timeout: &str) -> Option<Vec<HashMap<String, String>>> {
    if !has_qemu() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    silent_disk(folder.path());
    let words = ["--on", "vm:full", "--disk", "disk.raw", "--timeout", timeout];
    let output = storm(folder.path(), &words).output().unwrap();
    Some(rows(folder.path(), &output))
}

fn read(path: &Path) -> Vec<HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn a_kernel_that_says_nothing_is_told_by_its_phase_and_the_firmwares_last_line() {
    let Some(rows) = hung("pc", "60s,kernel=1500ms") else { return };
    for row in rows {
        let error = &row["error"];
        assert_eq!((row["outcome"].as_str(), row["ready_ns"].as_str()), ("timeout", ""), "{row:?}");
        assert!(
            error.starts_with("a phase took more than 1.5 s, in its phase kernel, which began "),
            "{error}"
        );
        assert!(error.contains("its firmware's last line: Booting from"), "{error}");
        let lived_ns = row["stopped_ns"].parse::<u64>().unwrap() - row["started_ns"].parse::<u64>().unwrap();
        assert!(lived_ns >= 1_500_000_000, "{row:?}");
    }
}

#[test]
fn the_whole_start_has_its_deadline_where_the_phase_has_none() {
    let Some(rows) = hung("microvm", "2s") else { return };
    for row in rows {
        assert_eq!(row["outcome"], "timeout", "{row:?}");
        assert!(
            row["error"].starts_with("not there after 2 s, in its phase kernel, which began "),
            "{row:?}"
        );
    }
}

#[test]
fn a_firmware_that_takes_too_long_is_told_with_its_last_line() {
    // No firmware is through in this time, and a loaded host changes nothing.
    let Some(rows) = hung_disk("60s,firmware=1ms") else { return };
    for row in rows {
        let error = &row["error"];
        assert_eq!((row["outcome"].as_str(), row["ready_ns"].as_str()), ("timeout", ""), "{row:?}");
        assert!(
            error.starts_with("a phase took more than 0.001 s, in its phase firmware, which began "),
            "{error}"
        );
        let (_, said) = error.split_once("its firmware's last line: ").unwrap_or_else(|| panic!("{error}"));
        assert!(!said.is_empty() && !said.contains("Booting from"), "{error}");
    }
}

#[test]
fn a_boot_sector_that_does_nothing_is_told_by_its_phase_and_the_firmwares_last_line() {
    let Some(rows) = hung_disk("60s,loader=1s") else { return };
    for row in rows {
        let error = &row["error"];
        assert_eq!((row["outcome"].as_str(), row["ready_ns"].as_str()), ("timeout", ""), "{row:?}");
        assert!(
            error.starts_with("a phase took more than 1 s, in its phase loader, which began "),
            "{error}"
        );
        assert!(error.ends_with("its firmware's last line: Booting from 0000:7c00"), "{error}");
    }
}

#[test]
fn a_qemu_killed_in_mid_boot_is_a_failure_of_its_own_and_of_no_other() {
    if !has_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    silent_disk(folder.path());
    let words = ["--on", "vm:full", "--disk", "disk.raw", "--timeout", "60s,loader=4s"];
    let mut command = storm(folder.path(), &words);
    let said = || std::fs::File::create(folder.path().join("said")).unwrap();
    let mut bench = command.stdout(said()).stderr(said()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let victim = loop {
        // Both have begun, and the firmware has had some of its time.
        let machines = machines_of(bench.id());
        if let &[first, _] = &machines[..] {
            break first;
        }
        assert!(Instant::now() < deadline && bench.try_wait().unwrap().is_none(), "no two machines");
        std::thread::sleep(Duration::from_millis(5));
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(bench.wait().unwrap().code(), Some(1), "none was ready");
    let mut rows = read(&folder.path().join("out/attempts.csv"));
    rows.sort_by(|one, other| one["outcome"].cmp(&other["outcome"]));
    let outcomes: Vec<&str> = rows.iter().map(|row| row["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["failed", "timeout"], "{rows:?}");
    let error = &rows[0]["error"];
    assert!(error.starts_with("ended too early with signal 9, in its phase "), "{error}");
    assert!(rows[1]["error"].contains("in its phase loader"), "{rows:?}");
}

/// The QEMUs a process has started, by /proc/PID/stat (proc_pid_stat(5)).
fn machines_of(parent: u32) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (name, rest) = stat.split_once(") ").unwrap_or_default();
        name.contains("(qemu-system") && rest.split(' ').nth(1) == Some(&parent.to_string())
    };
    let mut found: Vec<i32> = pids.filter(is_one).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_phase_that_nothing_has_is_a_slip_of_the_finger() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["run", "boot-storm", "--on", "fake:ready=1ms", "--timeout", "9s,kernal=1s"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("\"kernal\" is no phase of a start") && said.contains("firmware"), "{said}");
}
