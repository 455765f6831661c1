//! A container backend made ready for one image.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mount::{OpenTreeFlags, open_tree};

use super::behalf::User;
use super::copied::{Copies, is_refusal};
use super::idmap::Mapped;
use super::instance::Container;
use super::mechanism::Mechanism;
use super::mount::{no_attributes, set_attributes};
use super::reach::{Reach, Service};
use super::setup::{IdMaps, Namespace, Namespaces, Setup};
use super::syscall::Errno;
use super::{Compiled, Launch, place, root, setup, standard};
use crate::cgroup::{Cgroup, Hierarchies};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::network::{Bridge, Kind};
use crate::watch::{Source, Watch};
use crate::{Error, Instance, LaunchSpec, Limits, Prepared, RunContext, scratch};

/// What all instances of a run share.
pub(super) struct PreparedContainer {
    backend: String,
    watch: Arc<Watch>,
    run: String,
    scratch: PathBuf,
    groups: Groups,
    /// Whom they are started for, where that is not whom this program runs as.
    user: Option<User>,
    null: OwnedFd,
    files: Option<Files>,
    /// In place of an overlay of those, where the kernel refuses it.
    copies: Option<Copies>,
    maps: IdMaps,
    compiled: Compiled,
    network: Kind,
    bridge: Option<Arc<Bridge>>,
    /// Whether the host name is its own to set.
    names_itself: bool,
    /// Those of its own, for the record.
    namespaces: Vec<&'static str>,
    /// What has been left out of the standard.
    without: Vec<Mechanism>,
    image: String,
}

/// What a backend has for its containers beside the setup.
pub(super) struct Means {
    /// The image's files.
    pub(super) files: Option<Files>,
    /// Their cgroups.
    pub(super) groups: Groups,
    /// Whom they are started for, where that is not whom this program runs as.
    pub(super) user: Option<User>,
    /// What has been left out of the standard.
    pub(super) without: Vec<Mechanism>,
}

/// Where the instances' cgroups are made.
pub(super) enum Groups {
    /// Here.
    Of(Hierarchies),
    /// Nowhere, because.
    None(String),
}

impl PreparedContainer {
    /// Sets what of `setup` is the run's.
    ///
    /// # Errors
    /// What cannot be carried out, by name.
    pub(super) fn new(
        backend: String,
        context: &RunContext,
        image: &Image,
        setup: &mut Setup,
        means: Means,
    ) -> Result<PreparedContainer, Error> {
        let Means { files, groups, user, without } = means;
        crate::guest_program()?;
        let is_own = setup.namespaces.network == Namespace::New;
        // Who is in the host's network has what that has.
        let bridge = if is_own { context.network.bridge()? } else { None };
        setup.loopback = is_own && context.network.kind() != Kind::None;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        Ok(PreparedContainer {
            backend,
            watch: context.watch.clone(),
            run: context.run_id.clone(),
            scratch: context.cache_dir.clone(),
            groups,
            user,
            null: null.map_err(Error::system("open /dev/null"))?.into(),
            compiled: Compiled::new(setup)?,
            names_itself: setup.namespaces.uts == Namespace::New,
            namespaces: names(&setup.namespaces),
            without,
            maps: setup.id_maps.clone().unwrap_or_default(),
            files,
            copies: None,
            network: context.network.kind(),
            bridge,
            image: image.digest.clone(),
        })
    }

    /// What the kernel says where it does not mount the overlay of a container; found by starting one.
    ///
    /// # Errors
    /// Where its files cannot be handed to it.
    pub(super) fn refused_overlay(&self) -> Result<Option<std::io::Error>, Error> {
        let (null, trees) = (self.null.as_fd(), self.trees()?);
        let trees: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
        let launch = Launch {
            program: Some(crate::guest_program()?),
            args: Some(vec![c"guest".into()]),
            fds: &[null, null, null],
            trees: &trees,
            hostname: None,
            entrance: None,
            gate: None,
            before_root: None,
            ends_with_parent: true,
        };
        let started = match self.user {
            Some(user) => user.carry_out(|| self.compiled.start(&launch))?,
            None => self.compiled.start(&launch),
        };
        Ok(match started {
            Ok(started) => {
                drop(Container::new(started.pid, started.pidfd, None, Service::None));
                None
            }
            Err(Error::System { action, source }) if action == root::ACTION && is_refusal(&source) => {
                Some(source)
            }
            // Each attempt will tell.
            Err(_) => None,
        })
    }

