//! Carries out the requests of a plan, one after the other, each in a process of its own.
//!
//! One file a topic. A function there takes its request apart, does what it says with plain system
//! calls and returns facts. It runs in a forked child: whatever becomes of it (a signal of the
//! kernel, a hang) is its observation, and no other's.

mod busy;
mod cache;
mod call;
mod device;
mod escape;
mod file;
mod group;
mod ipc;
mod kernel;
mod load;
mod net;
mod netlink;
mod orphan;
mod peer;
mod process;
mod reach;
mod sniff;
mod terminal;
mod uts;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

use guest::Message;
use guest::probe::{Ending, Fact, Facts, MAX_TEXT_BYTES, MemoryKind, Observation, Request};

use super::channel::Channel;

/// How long one request may take, on the inside's clock.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long at most nobody waits for a process that has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// Most bytes of one answer.
const ANSWER_BYTES: usize = 48 * 1024;

/// Carries out all requests and tells what happened. What holds something stays.
pub fn run(channel: &Channel, nonce: &str, requests: &[Request], inherited_file: bool) {
    for (index, request) in requests.iter().enumerate() {
        let (ending, facts) = apart(request, inherited_file);
        channel.send(&Message::Observation(Observation {
            nonce: nonce.to_owned(),
            index: index as u32,
            assertions: facts.len() as u32,
            ending,
            facts,
        }));
    }
}

fn carry_out(request: &Request, inherited_file: bool) -> Facts {
    match request {
        Request::Names => uts::names(),
        Request::SetNames { host, domain } => uts::set_names(host, domain),
        Request::Processes => process::list(),
        Request::Sleeper { name } => process::sleeper(name),
        Request::Orphan { name } => orphan::leave(name),
        Request::FindProcess { name } => process::find(name),
        Request::Signal { pid, signal } => process::signal(*pid, *signal),
        Request::SignalAll { uid, signal } => reach::signal_all(*uid, *signal),
        Request::Peek { pid, address, bytes } => reach::peek(*pid, *address, *bytes),
        Request::SetuidFile { uid } => reach::setuid_file(*uid),
        Request::IpcPlant { kind, key } => ipc::plant(*kind, *key),
        Request::IpcLook { kind, key } => ipc::look(*kind, *key),
        Request::Read { path, most } => file::read(path, *most),
        Request::FindLine { path, word, own } => file::find_line(path, word, own),
        Request::Write { path, text } => file::write(path, text),
        Request::Access { path } => file::access(path),
        Request::List { path } => file::list(path),
        Request::Stat { path } => file::stat(path),
        Request::Call { number, arguments } => call::call(*number, arguments),
        Request::AbstractPlant { name } => net::abstract_plant(name),
        Request::AbstractLook { name } => net::abstract_look(name),
        Request::PortPlant { port } => net::port_plant(*port),
        Request::PortLook { port } => net::port_look(*port),
        Request::Netlink { protocol, messages } => netlink::ask(*protocol, messages),
        Request::Sniff { word, wall_ms } => sniff::sniff(word, *wall_ms),
        Request::Peer { word } => peer::peer(word),
        Request::Reach { to, gateway, peer, word } => peer::reach(to, gateway, peer, word),
        Request::Forge { source, to, word } => peer::forge(source, to, word),
        Request::Impersonate { hardware, word, wall_ms } => sniff::impersonate(hardware, word, *wall_ms),
        Request::Cookies { count } => net::cookies(*count),
        Request::Connections { count } => net::connections(*count),
        Request::LockPlant { path } => kernel::lock_plant(path),
        Request::LockLook { path } => kernel::lock_look(path),
        Request::OpenMany { count } => kernel::open_many(*count),
        Request::ForkMany { count } => kernel::fork_many(*count),
        Request::Inotify { count } => kernel::inotify(*count),
        Request::KeyPlant { name } => kernel::key_plant(name),
        Request::KeyLook { name, of_session } => kernel::key_look(name, *of_session),
        Request::ChrootEscape { path } => escape::chroot(path),
        Request::DotsEscape { path } => escape::dots(path),
        Request::DescriptorEscape { path } => escape::through_descriptors(path),
        Request::Descriptors { mark } => escape::descriptors(mark),
        Request::OpenFolders => escape::folders(),
        Request::Mount { path } => escape::mount(path),
        Request::Remount { path } => escape::remount(path),
        Request::Device { block, major, minor } => escape::device(*block, *major, *minor),
        Request::Handle => escape::handle(),
        Request::Create { path } => file::create(path),
        Request::Clocks => call::clocks(),
        Request::Hog { kind, bytes } => load::hog(*kind, *bytes),
        Request::Keep { bytes } => load::keep(MemoryKind::Anonymous, *bytes),
        Request::KeepShared { bytes } => load::keep(MemoryKind::Shared, *bytes),
        Request::FindWord { path, word, is_machine } => device::find(path, word, *is_machine),
        Request::End { .. } => facts([("errno", number(0))]),
        Request::SetClock { ahead_s } => device::set_clock(*ahead_s),
        Request::Latency { of, wall_ms } => busy::latency(*of, *wall_ms, inherited_file),
        Request::Busy { name, with } => busy::busy(name, *with, inherited_file),
        Request::Shout { text, bytes } => load::shout(text, *bytes),
        Request::Compute { wall_ms } => load::compute(*wall_ms),
        Request::Spinner { name, orphan } => load::spinner(name, *orphan),
        Request::Forker { name } => load::forker(name),
        Request::Terminal { name } => terminal::begin(name),
        Request::WriteDisk { bytes } => load::write_disk(*bytes, inherited_file),
        Request::WriteCached { bytes } => cache::write(*bytes, inherited_file),
        Request::ForkBomb { most } => load::fork_bomb(*most),
        Request::Processors => load::processors(),
        Request::Cgroups { group } => group::reach(group),
        Request::Hang => loop {
            std::thread::sleep(DEADLINE);
        },
        Request::Crash { signal } => process::crash(*signal),
    }
}

