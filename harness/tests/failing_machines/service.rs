//! Services that never come, in machines that are there: each attempt ends by its deadline and says what the
//! service has not done, the storm after it begins, and nothing stays behind.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

use super::own_host::Groups;
use super::program::program;
use super::{has_qemu, read};

/// pause(2), again and again.
const WAIT: [u8; 9] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];

/// Listens on port 80, and takes no connection: the kernel does, and nobody reads what comes.
fn listen() -> Vec<u8> {
    let calls: [&[u8]; 3] = [
        // socket(AF_INET, SOCK_STREAM, 0), its descriptor the first argument of what follows.
        &[0xb8, 41, 0, 0, 0, 0xbf, 2, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0x31, 0xd2, 0x0f, 0x05, 0x89, 0xc7],
        // bind(fd, the address behind the last instruction, 16)
        &[0x48, 0x8d, 0x35, 0x21, 0, 0, 0, 0xba, 16, 0, 0, 0, 0xb8, 49, 0, 0, 0, 0x0f, 0x05],
        // listen(fd, 16)
        &[0xbe, 16, 0, 0, 0, 0xb8, 50, 0, 0, 0, 0x0f, 0x05],
    ];
    let address = [2, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&calls.concat()[..], &WAIT, &address].concat()
}

/// The rows of `storms` of one machine whose image's service is `code`.
fn unserved(name: &str, code: &[u8], storms: &str) -> Option<Vec<HashMap<String, String>>> {
    let groups = Groups::new(name);
    if !has_qemu() || !groups.can_be_had() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::create_dir(&image).unwrap();
    std::fs::write(image.join("service"), program(code)).unwrap();
    std::fs::set_permissions(image.join("service"), PermissionsExt::from_mode(0o755)).unwrap();
    let script = r#""$@" >said 2>&1; code=$?; "$0" clean >clean.out; exit $code"#;
    let bench = env!("CARGO_BIN_EXE_bench");
    let words = [bench, bench, "run", "boot-storm", "--on", "vm:direct", "--accel", "tcg", "--warmup", "0"];
    let more = ["--instances", "1", "--storms", storms, "--image", "image", "--workload", "service=http"];
    let rest = ["--timeout", "7s", "--seed", "1", "--out", "out", "--", "/service"];
    let mut command = groups.command(script, &[&words[..], &more, &rest].concat());
    let output = command.current_dir(folder.path()).output().unwrap();
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let said = file("said");
    if said.contains("no guest kernel") {
        eprintln!("skipped: {said}");
        return None;
    }
    assert_eq!((output.status.code(), file("clean.out").as_str()), (Some(1), "nothing to clean\n"), "{said}");
    Some(read(&folder.path().join("out/attempts.csv")))
}

fn assert_late(row: &HashMap<String, String>, missing: &str) {
    let error = &row["error"];
    assert_eq!((row["outcome"].as_str(), row["serving_ns"].as_str()), ("timeout", ""), "{row:?}");
    assert!(!row["ready_ns"].is_empty() && !row["stopped_ns"].is_empty(), "{row:?}");
    assert!(error.starts_with("not there after 7 s, after it was ready "), "{error}");
    assert!(error.contains(missing), "{error}");
}

#[test]
fn a_service_that_never_listens() {
    let Some(rows) = unserved("unheard", &WAIT, "2") else { return };
    assert_eq!(rows.len(), 2, "{rows:?}");
    rows.iter().for_each(|row| assert_late(row, "; its service does not listen"));
}

#[test]
fn a_service_that_listens_and_never_answers() {
    let Some(rows) = unserved("unanswered", &listen(), "1") else { return };
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.iter().for_each(|row| assert_late(row, "; its service listens on port 80, since "));
}
