//! `exec`: one more process in a container.
//!
//! It joins the namespaces of init and gets the rights of the container's own process, so that it can
//! do no more than that one. Hooks of the kind `startContainer` are run the same way.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, Process as Wanted};

use super::config::{parse_process, read_process};
use super::create::{inherited, write_pid};
use super::hook::{memory_file, state_json};
use super::run::{Ended, follow};
use super::start::read;
use super::state::{Record, Root, State, Status};
use super::{grant, program, translate};
use crate::Error;
use crate::cgroup::{Cgroup, Hierarchies};
use crate::container::setup::{
    Leave, Namespace, Namespaces, Propagation, Root as SetupRoot, RootSource, Setup,
};
use crate::container::{Compiled, Launch, Started};

/// What is to be executed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A file with the `process` object of a config.json.
    pub process: Option<PathBuf>,
    /// In its place: program and arguments, all else as the container's own process.
    pub args: Vec<String>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// More environment variables.
    pub env: Vec<String>,
    /// `UID` or `UID:GID`.
    pub user: Option<(u32, Option<u32>)>,
    /// Whether to return at once.
    pub detach: bool,
    /// File that gets the process id.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
}

/// Executes; gives the exit code, or 0 at once with `detach`, and warnings as [`super::create`].
///
/// # Errors
/// Where the container is neither created nor running, or the process cannot be executed in it.
pub fn exec(root: &Root, id: &str, options: &Options) -> Result<(u8, Vec<String>), Error> {
    let folder = root.find(id)?;
    let record = read(&folder, id)?;
    let status = folder.status(&record);
    if !matches!(status, Status::Created | Status::Running) {
        return Err(Error::Invalid(format!("cannot exec in container {id:?}: it is {status}, not running")));
    }
    let mut process = wanted(&record, options)?;
    process.set_terminal(None);
    let (mut setup, warnings) = setup(&record, &process)?;
    program::set_home(&mut setup.process, &record.rootfs);
    if let Some(init) = record.init {
        program::check(&setup.process, &PathBuf::from(format!("/proc/{}/root", init.pid)))?;
    }
    let started = launch(&record, &setup, &inherited(options.preserve_fds)?, !options.detach)?;
    if let Some(file) = &options.pid_file {
        write_pid(file, started.pid)?;
    }
    if options.detach {
        return Ok((0, warnings));
    }
    Ok((follow(&started.pidfd).map(Ended::code)?, warnings))
}

/// Runs a hook in the container and waits for its end.
pub(super) fn run_hook(record: &Record, hook: &Hook, name: &str, state: &State) -> Result<(), Error> {
    let mut process = own_process(record)?;
    let path = hook.path().to_string_lossy().into_owned();
    let args = hook.args().clone().filter(|args| !args.is_empty()).unwrap_or_else(|| vec![path.clone()]);
    process.set_args(Some(args)).set_env(hook.env().clone()).set_cwd("/".into()).set_terminal(None);
    // What it cannot be granted has been said when the container was made.
    let (mut setup, _) = setup(record, &process)?;
    // The first argument is the program's name for itself; what is executed is the path.
    if let (Some(first), Ok(path)) = (setup.process.args.first_mut(), CString::new(path)) {
        *first = path;
    }
    let action = |action: &str| Error::system(format!("{action} {name}"));
    let stdin = memory_file(&state_json(state)?).map_err(action("make the standard input of"))?;
    let said = memory_file(b"").map_err(action("make a file for the words of"))?;
    let fds = [stdin.as_fd(), said.as_fd(), said.as_fd()];
    let started = launch(record, &setup, &fds, true)
        .map_err(|error| Error::Invalid(format!("{name} ({}): {error}", hook.path().display())))?;
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    match super::run::wait(&started.pidfd, timeout.map(std::time::Duration::from_secs))? {
        Some(Ended::Exited(0)) => Ok(()),
        Some(ended) => Err(Error::Invalid(format!("{name} ({}) {ended}", hook.path().display()))),
        None => {
            let seconds = timeout.unwrap_or_default();
            Err(Error::Invalid(format!("{name} ({}) did not end within {seconds} s", hook.path().display())))
        }
    }
}

