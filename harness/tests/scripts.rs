//! What the scripts promise their callers.

use std::path::Path;
use std::process::Command;

fn with_engines(script: &str) -> Option<i32> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    Command::new(scripts.join("with-engines"))
        .args(["sh", "-c", script])
        .env("ENGINES", "")
        .status()
        .expect("start scripts/with-engines")
        .code()
}

/// Clearing up finds nothing where no engine was started, which is no failure.
#[test]
fn a_command_beside_no_engine_keeps_its_status() {
    assert_eq!(with_engines("exit 0"), Some(0));
    assert_eq!(with_engines("exit 3"), Some(3));
}
