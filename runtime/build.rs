//! Builds the static guest program and the payload of `vm:floor`, which are embedded in the library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    build_guest(&root.join("guest"), &out);
    build_payload(&root.join("src/vm/floor/payload"), &out);
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for build scripts: {error}"))
}

fn build_guest(source: &Path, out: &Path) {
    for path in ["Cargo.toml", "build.rs", "src"] {
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

/// The payload of `vm:floor`: assembled and linked by the compiler, with no library. Empty where
/// the host is no x86-64, and has no such machines.
fn build_payload(source: &Path, out: &Path) {
    println!("cargo::rerun-if-changed={}", source.display());
    let payload = out.join("floor.elf");
    println!("cargo::rustc-env=FLOOR_PAYLOAD={}", payload.display());
    if variable("CARGO_CFG_TARGET_ARCH") != "x86_64" {
        std::fs::write(&payload, []).unwrap_or_else(|error| panic!("cannot write the payload: {error}"));
        return;
    }
    let script = format!("link-arg=-Wl,-T,{}", source.join("payload.ld").display());
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-name", "payload", "--crate-type", "bin"])
        .args(["--target", &variable("TARGET"), "-o"])
        .arg(&payload)
        .arg(source.join("payload.rs"));
    for option in [
        "panic=abort",
        "opt-level=s",
        "strip=symbols",
        "relocation-model=static",
        "target-feature=+crt-static",
        "link-arg=-nostdlib",
        "link-arg=-nostartfiles",
        "link-arg=-static",
        // Sections where the script says, with no page of headers in between.
        "link-arg=-Wl,-n",
        "link-arg=-Wl,--build-id=none",
        &script,
    ] {
        rustc.args(["-C", option]);
    }
    let status = rustc.status().unwrap_or_else(|error| panic!("cannot run rustc for the payload: {error}"));
    assert!(status.success(), "the payload of vm:floor did not build ({status})");
}
