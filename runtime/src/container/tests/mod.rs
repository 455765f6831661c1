//! Real namespaces: these tests need root.

mod backend;
mod hostile;
mod rootless;
mod setup;

/// Whether this can be tried; says why not.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: containers with mapped ids need root");
    }
    root
}

/// A shell, a few tools and the libraries they need, taken from the host, and an entrypoint that has
/// the kernel execute what executes it.
fn copy_tools(root: &std::path::Path) {
    let script = r#"for tool in sh cat grep ls wc sort cut hostname sleep id mount readlink; do
        path=$(readlink -f "$(command -v $tool)"); mkdir -p "$0/bin"; cp "$path" "$0/bin/$tool"
        for library in $(ldd "$path" | grep -o '/[^ ]*'); do mkdir -p "$0$(dirname $library)"; cp -L "$library" "$0$library"; done
    done; chmod 755 "$0"; echo '#!/proc/self/exe' >"$0/entry"; chmod 755 "$0/entry""#;
    let status = std::process::Command::new("/bin/sh").args(["-c", script]).arg(root).status().expect("sh");
    assert!(status.success());
}