/// In a child, until it has answered, ended or is out of time.
fn apart(request: &Request, inherited_file: bool) -> (Ending, Facts) {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are stored; the child of a program with one thread may go on as it likes.
    let child = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return (Ending::NotStarted(last_errno()), Facts::new());
        }
        libc::fork()
    };
    // SAFETY: both descriptors are this process's own.
    let (mut out, input) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    match child {
        -1 => (Ending::NotStarted(last_errno()), Facts::new()),
        0 => {
            drop(out);
            answer(request, input, inherited_file)
        }
        _ => {
            drop(input);
            let text = until_deadline(&mut out, child);
            let facts = text.as_deref().and_then(|text| serde_json::from_slice::<Facts>(text).ok());
            match (text, facts) {
                (Some(_), Some(facts)) => {
                    if !request.holds() {
                        reap(child);
                    }
                    (Ending::Done, facts)
                }
                (None, _) => {
                    // SAFETY: our own child, not yet waited for.
                    unsafe { libc::kill(child, libc::SIGKILL) };
                    reap(child);
                    (Ending::Timeout, Facts::new())
                }
                (Some(_), None) => (reap(child), Facts::new()),
            }
        }
    }
}

/// In the child: does it, answers, and stays where something is to be held.
fn answer(request: &Request, mut input: File, inherited_file: bool) -> ! {
    // SAFETY: act on this process alone. Where no namespace ends it with its parent, this does.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    let mut facts = carry_out(request, inherited_file);
    let text = serde_json::to_vec(&facts).unwrap_or_default();
    let text = if text.len() <= ANSWER_BYTES {
        text
    } else {
        facts.retain(|_, fact| matches!(fact, Fact::Number(_)));
        facts.insert("too_long".into(), Fact::Number(text.len() as i64));
        serde_json::to_vec(&facts).unwrap_or_default()
    };
    let _ = input.write_all(&text);
    drop(input);
    if let Request::End { panic } = request {
        device::end(*panic);
    }
    if request.holds() {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    // SAFETY: ends the child without running what belongs to its parent.
    unsafe { libc::_exit(0) }
}

/// All the child says, or `None` where it has not finished in time. Process 1 waits meanwhile for those whose
/// parents have ended (pid_namespaces(7)).
fn until_deadline(out: &mut File, child: libc::pid_t) -> Option<Vec<u8>> {
    let deadline = Instant::now() + DEADLINE;
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let mut wait = libc::pollfd { fd: out.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd that lives through the call.
        let ready = unsafe { libc::poll(&mut wait, 1, left.min(PAUSE).as_millis() as libc::c_int) };
        wait_for_orphans(child);
        if ready == 0 {
            continue;
        }
        match out.read(&mut bytes) {
            Ok(0) => return Some(text),
            Ok(read) if text.len() < 2 * ANSWER_BYTES => text.extend_from_slice(&bytes[..read]),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Some(text),
        }
    }
}

/// Waits for whoever has ended, but for `child`, which is asked how.
fn wait_for_orphans(child: libc::pid_t) {
    loop {
        // SAFETY: the result is plain data and lives through the calls; only own children are waited for.
        unsafe {
            let mut ended: libc::siginfo_t = std::mem::zeroed();
            let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            if libc::waitid(libc::P_ALL, 0, &mut ended, look) != 0 {
                return;
            }
            match ended.si_pid() {
                0 => return,
                pid if pid == child => return,
                pid => libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG),
            };
        }
    }
}

fn reap(child: libc::pid_t) -> Ending {
    let mut status = 0;
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status))
    } else {
        Ending::Exited(libc::WEXITSTATUS(status))
    }
}

/// The error number of the last failed call.
fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}

/// `errno` of a call that returns a negative number where it fails.
fn errno_of(result: i64) -> i64 {
    if result < 0 { last_errno().into() } else { 0 }
}

/// `errno` of a library's error.
fn errno(error: &std::io::Error) -> Fact {
    Fact::Number(error.raw_os_error().unwrap_or(-1).into())
}

/// Facts from pairs.
fn facts<const N: usize>(pairs: [(&str, Fact); N]) -> Facts {
    pairs.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
}

fn number(number: impl Into<i64>) -> Fact {
    Fact::Number(number.into())
}

fn text(bytes: &[u8]) -> Fact {
    Fact::Text(String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES)]).into_owned())
}
