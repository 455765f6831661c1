//! The `container` backend: namespaces, cgroups and pivot_root, straight on the kernel.
//!
//! [`launch`](Prepared::launch) makes one child with clone3(2) in seven new namespaces. The child
//! waits until its identity (user map, cgroup) is settled, arranges its own file system, gives up
//! what it must not keep and becomes the guest program. Nothing else is started for it.

mod child;
mod instance;
mod report;
pub mod setup;

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::cgroup::{Cgroup, Hierarchies, Mode};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::watch::{Source, Watch};
use crate::{Backend, Error, Instance, LaunchSpec, Prepared, Requirement, RunContext, Workload};
use instance::Container;

/// First user and group id of the host that ids inside are mapped to, and how many: a range of
/// its own, above what distributions hand out to people and services.
const MAP_FIRST: u32 = 1_000_000_000;
const MAP_COUNT: u32 = 65_536;

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
        let namespaces = ["pid", "net", "uts", "mnt", "ipc", "user", "cgroup"];
        let missing: Vec<_> = namespaces
            .into_iter()
            .filter(|name| !std::path::Path::new("/proc/self/ns").join(name).exists())
            .collect();
        let mode = Hierarchies::of_host().map(|found| found.mode()).unwrap_or(Mode::None);
        vec![
            Requirement {
                what: "root".into(),
                state: if root { Ok("user id 0".into()) } else { Err("not running as root".into()) },
                fix: (!root).then(|| "run it with sudo".into()),
            },
            Requirement {
                what: "namespaces".into(),
                state: if missing.is_empty() {
                    Ok(namespaces.join(", "))
                } else {
                    Err(format!("the kernel has no {} namespace", missing.join(", ")))
                },
                fix: None,
            },
            Requirement {
                what: "cgroups".into(),
                state: if mode == Mode::None { Err("none is mounted".into()) } else { Ok(mode.to_string()) },
                fix: (mode == Mode::None).then(|| "mount -t cgroup2 none /sys/fs/cgroup".into()),
            },
        ]
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        crate::guest_program()?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        let rootfs = image.rootfs.as_ref().map(|path| {
            CString::new(path.as_os_str().as_encoded_bytes())
                .map_err(|error| Error::Invalid(error.to_string()))
        });
        Ok(Arc::new(PreparedContainer {
            watch: context.watch.clone(),
            run: context.run_id.clone(),
            hierarchies: Hierarchies::of_host()?,
            null: null.map_err(Error::system("open /dev/null"))?.into(),
            rootfs: rootfs.transpose()?,
            image: image.digest.clone(),
        }))
    }
}

struct PreparedContainer {
    watch: Arc<Watch>,
    run: String,
    hierarchies: Hierarchies,
    null: OwnedFd,
    rootfs: Option<CString>,
    image: String,
}

impl Prepared for PreparedContainer {
    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "backend": "container",
            "image": self.image,
            "namespaces": ["pid", "net", "uts", "mount", "ipc", "user", "cgroup"],
            "id_map": format!("0 {MAP_FIRST} {MAP_COUNT}"),
            "cgroup": self.hierarchies.mode().to_string(),
            "rootfs": if self.rootfs.is_some() { "overlay: image below, tmpfs above" } else { "tmpfs, read-only" },
            "mounts": ["/proc", "/sys (read-only)", "/dev (tmpfs)", "/dev/pts", "/dev/shm", "/dev/mqueue"],
            "masked": child::MASKED,
            "read_only": child::READ_ONLY,
            "capabilities": child::KEPT_CAPABILITIES,
            "no_new_privs": true,
            "network": "loopback; for http a listening socket of the host's loopback is inherited",
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        events.send(now_ns(), Event::Mark("cgroup"));
        let cgroup = Cgroup::create(&self.hierarchies, &self.run, &spec.name.to_string(), &spec.limits)?;
        let (inside, outside) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        let mut plan = spec.plan.clone();
        let listener = (plan.workload == Workload::Http)
            .then(|| std::net::TcpListener::bind("127.0.0.1:0"))
            .transpose()
            .map_err(Error::system("listen on the host's loopback for a container"))?;
        plan.inherited_listener = listener.is_some();
        let service = listener.as_ref().map(|listener| listener.local_addr()).transpose();
        let service = service.map_err(Error::system("read a listener's address"))?;

        let null = self.null.as_fd();
        let mut fds = vec![null, null, null, inside.as_fd()];
        fds.extend(listener.as_ref().map(|listener| listener.as_fd()));
        let hostname = format!("{}-{}", self.run, spec.name);
        events.send(now_ns(), Event::Mark("clone"));
        let started = child::start(&child::Request {
            program: crate::guest_program()?,
            plan: plan.to_word(),
            fds: &fds,
            hostname: hostname.get(..hostname.len().min(64)).unwrap_or_default(),
            rootfs: self.rootfs.as_deref(),
            cgroup: &cgroup,
        })?;
        for (phase, at_ns) in started.marks {
            events.send(at_ns, Event::Mark(phase));
        }
        // From here on the instance is owned: an error below drops and thereby ends it.
        let watched = started.pidfd.try_clone().map_err(Error::system("duplicate a pidfd"))?;
        let instance = Container::new(started.pid, started.pidfd, cgroup, service);
        self.watch
            .add(Source::Channel(outside.into()), events.clone())
            .and_then(|()| self.watch.add(Source::Exit(watched), events))
            .map_err(Error::system("watch a container"))?;
        Ok(Box::new(instance))
    }
}

#[cfg(test)]
mod tests;
