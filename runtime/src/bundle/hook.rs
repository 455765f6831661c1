//! Hooks: programs of the user at points of a container's life (config.md, "POSIX-platform Hooks").

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::state::State;
use crate::Error;

/// Bytes of a failed hook's words that are repeated.
const SAID_MAX: u64 = 4096;

/// Where a hook is executed.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// Where this program is, in the bundle's folder.
    Runtime(&'a Path),
    /// In the namespaces of the container whose init this is, its root not yet changed.
    Container(i32),
}

/// Runs `hooks` one after the other; `kind` names them in errors.
///
/// # Errors
/// The first that cannot be run, fails, or takes longer than it may. Those after it are not run.
pub(super) fn run_all(
    hooks: Option<&Vec<Hook>>,
    kind: &str,
    state: &State,
    place: Place<'_>,
) -> Result<(), Error> {
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        run(hook, &format!("hooks.{kind}[{index}] ({})", hook.path().display()), state, place)?;
    }
    Ok(())
}

/// Runs one hook.
fn run(hook: &Hook, name: &str, state: &State, place: Place<'_>) -> Result<(), Error> {
    let refused = |action: &str| Error::system(format!("{action} {name}"));
    let mut said = memory_file(b"").map_err(refused("make a file for the words of"))?;
    let text = state_json(state)?;
    let stdin = memory_file(&text).map_err(refused("make the standard input of"))?;
    let mut command = Command::new(hook.path());
    if let Some((first, rest)) = hook.args().as_ref().and_then(|args| args.split_first()) {
        command.arg0(first).args(rest);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        let (key, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(OsStr::new(key), OsStr::new(value));
    }
    command.stdin(Stdio::from(stdin)).process_group(0);
    command.stdout(said.try_clone().map_err(refused("duplicate the output of"))?);
    command.stderr(said.try_clone().map_err(refused("duplicate the output of"))?);
    let mut child = match place {
        Place::Runtime(bundle) => command.current_dir(bundle).spawn(),
        Place::Container(pid) => spawn_inside(command, pid),
    }
    .map_err(refused("run"))?;
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let ended = wait(&mut child, timeout).map_err(refused("wait for"))?;
    let words = |file: &mut File| {
        let mut bytes = Vec::new();
        let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(SAID_MAX).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        if text.is_empty() { text } else { format!("; it said: {text}") }
    };
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let how = match status.signal() {
                Some(signal) => format!("was ended by signal {signal}"),
                None => format!("failed with exit code {}", status.code().unwrap_or_default()),
            };
            Err(Error::Invalid(format!("{name} {how}{}", words(&mut said))))
        }
        None => {
            let seconds = timeout.unwrap_or_default().as_secs();
            Err(Error::Invalid(format!("{name} did not end within {seconds} s{}", words(&mut said))))
        }
    }
}

/// The state as hooks read it.
pub(super) fn state_json(state: &State) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(state).map_err(|error| Error::Invalid(format!("the state is no JSON: {error}")))
}

