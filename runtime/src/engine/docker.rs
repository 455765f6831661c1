//! `engine:docker` and `engine:podman`: Docker's Engine API, version 1.41 (Docker 20.10; Podman 4
//! speaks it too), on the engine's socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::archive::{self, PROGRAM};
use super::container::{self, Ending, FirstProcess};
use super::http::Client;
use super::ledger;
use super::rendezvous::{self, INSIDE, Rendezvous};
use super::runtimes;
use crate::clock::now_ns;
use crate::container::standard::KEPT_CAPABILITIES;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::watch::Watch;
use crate::{
    Backend, Error, Exit, Footprint, Instance, LaunchSpec, Prepared, Requirement, RunContext, Workload,
};

/// Version of the interface.
const API: &str = "/v1.41";
/// How long loading an image may take.
const LOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Label of our containers; its value is the run.
pub(super) const LABEL: &str = "bench.run";
/// How often an engine is asked to remove a container that it has not yet noted to have ended.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(100);

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker: `DOCKER_HOST`, else /var/run/docker.sock.
    Docker,
    /// Podman: `CONTAINER_HOST`, else /run/podman/podman.sock.
    Podman,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Engine::Docker => "docker",
            Engine::Podman => "podman",
        }
    }

    fn socket(self) -> Result<PathBuf, String> {
        let (variable, default) = match self {
            Engine::Docker => ("DOCKER_HOST", "/var/run/docker.sock"),
            Engine::Podman => ("CONTAINER_HOST", "/run/podman/podman.sock"),
        };
        match std::env::var(variable) {
            Err(_) => Ok(default.into()),
            Ok(address) => match address.strip_prefix("unix://") {
                Some(path) => Ok(path.into()),
                None => Err(format!("{variable} is {address:?}, but only unix:// is on this host and clock")),
            },
        }
    }

    fn fix(self) -> &'static str {
        match self {
            Engine::Docker => "apt-get install docker.io && systemctl start docker, or set DOCKER_HOST",
            Engine::Podman => {
                "apt-get install podman && systemctl start podman.socket, or set CONTAINER_HOST to the socket of `podman system service`"
            }
        }
    }
}

/// `engine:docker` or `engine:podman`.
pub struct DockerBackend {
    engine: Engine,
    /// Instead of where the environment says.
    socket: Option<PathBuf>,
    /// One of the engine's runtimes; its own default where not given.
    runtime: Option<String>,
}

impl DockerBackend {
    /// The engine where the environment says it is; `runtime` is one of its runtimes by name.
    pub fn new(engine: Engine, runtime: Option<&str>) -> DockerBackend {
        DockerBackend { engine, socket: None, runtime: runtime.map(str::to_owned) }
    }

    #[cfg(test)]
    pub(super) fn at(engine: Engine, socket: &Path, runtime: Option<&str>) -> DockerBackend {
        DockerBackend { engine, socket: Some(socket.into()), runtime: runtime.map(str::to_owned) }
    }

    fn client(&self) -> Result<Client, Error> {
        let socket = self.socket.clone().map_or_else(|| self.engine.socket().map_err(Error::Invalid), Ok)?;
        Client::new(&socket)
    }

    /// Version and runtime of the engine that answers.
    fn ask(&self) -> Result<(Client, Value), Error> {
        let client = self.client()?;
        let version = client.call(Method::GET, &format!("{API}/version"), None)?.good("tell its version")?;
        Ok((client, version))
    }
}

impl Backend for DockerBackend {
    fn id(&self) -> String {
        match &self.runtime {
            None => format!("engine:{}", self.engine.name()),
            Some(runtime) => format!("engine:{}+{runtime}", self.engine.name()),
        }
    }

