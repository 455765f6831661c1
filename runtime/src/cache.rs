//! Where what outlives runs is kept.

use std::path::PathBuf;

/// `bench` in the user's cache folder (XDG Base Directory Specification), else in the temporary one.
pub fn cache_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    match base {
        Some(base) => base.join("bench"),
        None => std::env::temp_dir().join(format!("bench-cache-{}", rustix::process::geteuid())),
    }
}