/// Whether the container has a PID namespace of its own.
pub(super) fn has_own_pids(record: &Record) -> bool {
    namespaces(record, 1).is_ok_and(|found| found.pid != Namespace::Host)
}

fn wanted(record: &Record, options: &Options) -> Result<Wanted, Error> {
    if let Some(file) = &options.process {
        return read_process(file);
    }
    let mut process = own_process(record)?;
    process.set_args(Some(options.args.clone()));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
    if let Some((uid, gid)) = options.user {
        let mut user = process.user().clone();
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(user.gid()));
        process.set_user(user);
    }
    // What was put together here is checked as what was read.
    let text = serde_json::to_vec(&process).map_err(|error| Error::Invalid(error.to_string()))?;
    parse_process(&text)
}

fn own_process(record: &Record) -> Result<Wanted, Error> {
    let process = record.config.process().clone();
    process.ok_or_else(|| Error::Invalid(format!("container {:?} has no process", record.id)))
}

/// The container as one that exists already: nothing of it is made.
fn setup(record: &Record, process: &Wanted) -> Result<(Setup, Vec<String>), Error> {
    let init = record.init.ok_or_else(|| Error::Invalid(format!("container {:?} has no init", record.id)))?;
    let profile = record.config.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let mut setup = Setup {
        namespaces: namespaces(record, init.pid)?,
        id_maps: None,
        root: SetupRoot {
            source: RootSource::Host,
            read_only: false,
            propagation: Propagation::Private,
            leave: Leave::Pivot,
        },
        mounts: Vec::new(),
        devices: Vec::new(),
        links: Vec::new(),
        masked: Vec::new(),
        read_only: Vec::new(),
        hostname: None,
        domainname: None,
        sysctls: Vec::new(),
        loopback: false,
        process: translate::process(process, profile)?,
    };
    let warnings = grant::withhold(&mut setup)?;
    Ok((setup, warnings))
}

/// Those of init, as far as they are not the host's.
fn namespaces(record: &Record, init: i32) -> Result<Namespaces, Error> {
    let linux = record.config.linux().clone().unwrap_or_default();
    let made = translate::namespaces(&linux)?;
    let of_init = |namespace: &Namespace, kind: &str| match namespace {
        Namespace::Host => Namespace::Host,
        Namespace::New | Namespace::Join(_) => {
            Namespace::Join(Path::new("/proc").join(format!("{init}/ns/{kind}")))
        }
    };
    Ok(Namespaces {
        pid: of_init(&made.pid, "pid"),
        network: of_init(&made.network, "net"),
        uts: of_init(&made.uts, "uts"),
        mount: of_init(&made.mount, "mnt"),
        ipc: of_init(&made.ipc, "ipc"),
        user: of_init(&made.user, "user"),
        cgroup: of_init(&made.cgroup, "cgroup"),
        time: of_init(&made.time, "time"),
        ..Namespaces::default()
    })
}

fn launch(
    record: &Record,
    setup: &Setup,
    fds: &[BorrowedFd<'_>],
    ends_with_parent: bool,
) -> Result<Started, Error> {
    let path = record.cgroup.as_deref();
    let path = path.ok_or_else(|| Error::Invalid(format!("container {:?} has no cgroup", record.id)))?;
    let cgroup = Cgroup::open(&Hierarchies::of_host()?, path)?;
    let entrance = cgroup.entrance()?;
    // Held until the namespaces are open: the number of init could become another's.
    let _init: Option<OwnedFd> = record.init.and_then(|init| init.alive());
    Compiled::new(setup)?.start(&Launch {
        program: None,
        args: None,
        fds,
        trees: &[],
        hostname: None,
        entrance: Some(&entrance),
        gate: None,
        before_root: None,
        ends_with_parent,
    })
}