    fn description(&self) -> &'static str {
        match self.engine {
            Engine::Docker => "the same image through Docker's API, on its socket",
            Engine::Podman => "the same image through Podman's Docker-compatible API",
        }
    }

    fn requirements(&self) -> Vec<Requirement> {
        let found = self.ask();
        let mut all = vec![Requirement {
            what: format!("{} engine", self.engine.name()),
            fix: found.is_err().then(|| self.engine.fix().into()),
            state: found
                .as_ref()
                .map(|(client, version)| format!("{} at {}", describe(version), client.socket().display()))
                .map_err(ToString::to_string),
        }];
        if let (Ok((client, _)), Some(runtime)) = (found, &self.runtime) {
            all.push(runtimes::requirement(info(&client), runtime));
        }
        all
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        context.network.require_loopback(&self.id())?;
        let (client, version) = self.ask()?;
        let archive = archive::of(context, image, false)?;
        let known = client.call(Method::GET, &format!("{API}/images/{}/json", archive.id), None)?;
        if known.status != 200 {
            let answer = client.send(&format!("{API}/images/load?quiet=1"), archive.file, LOAD_TIMEOUT)?;
            answer.good("load the image")?;
            // An error may come behind a status that was good when it was sent.
            let text = String::from_utf8_lossy(&answer.body);
            if text.contains("\"error\"") {
                return Err(Error::Invalid(format!("the engine refuses to load the image: {}", text.trim())));
            }
            client
                .call(Method::GET, &format!("{API}/images/{}/json", archive.id), None)?
                .good("find the image it loaded")?;
        }
        // Before the first container: so that they are found again however this ends.
        ledger::note(&context.state_dir, "docker", client.socket())?;
        let program =
            if image.rootfs.is_none() { None } else { Some(container::put_program(&context.state_dir)?) };
        let info = info(&client)?;
        Ok(Arc::new(PreparedDocker {
            id: self.id(),
            client,
            version: describe(&version),
            info,
            runtime: self.runtime.clone(),
            run: context.run_id.clone(),
            meeting: context.state_dir.join("engine"),
            image: archive.id,
            digest: image.digest.clone(),
            security: container::security(self.engine == Engine::Podman, &context.state_dir)?,
            program,
            watch: context.watch.clone(),
        }))
    }
}

fn info(client: &Client) -> Result<Value, Error> {
    client.call(Method::GET, &format!("{API}/info"), None)?.good("tell about itself")
}

/// The engine and its parts, with their versions.
fn describe(version: &Value) -> String {
    let parts: Vec<String> = version["Components"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| Some(format!("{} {}", part["Name"].as_str()?, part["Version"].as_str()?)))
        .collect();
    if parts.is_empty() { format!("version {}", version["Version"]) } else { parts.join(", ") }
}

struct PreparedDocker {
    id: String,
    client: Client,
    version: String,
    info: Value,
    runtime: Option<String>,
    run: String,
    meeting: PathBuf,
    image: String,
    digest: String,
    security: Vec<String>,
    /// The guest program on the host, for images without one.
    program: Option<PathBuf>,
    watch: Arc<Watch>,
}

impl PreparedDocker {
    fn order(&self, spec: &LaunchSpec, folder: &Path) -> Value {
        let mut binds = vec![format!("{}:{INSIDE}:ro", folder.display())];
        binds.extend(self.program.as_ref().map(|program| format!("{}:{PROGRAM}:ro", program.display())));
        let serves = spec.plan.workload == Workload::Http;
        let mut host = json!({
            "Binds": binds,
            "NetworkMode": if serves { "host" } else { "none" },
            "Ulimits": container::ulimits(),
            "CapDrop": ["ALL"],
            "CapAdd": KEPT_CAPABILITIES.map(|(_, name)| name),
            "SecurityOpt": self.security,
        });
        if let Some(runtime) = &self.runtime {
            host["Runtime"] = runtime.clone().into();
        }
        if let Some(bytes) = spec.limits.memory_bytes {
            host["Memory"] = bytes.into();
            host["MemorySwap"] = bytes.into();
        }
        if let Some(cpus) = spec.limits.cpus {
            host["NanoCpus"] = ((cpus * 1e9).round() as u64).into();
        }
        if let Some(pids) = spec.limits.pids {
            host["PidsLimit"] = pids.into();
        }
        json!({
            "Image": self.image,
            "Entrypoint": [PROGRAM],
            "Cmd": [rendezvous::word(), spec.plan.to_word()],
            "User": "0:0",
            "Labels": { LABEL: self.run },
            "HostConfig": host,
        })
    }
}

