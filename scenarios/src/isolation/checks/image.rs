//! What the files of an image can do to who starts it: a link of theirs in the place of what a runtime makes or
//! mounts must lead nowhere. Each runtime has had such a mistake.

use std::os::unix::fs::symlink;

use super::super::check::{Check, Company, Expect, HostileImage, Twin, Watched};
use super::super::kind::Kind;

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
                fill: |root, _| {
                    std::fs::create_dir(root.join("data"))?;
                    std::fs::write(root.join("data/file"), "as it was")
                },
                careless: "data/file",
                watched: Watched::Files,
            },
        )
    },
    link(
        "image-link-dev",
        "does a link of the image in the place of /dev lead who sets it up out of the root?",
        "CVE-2026-41579; OCI runtime specification, config.md, mounts",
        HostileImage {
            fill: |root, outside| symlink(outside, root.join("dev")),
            careless: "dev/null",
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-proc",
        "does a link of the image in the place of /proc lead who mounts it out of the root?",
        "CVE-2019-19921, CVE-2023-27561",
        HostileImage {
            fill: |root, outside| symlink(outside, root.join("proc")),
            careless: "proc/self/attr",
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-sys",
        "does a link of the image in the place of /sys lead who mounts it out of the root?",
        "CVE-2019-19921, CVE-2023-28642",
        HostileImage {
            fill: |root, outside| symlink(outside, root.join("sys")),
            careless: "sys/fs/cgroup",
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-null",
        "does a link of the image in the place of /dev/null lead who masks files with it out of the root?",
        "CVE-2025-31133",
        HostileImage {
            fill: |root, outside| {
                std::fs::create_dir(root.join("dev"))?;
                symlink(outside.join("file"), root.join("dev/null"))
            },
            careless: "dev/null",
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-target",
        "does a link of the image in the place of a folder that something is mounted in lead out of the root?",
        "CVE-2021-30465, CVE-2024-45310: what is missing of a mount's target is made",
        HostileImage {
            fill: |root, outside| symlink(outside, root.join(".bench")),
            careless: ".bench/guest",
            watched: Watched::Outside,
        },
    ),
    link(
        "image-link-up",
        "does a link of the image that goes up from its root lead out of it?",
        "openat2(2), RESOLVE_IN_ROOT; CVE-2018-15664",
        HostileImage {
            fill: |root, outside| {
                let name = outside.file_name().unwrap_or_default();
                symlink(std::path::Path::new("..").join(name), root.join("dev"))
            },
            careless: "dev/console",
            watched: Watched::Outside,
        },
    ),
];
