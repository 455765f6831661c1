//! `engine:cri`: the Container Runtime Interface, as kubelet speaks it to containerd and CRI-O.
//!
//! Every instance is a pod of its own with one container, on the host's network: no CNI plugin is needed.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::archive::{self, Archive, PROGRAM};
use super::container::{self, Ending, FirstProcess};
use super::docker::LABEL;
use super::grpc::Grpc;
use super::ledger;
use super::message::*;
use super::rendezvous::{self, INSIDE, Rendezvous};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::watch::Watch;
use crate::{Backend, Error, Exit, Footprint, Instance, LaunchSpec, Prepared, Requirement, RunContext};

/// The services of version v1.
const RUNTIME: &str = "runtime.v1.RuntimeService";
const IMAGE: &str = "runtime.v1.ImageService";
/// Where engines are looked for: containerd's and CRI-O's own places.
const SOCKETS: [&str; 2] = ["/run/containerd/containerd.sock", "/var/run/crio/crio.sock"];
/// As kubelet's tools have it.
const VARIABLE: &str = "CONTAINER_RUNTIME_ENDPOINT";
const FIX: &str = "apt-get install containerd && systemctl start containerd, or set CONTAINER_RUNTIME_ENDPOINT to unix:///var/run/crio/crio.sock or the like";
/// How long an imported image may take to be known.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the engine may take to notice a container's end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Period of CPU quotas in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// Lines of a container's output that are kept for its end.
const LOG_LINES: usize = 5;

/// `engine:cri`.
pub struct CriBackend;

fn socket() -> Result<PathBuf, Error> {
    match std::env::var(VARIABLE) {
        Ok(address) => Ok(address.strip_prefix("unix://").unwrap_or(&address).into()),
        Err(_) => SOCKETS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
            Error::Missing { what: format!("there is none of {}", SOCKETS.join(", ")), fix: None }
        }),
    }
}

fn connect() -> Result<(Grpc, String), Error> {
    let grpc = Grpc::connect(&socket()?)?;
    let asked: VersionResponse =
        grpc.call(&format!("{RUNTIME}/Version"), &VersionRequest { version: "v1".into() })?;
    Ok((grpc, format!("{} {}", asked.runtime_name, asked.runtime_version)))
}

impl Backend for CriBackend {
    fn id(&self) -> String {
        "engine:cri".into()
    }

    fn description(&self) -> &'static str {
        "the same image as a pod, through Kubernetes' Container Runtime Interface"
    }

    fn requirements(&self) -> Vec<Requirement> {
        let found = connect();
        vec![Requirement {
            what: "CRI engine".into(),
            fix: found.is_err().then(|| FIX.into()),
            state: found
                .map(|(grpc, version)| format!("{version} at {}", grpc.socket().display()))
                .map_err(|error| error.to_string()),
        }]
    }

    fn prepare(&self, context: &RunContext, image: &crate::image::Image) -> Result<Arc<dyn Prepared>, Error> {
        context.network.require_loopback(&self.id())?;
        let (grpc, version) = connect()?;
        // Also the pause container of engines that are told so, where no registry can be reached.
        let builtin = archive::of(context, &crate::image::Image::builtin(), true)?;
        load(&grpc, &builtin)?;
        let id = if image.rootfs.is_none() {
            builtin.id
        } else {
            let archive = archive::of(context, image, false)?;
            load(&grpc, &archive)?;
            archive.id
        };
        // Before the first pod: so that they are found again however this ends.
        ledger::note(&context.state_dir, "cri", grpc.socket())?;
        let program =
            image.rootfs.is_some().then(|| container::put_program(&context.state_dir)).transpose()?;
        Ok(Arc::new(PreparedCri {
            grpc,
            version,
            run: context.run_id.clone(),
            state_dir: context.state_dir.clone(),
            image: id,
            digest: image.digest.clone(),
            program,
            seccomp: container::put_profile(&context.state_dir)?,
            watch: context.watch.clone(),
        }))
    }
}

