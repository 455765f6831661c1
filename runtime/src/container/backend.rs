//! `container`: for root, with ids of its own and the host's cgroups.

use std::path::Path;
use std::sync::Arc;

use super::mechanism::Mechanism;
use super::prepared::{Files, Groups, Means, PreparedContainer};
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
        "our own runtime: all namespaces, cgroup and pivot_root"
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
        WeakenedBackend { without: Vec::new() }.prepare(context, image)
    }
}

/// `container` with mechanisms left out: what the checks of isolation are tried against. No user gets
/// to choose it.
pub struct WeakenedBackend {
    /// What it lacks.
    pub without: Vec<Mechanism>,
}

impl Backend for WeakenedBackend {
    fn id(&self) -> String {
        let lacks: Vec<String> = self.without.iter().map(ToString::to_string).collect();
        if lacks.is_empty() { "container".into() } else { format!("container without {}", lacks.join(", ")) }
    }

    fn description(&self) -> &'static str {
        "our own runtime with mechanisms left out, to try the checks against"
    }

    fn requirements(&self) -> Vec<Requirement> {
        ContainerBackend.requirements()
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let maps = standard::maps();
        let is_mapped =
            !self.without.iter().any(|one| matches!(one, Mechanism::UserNamespace | Mechanism::IdMap));
        let files = image.rootfs.as_deref().map(|folder| match is_mapped {
            true => Files::mapped(folder, &context.state_dir, &maps),
            false => Files::Plain { folder: folder.to_owned(), why: "ids are not mapped".into() },
        });
        let mut setup = standard::setup(files.as_ref().map(Files::path), maps);
        self.without.iter().for_each(|mechanism| mechanism.leave_out(&mut setup));
        let groups = Groups::Of(Hierarchies::of_host()?);
        let means = Means { files, groups, user: None, without: self.without.clone() };
        Ok(Arc::new(PreparedContainer::new(self.id(), context, image, &mut setup, means)?))
    }
}

/// The kernel's namespaces that a container is made of. One of time is left out where there is none
/// (before Linux 5.6), and said to be.
pub(super) fn namespaces() -> Requirement {
    let needed = ["pid", "net", "uts", "mnt", "ipc", "user", "cgroup"];
    let is_missing = |name: &&str| !Path::new("/proc/self/ns").join(name).exists();
    let missing: Vec<_> = needed.into_iter().filter(is_missing).collect();
    let time =
        if super::namespace::has_time() { "time" } else { "and none of time, which this kernel lacks" };
    Requirement {
        what: "namespaces".into(),
        state: if missing.is_empty() {
            Ok(format!("{}, {time}", needed.join(", ")))
        } else {
            Err(format!("the kernel has no {} namespace", missing.join(", ")))
        },
        fix: None,
    }
}
