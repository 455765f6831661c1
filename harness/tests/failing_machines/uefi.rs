//! UEFI firmware that hangs, or gives up.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::program::HALT;
use super::{has_qemu, rows, silent_disk, storm};

/// Where distributions put OVMF's code.
const CODE: [&str; 3] =
    ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd"];
/// Where a processor begins, from the end of the firmware (Intel SDM, volume 3, 10.1.4).
const BEGIN: usize = 16;

/// The rows of a storm of two machines whose firmware is nothing but `code`.
fn with_firmware(code: &[u8]) -> Option<Vec<HashMap<String, String>>> {
    let installed = CODE.iter().find(|path| Path::new(path).is_file());
    let (true, true, Some(installed)) = (has_qemu(), nix::unistd::geteuid().is_root(), installed) else {
        eprintln!(
            "skipped: putting a file over OVMF's in a mount namespace needs OVMF and root, or see above"
        );
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    silent_disk(folder.path());
    let mut firmware = vec![0xff; std::fs::metadata(installed).unwrap().len() as usize];
    let begin = firmware.len() - BEGIN;
    firmware[begin..begin + code.len()].copy_from_slice(code);
    std::fs::write(folder.path().join("firmware"), firmware).unwrap();
    let words =
        ["--on", "vm:full", "--firmware", "uefi", "--disk", "disk.raw", "--timeout", "60s,firmware=1500ms"];
    let run = storm(folder.path(), &words);
    let script = r#"mount --bind firmware "$0" || exit 99; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, installed]).arg(run.get_program()).args(run.get_args());
    command.env("XDG_CACHE_HOME", folder.path().join("cache")).current_dir(folder.path());
    let output = command.output().unwrap();
    if output.status.code() == Some(99) {
        eprintln!("skipped: this host mounts nothing in a mount namespace: {output:?}");
        return None;
    }
    Some(rows(folder.path(), &output))
}

#[test]
fn a_uefi_firmware_that_does_nothing_is_told_by_its_phase() {
    for row in with_firmware(&HALT).into_iter().flatten() {
        let error = &row["error"];
        assert_eq!((row["outcome"].as_str(), row["ready_ns"].as_str()), ("timeout", ""), "{row:?}");
        assert!(
            error.starts_with("a phase took more than 1.5 s, in its phase firmware, which began "),
            "{error}"
        );
        // It says nothing, as distributions' builds do not either.
        assert!(!error.contains("last line"), "{error}");
    }
}

/// The control of the test above: what is executed is the file of the test.
#[test]
fn a_uefi_firmware_that_resets_the_machine_is_a_failure_in_its_phase() {
    // mov al, 0xfe; out 0x64, al: the keyboard controller's line to the processor's reset.
    let reset = [&[0xb0, 0xfe, 0xe6, 0x64], &HALT[..]].concat();
    for row in with_firmware(&reset).into_iter().flatten() {
        let error = &row["error"];
        assert_eq!((row["outcome"].as_str(), row["ready_ns"].as_str()), ("failed", ""), "{row:?}");
        assert!(error.starts_with("ended too early with exit status 0, in its phase firmware"), "{error}");
    }
}
