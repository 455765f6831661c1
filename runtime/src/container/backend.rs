//! `container`: for root, with ids of its own and the host's cgroups.

use std::path::Path;
use std::sync::Arc;

use super::prepared::{Files, Groups, PreparedContainer};
use super::standard;
use crate::cgroup::{Hierarchies, Mode};
use crate::image::Image;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// `container`.
pub struct ContainerBackend;

impl Backend for ContainerBackend {
    fn id(&self) -> String {
        "container".into()
    }

    fn description(&self) -> &'static str {
        "our own runtime: seven namespaces, cgroup and pivot_root"
    }

    fn requirements(&self) -> Vec<Requirement> {
        let root = rustix::process::geteuid().is_root();
        let mode = Hierarchies::of_host().map(|found| found.mode()).unwrap_or(Mode::None);
        vec![
            Requirement {
                what: "root".into(),
                state: if root { Ok("user id 0".into()) } else { Err("not running as root".into()) },
                fix: (!root).then(|| "run it with sudo".into()),
            },
            namespaces(),
            Requirement {
                what: "cgroups".into(),
                state: if mode == Mode::None { Err("none is mounted".into()) } else { Ok(mode.to_string()) },
                fix: (mode == Mode::None).then(|| "mount -t cgroup2 none /sys/fs/cgroup".into()),
            },
        ]
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let maps = standard::maps();
        let files = image.rootfs.as_deref().map(|folder| Files::mapped(folder, &context.state_dir, &maps));
        let setup = standard::setup(files.as_ref().map(Files::path), maps);
        let groups = Groups::Of(Hierarchies::of_host()?);
        PreparedContainer::prepare(self.id(), context, image, setup, files, groups)
    }
}

/// The kernel's namespaces that a container is made of.
pub(super) fn namespaces() -> Requirement {
    let names = ["pid", "net", "uts", "mnt", "ipc", "user", "cgroup"];
    let is_missing = |name: &&str| !Path::new("/proc/self/ns").join(name).exists();
    let missing: Vec<_> = names.into_iter().filter(is_missing).collect();
    Requirement {
        what: "namespaces".into(),
        state: if missing.is_empty() {
            Ok(names.join(", "))
        } else {
            Err(format!("the kernel has no {} namespace", missing.join(", ")))
        },
        fix: None,
    }
}
