//! What the files of an image can do to who starts it: a link of theirs in the place of what a runtime makes or
//! mounts must lead nowhere. Each runtime has had such a mistake.

use std::os::unix::fs::symlink;

use super::super::check::{Check, Company, Expect, HostileImage, MadeOf, Twin, Watched};
use super::super::kind::Kind;
use super::super::layers::Member;

/// It would refuse the folder, which says nothing of the links in it.
const OWN_STORE: &str = "an engine takes images with layers, which it unpacks itself; these are folders";

const fn link(id: &'static str, question: &'static str, source: &'static str, image: HostileImage) -> Check {
    Check {
        id,
        claim: "ns-mount",
        question,
        source,
        expect: |kind| match kind {
            Kind::Process => Expect::Pointless("a bare process is given no root: nothing is made for it"),
            Kind::Machine => {
                Expect::Pointless("its own kernel follows the links, on a disk or a memory of its own")
            }
            _ => Expect::Apart,
        },
        company: Company::Alone,
        image: Some(image),
        twin: Twin::Careless,
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    Check {
        claim: "layers-immutable",
        expect: |kind| match kind {
            Kind::Process => Expect::Pointless("a bare process is given no root: its files are the host's"),
            Kind::Engine => Expect::Pointless(OWN_STORE),
            _ => Expect::Apart,
        },
        ..link(
            "image-layers",
            "does what an instance changes of its image's files reach those files, or a sibling?",
            "OCI image specification, layer.md; kernel's filesystems/overlayfs.rst, upper and lower",
            HostileImage {
                made_of: MadeOf::Files {
                    fill: |root, _| {
                        std::fs::create_dir(root.join("data"))?;
                        std::fs::write(root.join("data/file"), "as it was")
                    },
                    careless: "data/file",
                    exchanged: None,
                },
                watched: Watched::Files,
            },
        )
    },
    link(
        "image-link-dev",
        "does a link of the image in the place of /dev lead who sets it up out of the root?",
        "CVE-2026-41579; OCI runtime specification, config.md, mounts",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| symlink(outside, root.join("dev")),
                careless: "dev/null",
                exchanged: None,
            },
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-proc",
        "does a link of the image in the place of /proc lead who mounts it out of the root?",
        "CVE-2019-19921, CVE-2023-27561",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| symlink(outside, root.join("proc")),
                careless: "proc/self/attr",
                exchanged: None,
            },
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-sys",
        "does a link of the image in the place of /sys lead who mounts it out of the root?",
        "CVE-2019-19921, CVE-2023-28642",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| symlink(outside, root.join("sys")),
                careless: "sys/fs/cgroup",
                exchanged: None,
            },
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-null",
        "does a link of the image in the place of /dev/null lead who masks files with it out of the root?",
        "CVE-2025-31133",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| {
                    std::fs::create_dir(root.join("dev"))?;
                    symlink(outside.join("file"), root.join("dev/null"))
                },
                careless: "dev/null",
                exchanged: None,
            },
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-target",
        "does a link of the image in the place of a folder that something is mounted in lead out of the root?",
        "CVE-2021-30465, CVE-2024-45310: what is missing of a mount's target is made",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| symlink(outside, root.join(".bench")),
                careless: ".bench/guest",
                exchanged: None,
            },
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-up",
        "does a link of the image that goes up from its root lead out of it?",
        "openat2(2), RESOLVE_IN_ROOT; CVE-2018-15664",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| {
                    let name = outside.file_name().unwrap_or_default();
                    symlink(std::path::Path::new("..").join(name), root.join("dev"))
                },
                careless: "dev/console",
                exchanged: None,
            },
            watched: Watched::Outside,
        },
    ),
    link(
        "image-race-target",
        "does a link that changes places with a mount's target while it is set up lead out of the root?",
        "CVE-2021-30465: looked at first and followed then; renameat2(2), RENAME_EXCHANGE",
        HostileImage {
            made_of: MadeOf::Files {
                fill: |root, outside| {
                    std::fs::create_dir(root.join(".bench"))?;
                    symlink(outside, root.join("other"))
                },
                careless: ".bench/guest",
                exchanged: Some([".bench", "other"]),
            },
            watched: Watched::Outside,
        },
    ),
    layers(
        "image-layer-absolute",
        "does an absolute name in a layer lead who unpacks it out of the root?",
        "CVE-2018-15664 and its kind; layer.md: names are relative",
        |outside| vec![vec![file(format!("{outside}/file"))]],
    ),
    layers(
        "image-layer-up",
        "does .. in the name of a layer's file lead out of the root?",
        "CVE-2014-9357 and its kind",
        |outside| vec![vec![file(format!("../{}/file", last(outside)))]],
    ),
    layers(
        "image-layer-link",
        "does a layer's link in the place of a folder lead what follows out of the root?",
        "CVE-2021-38511, CVE-2026-33056: a link, then something behind it",
        |outside| vec![vec![Member::Link("l".into(), outside.into()), file("l/new".into())]],
    ),
    layers(
        "image-layer-link-below",
        "does a link of a lower layer lead files of the next out of the root?",
        "layer.md, applying changesets; CVE-2021-29136",
        |outside| vec![vec![Member::Link("l".into(), outside.into())], vec![file("l/new".into())]],
    ),
    layers(
        "image-layer-hard",
        "does a layer's hard link of a file of the host lead what is written to it out of the root?",
        "link(2); the file behind has the link's name",
        |outside| vec![vec![Member::Hard("h".into(), format!("{outside}/file")), file("h".into())]],
    ),
    layers(
        "image-layer-mode",
        "does the mode of a layer's folder go to what a link in its place leads to?",
        "CVE-2026-33056: chmod(2) follows links",
        |outside| vec![vec![Member::Link("d".into(), outside.into()), Member::Folder("d".into())]],
    ),
    layers(
        "image-layer-whiteout",
        "does a whiteout behind a link take away a file of the host?",
        "layer.md, whiteouts: of lower layers only",
        |outside| vec![vec![Member::Link("l".into(), outside.into())], vec![file("l/.wh.file".into())]],
    ),
    layers(
        "image-layer-opaque",
        "does an opaque whiteout behind a link empty a folder of the host?",
        "layer.md, opaque whiteout",
        |outside| vec![vec![Member::Link("l".into(), outside.into())], vec![file("l/.wh..wh..opq".into())]],
    ),
];

/// Layers that our own store unpacks, whoever is started from what comes of them.
const fn layers(
    id: &'static str,
    question: &'static str,
    source: &'static str,
    layers: fn(&str) -> Vec<Vec<Member>>,
) -> Check {
    let image = HostileImage { made_of: MadeOf::Layers(layers), watched: Watched::Outside };
    Check {
        expect: |kind| match kind {
            Kind::Container => Expect::Apart,
            _ => Expect::Pointless("layers are unpacked by our own store, as for container"),
        },
        ..link(id, question, source, image)
    }
}

fn file(name: String) -> Member {
    Member::File(name)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
