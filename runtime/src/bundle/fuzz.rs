//! What the fuzz target calls (`fuzz/`); compiled for it alone.

use std::path::Path;

use super::config::{Bundle, parse, parse_process};
use super::{resources, translate};

/// Reads `data` as a configuration and translates it as far as that can be done without making anything.
///
/// # Panics
/// Where an accepted configuration is not read back as itself.
pub fn configurations(data: &[u8]) {
    let _ = parse_process(data);
    let Ok(spec) = parse(data) else { return };
    let text = serde_json::to_vec(&spec).expect("written");
    assert_eq!(parse(&text).expect("read back"), spec);
    let linux = spec.linux().as_ref();
    let _ = resources::cgroup_path(linux.and_then(|linux| linux.cgroups_path().as_deref()), "x");
    let _ = resources::limits(linux.and_then(|linux| linux.resources().as_ref()));
    let groups = [(Path::new("/sys/fs/cgroup").into(), Path::new("/sys/fs/cgroup/x").into())];
    let bundle = Bundle { path: "/nonexistent".into(), rootfs: "/nonexistent/rootfs".into(), spec };
    let _ = translate::setup(&bundle, &groups);
}