impl Prepared for PreparedDocker {
    fn config(&self) -> Value {
        json!({
            "backend": self.id,
            "image": self.digest,
            "engine": self.version,
            "runtime": self.runtime.as_deref().or(self.info["DefaultRuntime"].as_str()),
            "storage": self.info["Driver"],
            "cgroup_driver": self.info["CgroupDriver"],
            "security": self.info["SecurityOptions"],
            "seccomp": "the profile of our own containers, handed over with each",
            "capabilities": "those of our own containers",
            "start": "POST containers/create, POST containers/ID/start; both are measured, loading the image is not",
            "way_of_ready": "the guest connects to a socket in a folder bound inside, as its first act",
            "namespaces": "the engine's own choice: no user namespace unless it is set up to map ids",
            "network": "none; for http the host's",
            "memory": "of the container's processes and of the engine's process that stays with each (shim, monitor)",
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        events.send(now_ns(), Event::Mark("create"));
        container::check_limits(&spec.limits)?;
        let meeting = Rendezvous::open(&self.meeting, &spec.name.to_string(), &self.watch, events.clone())?;
        let order = self.order(spec, meeting.folder());
        let name = format!("bench-{}-{}", self.run, spec.name);
        let created =
            self.client.call(Method::POST, &format!("{API}/containers/create?name={name}"), Some(&order))?;
        let created = created.good("create a container")?;
        let id =
            created["Id"].as_str().ok_or_else(|| Error::Invalid("the engine names no container".into()))?;
        // From here on the instance is owned: an error below drops and thereby ends it.
        let mut instance = Container {
            client: self.client.clone(),
            id: id.to_owned(),
            serves: spec.plan.workload == Workload::Http,
            pid: FirstProcess::default(),
            ending: Ending::default(),
            removed: false,
            _meeting: meeting,
        };
        events.send(now_ns(), Event::Mark("start"));
        let started = self.client.call(Method::POST, &format!("{API}/containers/{id}/start"), None)?;
        started.good("start a container")?;
        instance.ending = await_end(&self.client, id, events);
        Ok(Box::new(instance))
    }
}

/// Tells of the container's end, with its last lines where it is a bad one.
fn await_end(client: &Client, id: &str, events: EventSink) -> Ending {
    let (ending, called_off) = Ending::new();
    let (own, id) = (client.clone(), id.to_owned());
    client.background(async move {
        let wait = own.ask(Method::POST, format!("{API}/containers/{id}/wait"));
        let answer = tokio::select! {
            answer = wait => answer,
            _ = called_off => return,
        };
        let at_ns = now_ns();
        let code = answer
            .and_then(|answer| answer.good("wait for a container"))
            .map(|body| body["StatusCode"].as_i64());
        match code {
            Ok(Some(code)) => {
                let logs = format!("{API}/containers/{id}/logs?stdout=1&stderr=1&tail=5");
                if let Ok(answer) = own.ask(Method::GET, logs).await {
                    for line in frames(&answer.body) {
                        events.send(at_ns, Event::Log(line));
                    }
                }
                events.send(at_ns, Event::Exited(Exit::Code(code as i32)));
            }
            Ok(None) => {
                events.send(at_ns, Event::Failed("the engine does not say how the container ended".into()))
            }
            Err(error) => events.send(at_ns, Event::Failed(error.to_string())),
        }
    });
    ending
}

/// The lines of a container's log: frames of eight bytes of head, length last ("Stream format").
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let text = &rest[..length.min(rest.len())];
        lines.extend(String::from_utf8_lossy(text).lines().map(str::to_owned));
        bytes = &rest[text.len()..];
    }
    lines
}

