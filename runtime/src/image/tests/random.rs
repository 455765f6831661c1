//! Layers of random members and of random bytes: no panic, nothing outside the root.

use std::fs;

use proptest::prelude::*;

use super::build::{pax, raw, tar};
use super::layers::apply;

fn names() -> impl Strategy<Value = String> {
    let part =
        prop::sample::select(vec!["a", "b", "c", ".", "..", "", ".wh.a", ".wh..wh..opq", ".wh...", "l"]);
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn members() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"00005552221163457gLKxS".to_vec());
    (kind, names(), names(), any::<bool>(), 0..8u32, 0..700usize).prop_map(
        |(kind, path, link, long, mode, size)| {
            let content = if matches!(kind, b'0' | b'7') { vec![b'x'; size] } else { Vec::new() };
            let entry =
                raw(kind, path.as_bytes(), link.as_bytes(), mode * 0o111, content.len() as u64, &content);
            if long {
                [pax(&[("path", link.as_bytes()), ("linkpath", path.as_bytes())]), entry].concat()
            } else {
                entry
            }
        },
    )
}

fn stays_inside(layers: &[Vec<u8>]) {
    let outer = tempfile::tempdir().expect("folder");
    fs::write(outer.path().join("a"), "canary").expect("canary");
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).expect("folder");
    let _refused_or_not = apply(&inner, layers, 1 << 20);
    let list = |path| {
        let mut names: Vec<String> = fs::read_dir(path)
            .expect("list")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with("layer-"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(list(outer.path()), ["a", "inner"]);
    assert_eq!(list(&inner), ["root", "trash"]);
    assert_eq!(fs::read(outer.path().join("a")).expect("canary"), b"canary");
    assert!(fs::symlink_metadata(inner.join("root")).expect("root").is_dir());
    crate::image::discard::discard(&inner, b"root").expect("removed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_members(one in prop::collection::vec(members(), 0..12), two in prop::collection::vec(members(), 0..12)) {
        stays_inside(&[tar(&one), tar(&two)]);
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000), start in 0..4usize) {
        let starts: [&[u8]; 4] = [b"", &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd], &[0x50, 0x2a, 0x4d, 0x18]];
        stays_inside(&[[starts[start], &bytes].concat()]);
    }

    #[test]
    fn damaged_layers(
        entries in prop::collection::vec(members(), 1..8),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut layer = tar(&entries);
        let at = at.index(layer.len());
        layer[at] = value;
        stays_inside(&[layer]);
    }
}
