//! Lets the guest program begin at its own first instruction, see `src/program/entry.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_PROGRAM").is_some() {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=guest_start");
    }
}
