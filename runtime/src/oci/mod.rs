//! `oci:NAME`: the same image and guest program through an installed OCI runtime's command line.
//!
//! One `run` per instance, in the foreground: the runtime's process stays until the container ends,
//! as it does for a user at a shell, and its end is the container's. Bundles and state are on a
//! [`stage`] that only the runtimes see.

mod bubblewrap;
mod bundle;
mod command;
mod instance;
mod profile;
mod rootfs;
mod stage;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::cgroup::{Hierarchies, TOP};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::spawn::{Elsewhere, spawn_elsewhere};
use crate::watch::{OnLine, Source, Watch};
use crate::{Backend, Error, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, Workload};
use bundle::{Contents, MAP_COUNT, MAP_FIRST};
use command::Done;
use instance::{Container, Parts};
use profile::{Profile, Wanted, Way};
use rootfs::Rootfs;
use stage::Stage;

pub use profile::names;

/// The runtimes' state, below the stage's root.
const STATE: &str = "state";
/// Most bytes of a runtime's output that are passed on.
const LOG_BYTES: usize = 1024 * 1024;

/// `oci:NAME`.
pub struct OciBackend {
    wanted: Wanted,
}

impl OciBackend {
    /// The runtime called `name`, at `path` or wherever PATH has it.
    pub fn new(name: &str, path: Option<PathBuf>) -> OciBackend {
        OciBackend { wanted: Wanted { name: name.into(), path } }
    }
}

impl OciBackend {
    /// The runtime of `NAME=PATH`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn from_word(word: &str) -> Result<OciBackend, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match word.split_once('=') {
            Some((name, path)) if !name.is_empty() && name.bytes().all(allowed) && !path.is_empty() => {
                Ok(OciBackend::new(name, Some(path.into())))
            }
            _ => Err(format!("{word:?} is no NAME=PATH of a runtime, as in mine=/usr/local/bin/crun")),
        }
    }
}

impl Backend for OciBackend {
    fn id(&self) -> String {
        format!("oci:{}", self.wanted.name)
    }

    fn description(&self) -> &'static str {
        "the same container through an OCI runtime's command line"
    }

    fn requirements(&self) -> Vec<Requirement> {
        let root = rustix::process::geteuid().is_root();
        vec![
            self.wanted.requirement(),
            Requirement {
                what: "root".into(),
                state: if root { Ok("user id 0".into()) } else { Err("not running as root".into()) },
                fix: (!root).then(|| "run it with sudo".into()),
            },
        ]
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        context.network.require_loopback(&self.id())?;
        let profile = self.wanted.find()?;
        let covers_controllers = profile.makes_cgroups && stage::is_hybrid_with_v2_controllers();
        let place = context.state_dir.parent().unwrap_or(Path::new("/run"));
        let stage = Stage::new(&context.run_id, place, covers_controllers)?;
        stage.make(STATE)?;
        let rootfs = Rootfs::new(&stage, image, profile.maps_ids)?;
        let null = fs::File::options().read(true).write(true).open("/dev/null");
        Ok(Arc::new(PreparedOci(Arc::new(Runtime {
            state: text(&stage.inside(STATE))?,
            covers_controllers,
            profile,
            stage,
            rootfs,
            run: context.run_id.clone(),
            image: image.digest.clone(),
            hierarchies: Hierarchies::of_host()?,
            watch: context.watch.clone(),
            null: null.map_err(Error::system("open /dev/null"))?.into(),
        }))))
    }
}

struct PreparedOci(Arc<Runtime>);

/// The namespaces of its bundles, as the results name them.
fn namespaces(profile: &Profile) -> String {
    let time = if profile.offsets_time { " time" } else { "" };
    match profile.maps_ids {
        true => format!("pid net uts mount ipc cgroup user{time}"),
        false => format!("pid net uts mount ipc cgroup{time}; no user namespace of the bundle's"),
    }
}

