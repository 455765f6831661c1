//! What tests of machines share: a run that leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::options::{Machine, Options};
use super::{Accel, kernel, qemu};
use crate::cgroup::{Hierarchies, TOP};
use crate::image::Image;
use crate::network::{Kind, Network};
use crate::patience::{PATIENCE, next_by};
use crate::watch::Watch;
use crate::{Error, Event, EventSink, Instance, InstanceName, LaunchSpec, Prepared, RunContext, Stamped};

/// A run of its own for one test. Dropping it removes its cgroups and files.
pub(super) struct Trial {
    pub(super) context: RunContext,
    _folder: tempfile::TempDir,
}

impl Trial {
    pub(super) fn new(name: &str) -> Trial {
        Trial::with_network(name, Kind::default())
    }

    pub(super) fn with_network(name: &str, network: Kind) -> Trial {
        let folder = tempfile::tempdir().expect("folder");
        // Two tests may run at once, also with the same name.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let run_id = format!("{name}-{}-{count}", std::process::id());
        let context = RunContext {
            network: Arc::new(Network::new(network, &run_id)),
            run_id,
            state_dir: folder.path().into(),
            cache_dir: folder.path().into(),
            watch: Arc::new(Watch::start().expect("watch")),
        };
        Trial { context, _folder: folder }
    }

    /// Starts instance `index` of `prepared`.
    pub(super) fn launch(
        &self,
        prepared: &dyn Prepared,
        index: u32,
        spec: impl FnOnce(InstanceName) -> LaunchSpec,
    ) -> Result<Started, Error> {
        let name = InstanceName { storm: 0, index };
        let (sender, events) = unbounded_channel();
        let instance = prepared.launch(&spec(name.clone()), EventSink::new(name, sender))?;
        Ok(Started { instance, events, seen: Vec::new() })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        for root in Hierarchies::of_host().expect("readable").roots() {
            let _ = crate::cgroup::end_folder(&root.join(TOP).join(&self.context.run_id));
        }
    }
}

/// An instance and what it tells.
pub(super) struct Started {
    pub(super) instance: Box<dyn Instance>,
    pub(super) events: UnboundedReceiver<Stamped>,
    pub(super) seen: Vec<Stamped>,
}

impl Started {
    /// Waits until it tells what is `wanted`, its end or a failure otherwise being a failed test.
    pub(super) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Stamped {
        let until = Instant::now() + PATIENCE;
        loop {
            let stamped = next_by(&mut self.events, until);
            let stamped = stamped.unwrap_or_else(|error| panic!("{error}; before: {:?}", self.seen));
            self.seen.push(stamped.clone());
            if wanted(&stamped.event) {
                return stamped;
            }
            if matches!(stamped.event, Event::Exited(_) | Event::Failed(_)) {
                panic!("{stamped:?}; before: {:?}", self.seen);
            }
        }
    }

    pub(super) fn has_seen(&self, event: &Event) -> bool {
        self.seen.iter().any(|stamped| stamped.event == *event)
    }
}

/// Options of a machine with the guest kernel of this host, or why there can be none here.
pub(super) fn with_kernel(accel: Accel, machine: Machine) -> Option<Options> {
    let kernel = kernel::find(None, &crate::cache_dir()).ok();
    if qemu::find().is_none() || kernel.is_none() {
        eprintln!("skipped: no QEMU or no guest kernel on this host");
        return None;
    }
    Some(Options { accel, machine, kernel, ..Options::default() })
}

/// The folder `scripts/setup.sh` fills with Debian, a kernel, redis and nginx, or why there is none.
pub(crate) fn system() -> Option<Image> {
    let rootfs = crate::cache_dir().join("test-system/rootfs");
    if !rootfs.join("usr/bin/redis-server").exists() || !rootfs.join("usr/sbin/nginx").exists() {
        eprintln!("skipped: no system in {} (scripts/setup.sh makes it)", rootfs.display());
        return None;
    }
    // What is installed says which system it is: one made again with more is another image.
    let installed = std::fs::read(rootfs.join("var/lib/dpkg/status")).ok()?;
    Some(Image {
        digest: format!("test-system {:x}", Sha256::digest(installed)),
        rootfs: Some(rootfs),
        ..Image::builtin()
    })
}