/// Brings an image in, where the engine does not have it. The interface has no way to do that but from a
/// registry, so containerd's own tool does.
fn load(grpc: &Grpc, archive: &Archive) -> Result<(), Error> {
    let has = || -> Result<bool, Error> {
        let request = ImageStatusRequest { image: Some(ImageSpec { image: archive.id.clone() }) };
        Ok(grpc.call::<ImageStatusResponse>(&format!("{IMAGE}/ImageStatus"), &request)?.image.is_some())
    };
    if has()? {
        return Ok(());
    }
    let file = archive.file.try_clone().map_err(Error::system("duplicate an archive"))?;
    let done = Command::new("ctr")
        .args(["--namespace", "k8s.io", "--address"])
        .arg(grpc.socket())
        .args(["images", "import", "-"])
        .stdin(Stdio::from(file))
        .output()
        .map_err(|error| Error::Missing {
            what: format!("the engine has no image {} and ctr cannot be run: {error}", archive.id),
            fix: Some("apt-get install containerd; for CRI-O: bench image export, then skopeo copy docker-archive:FILE containers-storage:NAME".into()),
        })?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(Error::Invalid(format!("ctr images import ended with {}: {}", done.status, said.trim())));
    }
    let deadline = Instant::now() + IMPORT_TIMEOUT;
    while !has()? {
        if Instant::now() > deadline {
            return Err(Error::Invalid(format!(
                "the engine does not know the image {} it has imported",
                archive.id
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

struct PreparedCri {
    grpc: Grpc,
    version: String,
    run: String,
    state_dir: PathBuf,
    image: String,
    digest: String,
    /// The guest program on the host, for images without one.
    program: Option<PathBuf>,
    /// The file of the profile of our own containers.
    seccomp: Option<PathBuf>,
    watch: Arc<Watch>,
}

impl PreparedCri {
    fn pod(&self, name: &str) -> PodConfig {
        let options = NamespaceOption { network: NODE, pid: CONTAINER };
        PodConfig {
            metadata: Some(PodMetadata {
                name: format!("{}-{name}", self.run),
                uid: format!("{}-{name}", self.run),
                namespace: "bench".into(),
            }),
            log_directory: self.state_dir.join("cri").to_string_lossy().into_owned(),
            labels: HashMap::from([(LABEL.to_owned(), self.run.clone())]),
            linux: Some(LinuxPod {
                security_context: Some(PodSecurity { namespace_options: Some(options) }),
            }),
        }
    }

    fn container(&self, spec: &LaunchSpec, folder: &Path) -> ContainerConfig {
        let mount = |inside: &str, outside: &Path| Mount {
            container_path: inside.into(),
            host_path: outside.to_string_lossy().into_owned(),
            readonly: true,
        };
        let mut mounts = vec![mount(INSIDE, folder)];
        mounts.extend(self.program.as_ref().map(|program| mount(PROGRAM, program)));
        let resources = Resources {
            cpu_period: spec.limits.cpus.map_or(0, |_| PERIOD_US as i64),
            cpu_quota: spec.limits.cpus.map_or(0, |cpus| (cpus * PERIOD_US as f64).round() as i64),
            memory_limit_in_bytes: spec.limits.memory_bytes.map_or(0, |bytes| bytes as i64),
        };
        let options = NamespaceOption { network: NODE, pid: CONTAINER };
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: "workload".into() }),
            image: Some(ImageSpec { image: self.image.clone() }),
            command: vec![PROGRAM.into()],
            args: vec![rendezvous::word(), spec.plan.to_word()],
            mounts,
            log_path: format!("{}.log", spec.name),
            linux: Some(LinuxContainer {
                resources: Some(resources),
                security_context: Some(ContainerSecurity::of_our_own(options, self.seccomp.as_deref())),
            }),
        }
    }
}

impl Prepared for PreparedCri {
    fn config(&self) -> Value {
        json!({
            "backend": "engine:cri",
            "image": self.digest,
            "engine": self.version,
            "start": "RunPodSandbox, CreateContainer, StartContainer; all three are measured, loading the image is not",
            "way_of_ready": "the guest connects to a socket in a folder mounted inside, as its first act",
            "namespaces": "pid, mount, ipc and uts of the pod's; no user namespace",
            "network": "the host's",
            "seccomp": "the profile of our own containers, as a file of the host",
            "capabilities": "those of our own containers",
            "memory": "of the pod's processes, its pause container included, and of the engine's shim of the pod",
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        events.send(now_ns(), Event::Mark("sandbox"));
        container::check_limits(&spec.limits)?;
        if spec.limits.pids.is_some() {
            return Err(Error::Invalid(
                "the interface has no limit of processes: ask for none, or leave engine:cri out".into(),
            ));
        }
        let name = spec.name.to_string();
        let meeting = Rendezvous::open(&self.state_dir.join("meeting"), &name, &self.watch, events.clone())?;
        let pod = self.pod(&name);
        let request = RunPodRequest { config: Some(pod.clone()), runtime_handler: String::new() };
        let made: PodId = self.grpc.call(&format!("{RUNTIME}/RunPodSandbox"), &request)?;
        // From here on the instance is owned: an error below drops and thereby ends it.
        let mut instance = Pod {
            grpc: self.grpc.clone(),
            pod: made.pod_sandbox_id,
            container: String::new(),
            pid: FirstProcess::default(),
            ending: Ending::default(),
            removed: false,
            _meeting: meeting,
        };
        events.send(now_ns(), Event::Mark("create"));
        let request = CreateContainerRequest {
            pod_sandbox_id: instance.pod.clone(),
            config: Some(self.container(spec, instance._meeting.folder())),
            sandbox_config: Some(pod),
        };
        let made: ContainerId = self.grpc.call(&format!("{RUNTIME}/CreateContainer"), &request)?;
        instance.container.clone_from(&made.container_id);
        events.send(now_ns(), Event::Mark("start"));
        let _: Nothing = self.grpc.call(&format!("{RUNTIME}/StartContainer"), &made)?;
        let log = self.state_dir.join("cri").join(format!("{name}.log"));
        instance.ending = await_end(&self.grpc, made.container_id, log, events);
        Ok(Box::new(instance))
    }
}

/// Tells of the container's end, with its last lines.
fn await_end(grpc: &Grpc, id: String, log: PathBuf, events: EventSink) -> Ending {
    let (ending, called_off) = Ending::new();
    let own = grpc.clone();
    grpc.background(async move {
        let over = async {
            // One that has ended already has no process.
            if let Some(pidfd) = pidfd_of(&own, &id).await? {
                // SAFETY: the descriptor is owned by what is made here and open as long as that is.
                let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
                let pidfd = pidfd.map_err(|error| Error::system("watch a process")(error.into_parts().1))?;
                let _ = pidfd.readable().await;
            }
            Ok::<_, Error>(now_ns())
        };
        let over = tokio::select! {
            over = over => over,
            _ = called_off => return,
        };
        let at_ns = match over {
            Ok(at_ns) => at_ns,
            Err(error) => return events.send(now_ns(), Event::Failed(error.to_string())),
        };
        for line in last_lines(&log) {
            events.send(at_ns, Event::Log(line));
        }
        match end_status(&own, &id).await {
            Ok(StatusResponse { status: Some(status), .. }) if status.state == EXITED => {
                if !status.message.is_empty() {
                    events.send(at_ns, Event::Log(format!("{}: {}", status.reason, status.message)));
                }
                events.send(at_ns, Event::Exited(Exit::Code(status.exit_code)));
            }
            Ok(_) => {
                events.send(at_ns, Event::Failed("the engine does not say how the container ended".into()))
            }
            Err(error) => events.send(at_ns, Event::Failed(error.to_string())),
        }
    });
    ending
}

/// The status once the engine knows of the end, which its process's end comes before.
async fn end_status(grpc: &Grpc, id: &str) -> Result<StatusResponse, Error> {
    let deadline = Instant::now() + END_TIMEOUT;
    loop {
        let asked = status(grpc, id, false).await?;
        let is_told = asked.status.as_ref().is_some_and(|status| status.state == EXITED);
        if is_told || Instant::now() > deadline {
            return Ok(asked);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn status(grpc: &Grpc, id: &str, verbose: bool) -> Result<StatusResponse, Error> {
    grpc.ask(&format!("{RUNTIME}/ContainerStatus"), &StatusRequest { container_id: id.into(), verbose }).await
}

/// The container's first process; none where it has ended.
fn pid_in(status: &StatusResponse) -> Option<i32> {
    let info: Value = serde_json::from_str(status.info.get("info")?).ok()?;
    info["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0)
}

async fn pidfd_of(grpc: &Grpc, id: &str) -> Result<Option<OwnedFd>, Error> {
    let pid = pid_in(&status(grpc, id, true).await?).and_then(rustix::process::Pid::from_raw);
    let flags = rustix::process::PidfdFlags::NONBLOCK;
    Ok(pid.and_then(|pid| rustix::process::pidfd_open(pid, flags).ok()))
}

/// The last lines of a container's log, without the head that CRI gives each: time, stream, tag.
fn last_lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    let opened = fs::File::open(path).and_then(|file| file.take(1 << 20).read_to_string(&mut text));
    if opened.is_err() {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

struct Pod {
    grpc: Grpc,
    pod: String,
    container: String,
    pid: FirstProcess,
    ending: Ending,
    removed: bool,
    _meeting: Rendezvous,
}

impl Pod {
    /// Its number on the host, of the status' verbose part; none where it has ended.
    fn first_process(&self) -> Result<i32, Error> {
        let request = StatusRequest { container_id: self.container.clone(), verbose: true };
        let status: StatusResponse = self.grpc.call(&format!("{RUNTIME}/ContainerStatus"), &request)?;
        pid_in(&status).ok_or_else(|| Error::Invalid("the container has ended".into()))
    }
}

impl Instance for Pod {
    fn service(&self, guest_port: u16) -> Option<SocketAddr> {
        Some((Ipv4Addr::LOCALHOST, guest_port).into())
    }

    fn root_pid(&self) -> Option<i32> {
        if self.removed { None } else { self.pid.get(|| self.first_process()) }
    }

    fn memory(&self) -> Result<Footprint, Error> {
        container::memory(self.first_process()?)
    }

    fn pause(&mut self) -> Result<(), Error> {
        Err(Error::Invalid("the Container Runtime Interface cannot pause a container".into()))
    }

    fn resume(&mut self) -> Result<(), Error> {
        Err(Error::Invalid("the Container Runtime Interface cannot pause a container".into()))
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        self.ending.call_off();
        if !self.removed {
            remove(&self.grpc, &self.pod)?;
            self.removed = true;
            container::check_cgroups(&self.pod)?;
            container::check_cgroups(&self.container)?;
        }
        Ok(Exit::Signal(libc::SIGKILL))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = self.stop();
    }
}

/// Kills and removes a pod with all in it.
pub(super) fn remove(grpc: &Grpc, pod: &str) -> Result<(), Error> {
    let id = PodId { pod_sandbox_id: pod.into() };
    let _: Nothing = grpc.call(&format!("{RUNTIME}/StopPodSandbox"), &id)?;
    let _: Nothing = grpc.call(&format!("{RUNTIME}/RemovePodSandbox"), &id)?;
    Ok(())
}

/// The pods of a run.
///
/// # Errors
/// Where the engine does not tell.
pub(super) fn of_run(grpc: &Grpc, run: &str) -> Result<Vec<String>, Error> {
    let filter = PodFilter { label_selector: HashMap::from([(LABEL.to_owned(), run.to_owned())]) };
    let request = ListPodsRequest { filter: Some(filter) };
    let list: ListPodsResponse = grpc.call(&format!("{RUNTIME}/ListPodSandbox"), &request)?;
    Ok(list.items.into_iter().map(|pod| pod.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_cri_is_read_without_its_heads() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("log");
        let line = |text: &str| format!("2026-01-01T00:00:00.1Z stderr F {text}\n");
        fs::write(&path, (0..9).map(|at| line(&format!("line {at}"))).collect::<String>() + "cut")
            .expect("written");
        assert_eq!(last_lines(&path), ["line 4", "line 5", "line 6", "line 7", "line 8"]);
        assert!(last_lines(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn the_process_is_where_engines_tell_it() {
        let status = |info: &str| StatusResponse {
            status: None,
            info: HashMap::from([("info".to_owned(), info.to_owned())]),
        };
        assert_eq!(pid_in(&status(r#"{"sandboxID":"x","pid":77}"#)), Some(77));
        assert_eq!(pid_in(&status(r#"{"pid":0}"#)), None);
        assert_eq!(pid_in(&status("no JSON")), None);
    }
}