    /// Gives each container a copy of the image.
    pub(super) fn copy_instead(&mut self, copies: Copies) {
        self.files = None;
        self.copies = Some(copies);
    }

    fn group(&self, spec: &LaunchSpec) -> Result<Option<Cgroup>, Error> {
        let mut spec = spec.clone();
        self.without.iter().for_each(|mechanism| mechanism.unlimit(&mut spec.limits));
        match &self.groups {
            Groups::Of(hierarchies) => {
                Cgroup::create(hierarchies, &self.run, &spec.name.to_string(), &spec.limits).map(Some)
            }
            Groups::None(_) => {
                self.cannot_hold(&spec.limits).map_or(Ok(None), |why| Err(Error::Invalid(why)))
            }
        }
    }
}

impl PreparedContainer {
    /// The image's files for a child that may not search the folders above them.
    fn trees(&self) -> Result<Option<OwnedFd>, Error> {
        let files = self.files.as_ref().filter(|_| self.user.is_some());
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let copied = files.map(|files| {
            let refused = Error::system(format!("copy the mount of {}", files.path().display()));
            let tree = open_tree(rustix::fs::CWD, files.path(), flags).map_err(refused)?;
            // A copy of a shared mount is its peer: what the child mounts on it would show on the host.
            let attributes = libc::mount_attr { propagation: libc::MS_PRIVATE, ..no_attributes() };
            // SAFETY: attributes and a descriptor that live through the call.
            let parted = unsafe { set_attributes(tree.as_raw_fd() as usize, &attributes, setup::Reach::One) };
            parted.map_err(|Errno(errno)| {
                let source = std::io::Error::from_raw_os_error(errno);
                Error::System { action: format!("part the copy of {}", files.path().display()), source }
            })?;
            Ok(tree)
        });
        copied.transpose()
    }
}

/// The image's files as containers see them.
pub(super) enum Files {
    /// With their owners mapped to the ids inside.
    Mapped(Mapped),
    /// As they are, because that is not possible here.
    Plain { folder: PathBuf, why: String },
}

impl Files {
    pub(super) fn mapped(folder: &Path, state: &Path, maps: &IdMaps) -> Files {
        match Mapped::mount(folder, state, maps) {
            Ok(mapped) => Files::Mapped(mapped),
            Err(error) => Files::Plain { folder: folder.to_owned(), why: error.to_string() },
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Files::Mapped(mapped) => mapped.path(),
            Files::Plain { folder, .. } => folder,
        }
    }

    fn owners(&self) -> String {
        match self {
            Files::Mapped(_) => "those of the image, through an id-mapped mount".into(),
            Files::Plain { why, .. } => format!("as the ids of the host are mapped, else nobody's ({why})"),
        }
    }
}

/// The kinds that are new.
fn names(namespaces: &Namespaces) -> Vec<&'static str> {
    let kinds = [
        ("pid", &namespaces.pid),
        ("net", &namespaces.network),
        ("uts", &namespaces.uts),
        ("mount", &namespaces.mount),
        ("ipc", &namespaces.ipc),
        ("user", &namespaces.user),
        ("cgroup", &namespaces.cgroup),
        ("time", &namespaces.time),
    ];
    kinds.into_iter().filter(|(_, kind)| **kind == Namespace::New).map(|(name, _)| name).collect()
}

fn lines(ranges: &[super::setup::IdRange]) -> Vec<String> {
    ranges.iter().map(|range| format!("{} {} {}", range.inside, range.outside, range.count)).collect()
}