struct Container {
    client: Client,
    id: String,
    serves: bool,
    pid: FirstProcess,
    ending: Ending,
    removed: bool,
    _meeting: Rendezvous,
}

impl Container {
    fn act(&self, method: Method, what: &str, path: &str) -> Result<Value, Error> {
        self.client.call(method, &format!("{API}/containers/{}{path}", self.id), None)?.good(what)
    }

    /// Its number on the host (State.Pid of the API's `ContainerInspect`); none where it has ended.
    fn first_process(&self) -> Result<i32, Error> {
        let found = self.act(Method::GET, "look at a container", "/json")?;
        match found["State"]["Pid"].as_i64().map(i32::try_from) {
            Some(Ok(pid)) if pid > 0 => Ok(pid),
            _ => Err(Error::Invalid("the container has ended".into())),
        }
    }
}

impl Instance for Container {
    fn service(&self, guest_port: u16) -> Option<SocketAddr> {
        self.serves.then(|| (Ipv4Addr::LOCALHOST, guest_port).into())
    }

    fn root_pid(&self) -> Option<i32> {
        if self.removed { None } else { self.pid.get(|| self.first_process()) }
    }

    fn memory(&self) -> Result<Footprint, Error> {
        container::memory(self.first_process()?)
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.act(Method::POST, "pause a container", "/pause").map(drop)
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.act(Method::POST, "resume a container", "/unpause").map(drop)
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        self.ending.call_off();
        if !self.removed {
            remove(&self.client, &self.id)?;
            self.removed = true;
            container::check_cgroups(&self.id)?;
        }
        Ok(Exit::Signal(libc::SIGKILL))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = self.stop();
    }
}

/// Kills and removes a container; it may be gone.
pub(super) fn remove(client: &Client, id: &str) -> Result<(), Error> {
    let path = format!("{API}/containers/{id}?force=1&v=1");
    for _ in 1..REMOVE_TRIES {
        let answer = client.call(Method::DELETE, &path, None)?;
        match answer.status {
            404 => return Ok(()),
            // Podman, of a container that is just ending by itself: it can be killed no more and is not
            // yet noted as ended.
            500 | 409 => std::thread::sleep(REMOVE_PAUSE),
            _ => return answer.good("remove a container").map(drop),
        }
    }
    let answer = client.call(Method::DELETE, &path, None)?;
    if answer.status == 404 { Ok(()) } else { answer.good("remove a container").map(drop) }
}

/// The containers of a run.
///
/// # Errors
/// Where the engine does not tell.
pub(super) fn of_run(client: &Client, run: &str) -> Result<Vec<String>, Error> {
    // Percent-encoded JSON: {"label":["bench.run=RUN"]}; a run's name needs no encoding.
    let filter = format!("%7B%22label%22%3A%5B%22{LABEL}%3D{run}%22%5D%7D");
    let path = format!("{API}/containers/json?all=1&filters={filter}");
    let list = client.call(Method::GET, &path, None)?.good("list containers")?;
    let ids = list.as_array().into_iter().flatten().filter_map(|one| one["Id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_frames_of_any_length_are_read() {
        let frame =
            |text: &str| [&[1, 0, 0, 0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let bytes = [frame("a\n"), frame("b\nc\n")].concat();
        assert_eq!(frames(&bytes), ["a", "b", "c"]);
        assert_eq!(frames(&bytes[..bytes.len() - 1]), ["a", "b", "c"]);
        assert!(frames(&[1, 2, 3]).is_empty());
        assert!(frames(&[1, 0, 0, 0, 255, 255, 255, 255]).is_empty());
    }

    #[test]
    fn an_engine_that_is_not_there_is_a_requirement_with_its_fix() {
        let backend = DockerBackend::at(Engine::Docker, Path::new("/nowhere/docker.sock"), None);
        let requirement = backend.requirements().remove(0);
        assert!(requirement.state.expect_err("missing").contains("/nowhere/docker.sock"));
        assert!(requirement.fix.expect("a fix").contains("docker.io"));
    }
}
