//! The `container` backend: namespaces, cgroups and pivot_root, straight on the kernel.
//!
//! What a container is to be is a [`setup::Setup`], [`Compiled`] once per run. A start makes one
//! child with clone3(2), which shares this program's memory until it executes: it joins its cgroups,
//! makes its namespaces, waits until its user map is written, arranges its own file system, gives
//! up what it must not keep and becomes the program. No other process is started for it.

mod child;
mod compiled;
mod device;
mod hidden;
mod identity;
mod instance;
mod launch;
mod loopback;
mod mount;
mod namespace;
mod partner;
mod place;
mod privilege;
mod process;
mod report;
mod root;
pub mod setup;
mod standard;
mod supervise;
mod syscall;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::cgroup::{Cgroup, Hierarchies, Mode};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::watch::{Source, Watch};
use crate::{Backend, Error, Instance, LaunchSpec, Prepared, Requirement, RunContext, Workload};
pub use compiled::Compiled;
use instance::Container;
pub use launch::{Launch, Started};

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
        Ok(Arc::new(PreparedContainer {
            watch: context.watch.clone(),
            run: context.run_id.clone(),
            hierarchies: Hierarchies::of_host()?,
            null: null.map_err(Error::system("open /dev/null"))?.into(),
            has_files: image.rootfs.is_some(),
            compiled: Compiled::new(&standard::setup(image.rootfs.as_deref()))?,
            image: image.digest.clone(),
        }))
    }
}

struct PreparedContainer {
    watch: Arc<Watch>,
    run: String,
    hierarchies: Hierarchies,
    null: OwnedFd,
    has_files: bool,
    compiled: Compiled,
    image: String,
}

impl Prepared for PreparedContainer {
    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "backend": "container",
            "image": self.image,
            "namespaces": ["pid", "net", "uts", "mount", "ipc", "user", "cgroup"],
            "id_map": format!("{} {} {}", standard::MAP.inside, standard::MAP.outside, standard::MAP.count),
            "cgroup": self.hierarchies.mode().to_string(),
            "rootfs": if self.has_files { "overlay: image below, tmpfs above" } else { "tmpfs, read-only" },
            "mounts": ["/proc", "/sys (read-only)", "/dev (tmpfs)", "/dev/pts", "/dev/shm", "/dev/mqueue"],
            "masked": standard::MASKED,
            "read_only": standard::READ_ONLY,
            "capabilities": standard::KEPT_CAPABILITIES,
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
        let entrance = cgroup.entrance()?;
        let plan = place::cstring(plan.to_word())?;
        let started = self.compiled.start(&Launch {
            program: Some(crate::guest_program()?),
            args: Some(vec![c"guest".into(), c"fd:3".into(), plan]),
            fds: &fds,
            hostname: Some(hostname.get(..hostname.len().min(64)).unwrap_or_default()),
            entrance: Some(&entrance),
            gate: None,
            before_root: None,
            ends_with_parent: true,
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
