//! Builds the static guest program, which is embedded in the library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    build_guest(&root.join("guest"), &PathBuf::from(variable("OUT_DIR")));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for build scripts: {error}"))
}

fn build_guest(source: &Path, out: &Path) {
    for path in ["Cargo.toml", "src"] {
        println!("cargo::rerun-if-changed={}", source.join(path).display());
    }
    let target = variable("TARGET");
    let folder = out.join("guest-target");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", "guest", "--bin", "guest", "--features", "program"])
        .args(["--profile", "guest", "--target", &target])
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        // Static and at a fixed address: no dynamic loader, no relocation before the first instruction.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static");
    // What the outer build (clippy, coverage) wraps around its own compiler is not for the guest.
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CLIPPY_ARGS"] {
        cargo.env_remove(name);
    }
    let status =
        cargo.status().unwrap_or_else(|error| panic!("cannot run cargo for the guest program: {error}"));
    assert!(status.success(), "the guest program did not build ({status})");
    let program = folder.join(&target).join("guest/guest");
    println!("cargo::rustc-env=GUEST_PROGRAM={}", program.display());
}