/// A file in memory with `bytes`, at its beginning. Unlike a pipe it is never full, and a hook's
/// own children that keep it open hold up nobody.
pub(super) fn memory_file(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("hook", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// `None` where the time was out; the hook's whole process group is killed then.
fn wait(child: &mut Child, timeout: Option<Duration>) -> std::io::Result<Option<std::process::ExitStatus>> {
    let Some(timeout) = timeout else { return child.wait().map(Some) };
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline_ns = crate::clock::now_ns().saturating_add(timeout.as_nanos() as u64);
    loop {
        let left_ns = deadline_ns.saturating_sub(crate::clock::now_ns());
        let left =
            Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = child.kill();
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return child.wait().map(Some),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts the command in the namespaces of `init`, in the root that init still has: the host's, as
/// copied with the mount namespace. There the program is found where this one would find it.
fn spawn_inside(mut command: Command, init: i32) -> std::io::Result<Child> {
    let pidfd =
        pidfd_open(Pid::from_raw(init).ok_or(std::io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?;
    let kinds = [
        ("user", libc::CLONE_NEWUSER),
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("net", libc::CLONE_NEWNET),
        ("mnt", libc::CLONE_NEWNS),
    ];
    // Joining the namespace alone would lead to the new root, which lies on top of the old one.
    let root = File::open(format!("/proc/{init}/root"))?;
    let mut flags = 0;
    for (kind, flag) in kinds {
        // One's own user namespace cannot be joined again (setns(2)).
        let link = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{kind}"));
        if link(&init.to_string())? != link("self")? {
            flags |= flag;
        }
    }
    // Only children of the thread that asks for it are born into another process id namespace.
    let born = std::thread::spawn(move || {
        set_namespaces(&pidfd, libc::CLONE_NEWPID)?;
        let joined = pidfd.try_clone()?;
        // SAFETY: system calls only, on descriptors made before.
        unsafe {
            command.pre_exec(move || {
                set_namespaces(&joined, flags)?;
                if libc::fchdir(root.as_raw_fd()) != 0 || libc::chroot(c".".as_ptr()) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                if flags & libc::CLONE_NEWUSER != 0 {
                    // By number: the C library's own versions wait for threads that are not here.
                    libc::syscall(libc::SYS_setresgid, 0, 0, 0);
                    libc::syscall(libc::SYS_setresuid, 0, 0, 0);
                }
                Ok(())
            });
        }
        command.spawn()
    });
    born.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that starts a hook has panicked")))
}

fn set_namespaces(pidfd: &OwnedFd, flags: i32) -> std::io::Result<()> {
    // SAFETY: concerns the calling thread only.
    if flags == 0 || unsafe { libc::setns(pidfd.as_fd().as_raw_fd(), flags) } == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::state::Status;
    use super::*;

    fn state() -> State {
        State {
            oci_version: "1.2.0",
            id: "some".into(),
            status: Status::Creating,
            pid: 42,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: String::new(),
            owner: String::new(),
            annotations: HashMap::new(),
        }
    }

    fn hook(script: &str, timeout: Option<i64>) -> Result<(), String> {
        let mut hook = Hook::default();
        hook.set_path("/bin/sh".into())
            .set_args(Some(vec!["sh".into(), "-c".into(), script.into()]))
            .set_env(Some(vec!["WORD=x".into()]))
            .set_timeout(timeout);
        run_all(Some(&vec![hook]), "prestart", &state(), Place::Runtime(Path::new("/tmp")))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn it_reads_the_state_and_has_its_own_environment() {
        hook(r#"grep -q '"status":"creating"' && test "$WORD$HOME" = x && test "$PWD" = /tmp"#, None)
            .unwrap();
        hook("true", Some(60)).unwrap();
    }

    #[test]
    fn failure_and_time_out_are_told_with_its_words() {
        let error = hook("echo some words >&2; exit 3", None).unwrap_err();
        assert_eq!(error, "hooks.prestart[0] (/bin/sh) failed with exit code 3; it said: some words");
        let error = hook("kill -9 $$", None).unwrap_err();
        assert!(error.contains("was ended by signal 9"), "{error}");
        let before = std::time::Instant::now();
        let error = hook("echo begun; sleep 100 & wait", Some(1)).unwrap_err();
        assert!(error.contains("did not end within 1 s; it said: begun"), "{error}");
        assert!(before.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_child_that_stays_holds_up_nobody() {
        let before = std::time::Instant::now();
        hook("sleep 100 & echo $! >/dev/null; exit 0", None).unwrap();
        assert!(before.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let mut hook = Hook::default();
        hook.set_path("/nonexistent/hook".into());
        let error = run_all(Some(&vec![hook]), "poststop", &state(), Place::Runtime(Path::new("/")))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot run hooks.poststop[0] (/nonexistent/hook): No such file"),
            "{error}"
        );
    }
}
