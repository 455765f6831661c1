//! The `container` backend: namespaces, cgroups and pivot_root, straight on the kernel.
//!
//! What a container is to be is a [`setup::Setup`], [`Compiled`] once per run. A start makes one
//! child with clone3(2), which shares this program's memory until it executes: it joins its cgroups,
//! makes its namespaces, waits until its user map is written, arranges its own file system, gives
//! up what it must not keep and becomes the program. No other process is started for it.

mod aside;
mod child;
mod compiled;
mod device;
mod hidden;
mod identity;
mod idmap;
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
mod seccomp;
pub mod setup;
mod standard;
mod supervise;
mod syscall;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
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
        let maps = standard::maps();
        let files = image.rootfs.as_deref().map(|folder| Files::of(folder, &context.state_dir, &maps));
        let rootfs = files.as_ref().map(Files::path);
        Ok(Arc::new(PreparedContainer {
            watch: context.watch.clone(),
            run: context.run_id.clone(),
            hierarchies: Hierarchies::of_host()?,
            null: null.map_err(Error::system("open /dev/null"))?.into(),
            compiled: Compiled::new(&standard::setup(rootfs))?,
            files,
            image: image.digest.clone(),
        }))
    }
}

struct PreparedContainer {
    watch: Arc<Watch>,
    run: String,
    hierarchies: Hierarchies,
    null: OwnedFd,
    files: Option<Files>,
    compiled: Compiled,
    image: String,
}

/// The image's files as containers see them.
enum Files {
    /// With their owners mapped to the ids inside.
    Mapped(idmap::Mapped),
    /// As they are, because that is not possible here.
    Plain { folder: PathBuf, why: String },
}

impl Files {
    fn of(folder: &Path, state: &Path, maps: &setup::IdMaps) -> Files {
        match idmap::Mapped::mount(folder, state, maps) {
            Ok(mapped) => Files::Mapped(mapped),
            Err(error) => Files::Plain { folder: folder.to_owned(), why: error.to_string() },
        }
    }

    fn path(&self) -> &Path {
        match self {
            Files::Mapped(mapped) => mapped.path(),
            Files::Plain { folder, .. } => folder,
        }
    }

    fn owners(&self) -> String {
        match self {
            Files::Mapped(_) => "those of the image, through an id-mapped mount".into(),
            Files::Plain { why, .. } => format!("nobody inside, where they are ids of the host ({why})"),
        }
    }
}

impl Prepared for PreparedContainer {
    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "backend": "container",
            "image": self.image,
            "namespaces": ["pid", "net", "uts", "mount", "ipc", "user", "cgroup"],
            "id_map": format!("{} {} {}", standard::MAP.inside, standard::MAP.outside, standard::MAP.count),
            "cgroup": self.hierarchies.mode().to_string(),
            "owners": self.files.as_ref().map(Files::owners),
            "rootfs": if self.files.is_some() { "overlay: image below, tmpfs above" } else { "tmpfs, read-only" },
            "mounts": ["/proc", "/sys (read-only)", "/dev (tmpfs)", "/dev/pts", "/dev/shm", "/dev/mqueue"],
            "masked": standard::MASKED,
            "read_only": standard::READ_ONLY,
            "capabilities": standard::KEPT_CAPABILITIES,
            "no_new_privs": true,
            "seccomp": "default profile: a closed set of calls; mounts, namespaces, modules, keys, clocks, tracing refused",
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
        let instance = Container::new(started.pid, started.pidfd, Some(cgroup), service);
        self.watch
            .add(Source::Channel(outside.into()), events.clone())
            .and_then(|()| self.watch.add(Source::Exit(watched), events))
            .map_err(Error::system("watch a container"))?;
        Ok(Box::new(instance))
    }
}

#[cfg(test)]
mod tests;
