//! `create`: everything but the program (runtime.md, "Lifecycle", steps 1 to 6).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::config::Bundle;
use super::delete::undo;
use super::hook::{self, Place};
use super::state::{Folder, InitProcess, Record, Root, Status};
use super::{grant, program, resources, translate};
use crate::Error;
use crate::cgroup::{Cgroup, Hierarchies};
use crate::container::{Compiled, Launch, setup::Setup};

/// What `create` and `run` are told beside the bundle.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// File that gets the process id of init.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Whether the session keyring stays that of the caller.
    pub keep_keyring: bool,
    /// Whether this process stays until the container's end and deletes it.
    pub stays: bool,
    /// The time now: RFC 3339, UTC.
    pub created: String,
}

/// Makes the container `id` from the bundle: afterwards its init waits for `start`. Gives warnings of what
/// could not be granted and is no error.
///
/// # Errors
/// Where a field of the configuration is refused, a step fails or a hook does. Nothing of the
/// container is left then.
pub fn create(root: &Root, id: &str, bundle: &Path, options: &Options) -> Result<Vec<String>, Error> {
    let bundle = Bundle::read(bundle)?;
    let path = resources::cgroup_path(
        bundle.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref()),
        id,
    )?;
    let limits =
        resources::limits(bundle.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()))?;
    let hierarchies = Hierarchies::of_host()?;
    let groups: Vec<(PathBuf, PathBuf)> =
        hierarchies.roots().into_iter().map(|root| (root.to_owned(), root.join(&path))).collect();
    if let Some((_, group)) = groups.iter().find(|(_, group)| group.exists()) {
        let why = format!("{} exists already: it would be ended with the container", group.display());
        return Err(super::config::refuse("linux.cgroupsPath", why));
    }
    let mut setup = translate::setup(&bundle, &groups)?;
    setup.process.own_keyring = !options.keep_keyring;
    let warnings = grant::withhold(&mut setup)?;
    program::set_home(&mut setup.process, &bundle.rootfs);
    let compiled = Compiled::new(&setup)?;
    let descriptors = inherited(options.preserve_fds)?;

    // Whatever can be refused has been; from here on something is made.
    let folder = root.create(id)?;
    let record = Record {
        id: id.to_owned(),
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        created: options.created.clone(),
        owner_uid: rustix::process::geteuid().as_raw(),
        is_created: false,
        init: None,
        master: options.stays.then(|| InitProcess::of(std::process::id() as i32)).transpose()?,
        cgroup: Some(path.clone()),
        config: bundle.spec.clone(),
    };
    let making = Making { folder: &folder, record: Mutex::new(record), setup: &setup };
    let made = making.launch(&compiled, &descriptors, || {
        let mut cgroup = Cgroup::create_at(&hierarchies, &path, &limits)?;
        cgroup.spread(&hierarchies, &path)?;
        Ok(cgroup)
    });
    let mut record = making.record.into_inner().unwrap_or_else(PoisonError::into_inner);
    let done = made.and_then(|mut cgroup| {
        if let (Some(file), Some(init)) = (&options.pid_file, record.init) {
            write_pid(file, init.pid)?;
        }
        record.is_created = true;
        folder.write(&record)?;
        cgroup.keep();
        Ok(())
    });
    done.map(|()| warnings).inspect_err(|_| undo(folder, &record))
}

/// A container in the making.
struct Making<'a> {
    folder: &'a Folder,
    record: Mutex<Record>,
    setup: &'a Setup,
}

impl Making<'_> {
    fn launch(
        &self,
        compiled: &Compiled,
        descriptors: &[BorrowedFd<'_>],
        cgroup: impl FnOnce() -> Result<Cgroup, Error>,
    ) -> Result<Cgroup, Error> {
        // First the record: it says what there may be, should this be the last that is heard of it.
        self.folder.write(&self.record.lock().unwrap_or_else(PoisonError::into_inner))?;
        let gate = self.folder.make_gate()?;
        let cgroup = cgroup().inspect_err(|_| {
            // Nothing of it is left, and what stands there may be another's.
            self.record.lock().unwrap_or_else(PoisonError::into_inner).cgroup = None;
        })?;
        let entrance = cgroup.entrance()?;
        compiled.start(&Launch {
            program: None,
            args: None,
            fds: descriptors,
            trees: &[],
            hostname: None,
            entrance: Some(&entrance),
            gate: Some(gate.as_fd()),
            before_root: Some(&|pid| self.before_root(pid)),
            ends_with_parent: false,
        })?;
        Ok(cgroup)
    }

    /// The container's environment is there, its root not yet changed.
    fn before_root(&self, pid: i32) -> Result<(), Error> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.init = Some(InitProcess::of(pid)?);
        self.folder.write(&record)?;
        // Where init stands is its new root; its old one it still has.
        program::check(&self.setup.process, &PathBuf::from(format!("/proc/{pid}/cwd")))?;
        let Some(hooks) = record.config.hooks() else { return Ok(()) };
        let state = record.state(Status::Creating);
        let runtime = Place::Runtime(&record.bundle);
        #[allow(deprecated, reason = "the specification keeps it, and engines use it")]
        hook::run_all(hooks.prestart().as_ref(), "prestart", &state, runtime)?;
        hook::run_all(hooks.create_runtime().as_ref(), "createRuntime", &state, runtime)?;
        hook::run_all(hooks.create_container().as_ref(), "createContainer", &state, Place::Container(pid))
    }
}

/// Standard input, output and error, and `more` descriptors after them.
pub(super) fn inherited(more: u32) -> Result<Vec<BorrowedFd<'static>>, Error> {
    (0..3 + i32::try_from(more).unwrap_or(i32::MAX - 3))
        .map(|number| {
            // SAFETY: asks for the flags of a number that may be no descriptor.
            if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
                return Err(Error::Invalid(format!(
                    "descriptor {number} is not open, but the program is to inherit it (--preserve-fds)"
                )));
            }
            // SAFETY: open, and whoever started this program meant it for the container.
            Ok(unsafe { BorrowedFd::borrow_raw(number) })
        })
        .collect()
}

/// Writes the file as a whole, so that nobody reads half a number.
pub(super) fn write_pid(path: &Path, pid: i32) -> Result<(), Error> {
    let refused = || Error::system(format!("write the pid file {}", path.display()));
    let name =
        path.file_name().ok_or_else(|| Error::Invalid(format!("{} is no file name", path.display())))?;
    let mut new = std::ffi::OsString::from(".");
    new.push(name);
    let new = path.with_file_name(new);
    let mut file = File::create(&new).map_err(refused())?;
    std::io::Write::write_all(&mut file, pid.to_string().as_bytes()).map_err(refused())?;
    std::fs::rename(&new, path).map_err(refused())
}
