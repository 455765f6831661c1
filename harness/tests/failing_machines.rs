//! A machine that hangs is a timeout that says in which phase, since when, and what was said last.
//! These need QEMU.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// A kernel that is entered and never says or does anything: an ELF with a PVH entry
/// (xen/include/public/arch-x86/hvm/start_info.h) behind which are `cli`, `hlt` and a jump to both.
fn silent_kernel() -> Vec<u8> {
    const ENTRY: u32 = 0x10_0000 + CODE as u32;
    const NOTES: usize = 64 + 2 * 56;
    const CODE: usize = NOTES + 20;
    let code = [0xfa, 0xf4, 0xeb, 0xfd];
    let end = (CODE + code.len()) as u64;
    let mut elf = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |bytes: &[u8]| elf.extend_from_slice(bytes);
    // ET_EXEC, EM_X86_64, version, entry, program headers, sections, flags, sizes and counts.
    put(&[2, 0, 62, 0, 1, 0, 0, 0]);
    [u64::from(ENTRY), 64, 0].iter().for_each(|word| put(&word.to_le_bytes()));
    put(&[0; 4]);
    [64u16, 56, 2, 64, 0, 0].iter().for_each(|half| put(&half.to_le_bytes()));
    // PT_LOAD of the whole, PT_NOTE.
    for (kind, offset, at, length) in
        [(1u32, 0u64, 0x10_0000u64, end), (4, NOTES as u64, 0x10_0000 + NOTES as u64, 20)]
    {
        put(&kind.to_le_bytes());
        put(&7u32.to_le_bytes());
        [offset, at, at, length, length, 4].iter().for_each(|word| put(&word.to_le_bytes()));
    }
    [4u32, 4, 18].iter().for_each(|word| put(&word.to_le_bytes()));
    put(b"Xen\0");
    put(&ENTRY.to_le_bytes());
    put(&code);
    elf
}

/// The rows of a storm of two machines with that kernel.
fn hung(machine: &str, timeout: &str) -> Option<Vec<HashMap<String, String>>> {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        eprintln!("skipped: no QEMU on this host");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vmlinuz-silent"), silent_kernel()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["run", "boot-storm", "--on", "vm:direct", "--accel", "tcg", "--kernel", "vmlinuz-silent"])
        .args(["--instances", "2", "--storms", "1", "--warmup", "0", "--workload", "ready", "--seed", "1"])
        .args(["--machine", machine, "--timeout", timeout, "--out", "out"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let rows = read(&folder.path().join("out/attempts.csv"));
    assert_eq!(rows.len(), 2, "{output:?}");
    Some(rows)
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