impl Prepared for PreparedContainer {
    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "backend": self.backend,
            "user": match &self.user {
                Some(user) => user.described(),
                None => format!("user id {}, as this program", rustix::process::geteuid().as_raw()),
            },
            "image": self.image,
            "namespaces": self.namespaces,
            "id_maps": { "users": lines(&self.maps.uids), "groups": lines(&self.maps.gids) },
            "cgroup": match &self.groups {
                Groups::Of(hierarchies) => hierarchies.mode().to_string(),
                Groups::None(why) => format!("none: {why}"),
            },
            "owners": match &self.copies {
                Some(copies) => Some(copies.owners().into()),
                None => self.files.as_ref().map(Files::owners),
            },
            "rootfs": match (&self.copies, &self.files) {
                (Some(copies), _) => copies.describe(),
                (None, Some(_)) => "overlay: image below, tmpfs above".into(),
                (None, None) => "tmpfs, read-only".into(),
            },
            "mounts": ["/proc", "/sys (read-only)", "/dev (tmpfs)", "/dev/pts", "/dev/shm", "/dev/mqueue"],
            "masked": standard::MASKED,
            "read_only": standard::READ_ONLY,
            "capabilities": standard::KEPT_CAPABILITIES.map(|(_, name)| name),
            "no_new_privs": true,
            "seccomp": "default profile: a closed set of calls; mounts, namespaces, modules, keys, clocks, tracing refused",
            "network": match self.network {
                Kind::None => "none",
                Kind::Loopback => "loopback; for http a listening socket of the host's loopback is inherited",
                Kind::Bridge => "veth to the run's bridge, an address of its own",
            },
        })
    }

    fn remark(&self) -> Option<String> {
        self.copies.as_ref().map(|copies| format!("rootfs: {}", copies.describe()))
    }

    fn cannot_hold(&self, limits: &Limits) -> Option<String> {
        let Groups::None(why) = &self.groups else { return None };
        // Accounting is given up where there is no group; a limit never is.
        let asked = Limits { account_memory: false, ..limits.clone() } != Limits::default();
        asked.then(|| format!("limits cannot be held here: {why}"))
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        events.send(now_ns(), Event::Mark("cgroup"));
        let cgroup = self.group(spec)?;
        let copied = self.copies.as_ref().map(|copies| {
            events.send(now_ns(), Event::Mark("copy"));
            copies.of_instance(&spec.name)
        });
        let (copied, own) = copied.transpose()?.unzip();
        let compiled = own.as_ref().unwrap_or(&self.compiled);
        let (inside, outside) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        let mut plan = spec.plan.clone();
        let reach = Reach::new(self.network, self.bridge.as_ref(), &mut plan)?;
        plan.inherited_file = plan.workload.writes_to_storage();
        let file = plan.inherited_file.then(|| scratch::open(&self.scratch)).transpose()?;
        let null = self.null.as_fd();
        let mut fds = vec![null, null, null, inside.as_fd()];
        fds.extend(reach.inherited());
        fds.extend(file.as_ref().map(|file| file.as_fd()));
        let hostname = format!("{}-{}", self.run, spec.name);
        events.send(now_ns(), Event::Mark("clone"));
        let entrance = cgroup.as_ref().map(Cgroup::entrance).transpose()?;
        let plan = place::cstring(plan.to_word())?;
        let plugged_ns = AtomicU64::new(0);
        let plug = reach.port().map(|port| {
            let plugged_ns = &plugged_ns;
            move |pid| {
                plugged_ns.store(now_ns(), Ordering::Relaxed);
                port.plug_into(pid)
            }
        });
        let trees = self.trees()?;
        let trees: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
        let launch = Launch {
            program: Some(match self.without.contains(&Mechanism::SealedProgram) {
                true => crate::program::unsealed_guest_program()?,
                false => crate::guest_program()?,
            }),
            args: Some(vec![c"guest".into(), c"fd:3".into(), plan]),
            fds: &fds,
            trees: &trees,
            hostname: self.names_itself.then(|| hostname.get(..hostname.len().min(64)).unwrap_or_default()),
            entrance: entrance.as_ref(),
            gate: None,
            before_root: plug.as_ref().map(|plug| plug as &(dyn Fn(i32) -> Result<(), Error> + Sync)),
            ends_with_parent: true,
        };
        let started = match self.user {
            Some(user) => user.carry_out_beside(|| compiled.start(&launch))?,
            None => compiled.start(&launch),
        }?;
        let mut marks = started.marks;
        let plugged_ns = plugged_ns.into_inner();
        if plugged_ns > 0 {
            marks.push(("network", plugged_ns));
            marks.sort_by_key(|(_, at_ns)| *at_ns);
        }
        for (phase, at_ns) in marks {
            events.send(at_ns, Event::Mark(phase));
        }
        // From here on the instance is owned: an error below drops and thereby ends it.
        let watched = started.pidfd.try_clone().map_err(Error::system("duplicate a pidfd"))?;
        let instance = Container::new(started.pid, started.pidfd, cgroup, reach.into_service()).with(copied);
        self.watch
            .add(Source::Channel(outside.into()), events.clone())
            .and_then(|()| self.watch.add(Source::Exit(watched), events))
            .map_err(Error::system("watch a container"))?;
        Ok(Box::new(instance))
    }
}