/// A runtime with all it needs.
struct Runtime {
    profile: Profile,
    stage: Stage,
    state: String,
    rootfs: Rootfs,
    covers_controllers: bool,
    run: String,
    image: String,
    hierarchies: Hierarchies,
    watch: Arc<Watch>,
    null: OwnedFd,
}

impl Prepared for PreparedOci {
    fn config(&self) -> serde_json::Value {
        let Runtime { profile, rootfs, covers_controllers, hierarchies, image, .. } = &*self.0;
        let descriptor = profile.way == Way::Descriptor;
        json!({
            "backend": format!("oci:{}", profile.name),
            "image": image,
            "version": profile.version,
            "program": profile.path,
            "command": self.0.words("run", &Workload::Ready, "BUNDLE", "ID").join(" "),
            "start": "bundle written, runtime's `run` in the foreground; all of it is measured",
            "way_of_ready": if descriptor { "a socket passed as descriptor 3" } else { "standard output; the clock inside is not the host's, so no stamping delay is known" },
            "namespaces": namespaces(profile),
            "id_map": profile.maps_ids.then(|| format!("0 {MAP_FIRST} {MAP_COUNT}")),
            "rootfs": rootfs.describe(),
            "cgroup": if profile.makes_cgroups { hierarchies.mode().to_string() } else { "none: told to ignore them".into() },
            "v2_controllers_hidden": covers_controllers,
            "seccomp": match profile.filters_calls {
                Some(true) => "the profile of our own containers, as the bundle's",
                Some(false) => "none: the bundle has the profile of our own containers, and this build of the runtime cannot filter and leaves it out",
                None => "the profile of our own containers, as the bundle's; the runtime does not tell whether its build can filter",
            },
            "capabilities": "those of our own containers",
            "no_new_privs": true,
            "network": if descriptor { "loopback; for http a listening socket of the host's loopback is inherited" } else { "none; for http the host's, since no listening socket can be passed" },
            "memory": "of the container's processes and of the runtime's own that stay with it",
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        events.send(now_ns(), Event::Mark("bundle"));
        let runtime = &self.0;
        if !runtime.profile.makes_cgroups && spec.limits != Limits::default() {
            return Err(Error::Invalid(format!(
                "{} runs without cgroups here and cannot limit anything: ask for no limits, or leave it out",
                runtime.profile.name
            )));
        }
        if !bundle::can_say(&spec.limits) {
            return Err(Error::Invalid(
                "limits beyond memory, swap, processors and processes are for container alone: leave oci out"
                    .into(),
            ));
        }
        let name = spec.name.to_string();
        let parts = runtime.parts(&name);
        match begin(runtime, spec, &name, &events) {
            Ok(begun) => {
                let watched = begun.pidfd.try_clone();
                // From here on the instance is owned: an error below drops and thereby ends it.
                let instance = Container {
                    runtime: runtime.clone(),
                    id: runtime.container_id(&name),
                    pid: crate::pidfd::pid(begun.pidfd.as_fd()).unwrap_or(0),
                    pidfd: begun.pidfd,
                    service: begun.service,
                    uses_host_network: runtime.uses_host_network(&spec.plan.workload),
                    parts,
                    ended: false,
                };
                runtime
                    .watch
                    .add(begun.told, events.clone())
                    .and_then(|()| runtime.watch.add(begun.said, events.clone()))
                    .and_then(|()| runtime.watch.add(Source::Exit(watched?), events))
                    .map_err(Error::system("watch a runtime"))?;
                Ok(Box::new(instance))
            }
            Err(error) => {
                let _ = runtime.clear(&parts);
                Err(error)
            }
        }
    }
}

/// What a runtime that was started leaves in our hands.
struct Begun {
    pidfd: OwnedFd,
    service: Option<std::net::SocketAddr>,
    told: Source,
    said: Source,
}

/// Writes the bundle and starts the runtime.
fn begin(runtime: &Runtime, spec: &LaunchSpec, name: &str, events: &EventSink) -> Result<Begun, Error> {
    let mut plan = spec.plan.clone();
    let by_descriptor = runtime.profile.way == Way::Descriptor;
    let listener = (by_descriptor && plan.workload == Workload::Http)
        .then(|| TcpListener::bind("127.0.0.1:0"))
        .transpose()
        .map_err(Error::system("listen on the host's loopback for a container"))?;
    plan.inherited_listener = listener.is_some();
    let service = listener.as_ref().map(|listener| listener.local_addr()).transpose();
    let service = service.map_err(Error::system("read a listener's address"))?;

    let bundle = runtime.stage.make(&bundle_folder(name))?;
    let rootfs = runtime.rootfs.of_instance(&runtime.stage, name)?;
    let id = runtime.container_id(name);
    let config = bundle::config(&Contents {
        rootfs: &text(&rootfs)?,
        writable: runtime.rootfs.is_image(),
        program: runtime.rootfs.program().as_deref(),
        plan: &plan.to_word(),
        way: runtime.profile.way,
        maps_ids: runtime.profile.maps_ids,
        offsets_time: runtime.profile.offsets_time,
        own_network: !runtime.uses_host_network(&plan.workload),
        hostname: id.get(..id.len().min(64)).unwrap_or_default(),
        cgroup: runtime.profile.makes_cgroups.then(|| runtime.cgroup_path(name)).as_deref(),
        limits: &spec.limits,
    });
    let path = bundle.join("config.json");
    fs::write(&path, config.to_string()).map_err(Error::system(format!("write {}", path.display())))?;

    let (inside, outside) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
    let (output, output_in) = command::pipe()?;
    let null = runtime.null.as_fd();
    let mut fds = match runtime.profile.way {
        Way::Descriptor => vec![null, output_in.as_fd(), output_in.as_fd(), inside.as_fd()],
        Way::Output => vec![null, inside.as_fd(), output_in.as_fd()],
    };
    fds.extend(listener.as_ref().map(|listener| listener.as_fd()));
    let inside_bundle = text(&runtime.stage.inside(bundle_folder(name)))?;
    let filter = if runtime.profile.reads_bundle { None } else { Some(filter()?) };
    let words = match &filter {
        None => runtime.words("run", &plan.workload, &inside_bundle, &id),
        Some(_) => bubblewrap::words(&config, fds.len()),
    };
    fds.extend(filter.as_ref().map(|filter| filter.as_fd()));
    events.send(now_ns(), Event::Mark("runtime"));
    let pidfd = runtime.spawn(&words, &fds)?;
    Ok(Begun {
        pidfd,
        service,
        told: Source::Channel(outside.into()),
        said: Source::Lines { fd: output, on_line: log(&runtime.profile.name, events.clone()) },
    })
}

/// The filter of system calls of our own containers, to be read from the beginning.
fn filter() -> Result<File, Error> {
    let mut file = rustix::fs::memfd_create("filter", rustix::fs::MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|errno| Error::system("make a file in memory")(std::io::Error::from(errno)))?;
    file.write_all(&crate::container::compiled_filter())
        .and_then(|()| file.rewind())
        .map_err(Error::system("write a filter of system calls"))?;
    Ok(file)
}

fn bundle_folder(name: &str) -> String {
    format!("bundles/{name}")
}

impl Runtime {
    /// The words of a `run` of this runtime.
    fn words(&self, action: &str, workload: &Workload, bundle: &str, id: &str) -> Vec<String> {
        let mut words = vec![self.profile.name.clone()];
        words.extend(self.profile.flags.iter().cloned());
        if self.profile.way == Way::Output {
            words.push(
                if self.uses_host_network(workload) { "--network=host" } else { "--network=none" }.into(),
            );
        }
        words.extend(["--root", &self.state, action, "--bundle", bundle].map(str::to_owned));
        if self.profile.way == Way::Descriptor {
            let fds = if *workload == Workload::Http { "2" } else { "1" };
            words.extend(["--preserve-fds", fds].map(str::to_owned));
        }
        words.push(id.into());
        words
    }

    /// Where no listening socket can be passed, a service is reached through the host's network.
    fn uses_host_network(&self, workload: &Workload) -> bool {
        self.profile.way == Way::Output && *workload == Workload::Http
    }

    /// Starts the runtime on the stage.
    fn spawn(&self, words: &[String], fds: &[BorrowedFd<'_>]) -> Result<OwnedFd, Error> {
        let argv: Result<Vec<CString>, _> = words.iter().map(|word| CString::new(word.as_str())).collect();
        spawn_elsewhere(&Elsewhere {
            mounts: self.stage.namespace(),
            path: &self.profile.program,
            argv: &argv.map_err(|error| Error::Invalid(error.to_string()))?,
            env: &[c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            fds,
        })
        .map_err(Error::system(format!("start {}", self.profile.path.display())))
    }

    /// Carries out another command of the runtime to its end.
    fn carry_out(&self, arguments: &[&str], timeout: Duration) -> Result<Done, Error> {
        let mut words = vec![self.profile.name.clone()];
        words.extend(self.profile.flags.iter().cloned());
        words.extend(["--root", &self.state].map(str::to_owned));
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let (output, output_in) = command::pipe()?;
        let null = self.null.as_fd();
        let pidfd = self.spawn(&words, &[null, output_in.as_fd(), output_in.as_fd()])?;
        drop(output_in);
        let pid = crate::pidfd::pid(pidfd.as_fd())?;
        command::finish(pidfd.as_fd(), pid, &output, timeout, &words.join(" "))
    }

    fn container_id(&self, name: &str) -> String {
        format!("{}-{name}", self.run)
    }

    /// Of an instance, below every hierarchy's root.
    fn cgroup_path(&self, name: &str) -> String {
        format!("/{TOP}/{}/{name}", self.run)
    }

    fn parts(&self, name: &str) -> Parts {
        let below = self.cgroup_path(name);
        let roots = if self.profile.makes_cgroups { self.hierarchies.roots() } else { Vec::new() };
        Parts {
            folder: self.stage.outside(bundle_folder(name)),
            mount: self.rootfs.mount_of(&self.stage, name),
            cgroups: roots.into_iter().map(|root| root.join(below.trim_start_matches('/'))).collect(),
        }
    }

    /// Whether the runtime has state of the container.
    fn knows(&self, id: &str) -> bool {
        self.stage.outside(STATE).join(id).exists()
    }

    /// Removes the runtime's state of the container.
    fn forget(&self, id: &str) {
        let _ = fs::remove_dir_all(self.stage.outside(STATE).join(id));
    }

    /// Unmounts and removes what an instance has on the stage.
    fn clear(&self, parts: &Parts) -> Result<(), Error> {
        if let Some(mount) = parts.mount.clone() {
            self.stage.act(move || rootfs::unmount(&mount))?;
        }
        match fs::remove_dir_all(&parts.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::system(format!("remove {}", parts.folder.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// What the container's memory cgroup is charged with.
    fn charged_bytes(&self, parts: &Parts) -> Option<u64> {
        let files = ["memory.current", "memory.usage_in_bytes"];
        let texts = parts.cgroups.iter().flat_map(|cgroup| files.map(|file| cgroup.join(file)));
        texts.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).next()
    }
}

/// Passes on what a runtime says, within bounds.
fn log(name: &str, events: EventSink) -> OnLine {
    let name = name.to_owned();
    let mut left = LOG_BYTES;
    Box::new(move |at_ns, line| {
        if left == 0 {
            return;
        }
        left = left.saturating_sub(line.len() + 1);
        let text = if left == 0 {
            format!("{name}: more than {LOG_BYTES} bytes of output: the rest is dropped")
        } else {
            format!("{name}: {}", String::from_utf8_lossy(line))
        };
        events.send(at_ns, Event::Log(text));
    })
}

fn text(path: &Path) -> Result<String, Error> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::Invalid(format!("{} is not UTF-8, which a bundle must be", path.display())))
}
