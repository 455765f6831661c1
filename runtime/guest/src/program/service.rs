//! The workload `service`: a program of the image that listens, and when it begins to.
//!
//! The service is started on a thread with a seccomp filter that every program below inherits and
//! that tells of listen(2) and of nothing else (seccomp_unotify(2)): what it costs is one look at the
//! number of each system call, and nobody has to ask again and again whether somebody listens.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{Message, Plan, Service, Stream};

use super::channel::Channel;
use super::{command, copy};

/// How long a listen(2) that was announced may take to be done.
const DONE_WITHIN: Duration = Duration::from_millis(50);
/// How often it is looked where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// State of a socket that listens, in /proc/net/tcp (net/tcp_states.h).
const LISTEN: &str = "0A";

/// Runs the service to its end, passes on its output and returns its status.
pub fn run(channel: &Arc<Channel>, service: Service, argv: &[String], plan: &Plan) -> i32 {
    let (report, reported) = std::sync::mpsc::channel();
    let watcher = {
        let out = Listener { channel: channel.clone(), port: service.port, is_template: plan.template };
        std::thread::spawn(move || {
            match reported.recv() {
                Ok(Ok(listener)) => out.follow(&listener),
                Ok(Err(error)) => out.look(&error),
                Err(_) => {}
            };
        })
    };
    let status = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _ = report.send(filter_this_thread());
            command::run(channel, argv, plan)
        });
        thread.join().unwrap_or(127)
    });
    drop(watcher);
    status
}

/// Who waits for the service to listen.
struct Listener {
    channel: Arc<Channel>,
    port: u16,
    /// Whether the machine is then to be saved.
    is_template: bool,
}

impl Listener {
    /// Lets each listen(2) go on, and says when one of them has made the port listen.
    fn follow(&self, listener: &OwnedFd) {
        let mut told = false;
        while let Ok(id) = next_listen(listener) {
            let_go_on(listener, id);
            let until = Instant::now() + DONE_WITHIN;
            while !told && Instant::now() < until {
                told = self.say_if_listening();
                std::thread::yield_now();
            }
        }
    }

    /// Without the kernel's word: looks again and again until the port listens.
    fn look(&self, error: &io::Error) {
        let port = self.port;
        let text =
            format!("looking every {LOOK_EVERY:?} whether port {port} listens: no seccomp filter: {error}");
        self.channel.send(&Message::Log { stream: Stream::Guest, text });
        while !self.say_if_listening() {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn say_if_listening(&self) -> bool {
        let listens = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
            .iter()
            .any(|path| std::fs::read_to_string(path).is_ok_and(|table| has_listener(&table, self.port)));
        if listens {
            self.channel.send(&Message::Listening { port: self.port });
            if self.is_template {
                self.go_on_as_copy();
            }
        }
        listens
    }

    /// Waits to be saved while the service goes on, and says again in each copy that it listens. On
    /// a thread of its own: the service may have further sockets to listen on.
    fn go_on_as_copy(&self) {
        let (channel, port) = (self.channel.clone(), self.port);
        std::thread::spawn(move || {
            if let Err(error) = copy::become_one(&channel, Some(port)) {
                channel.send(&Message::Failed { error });
            }
        });
    }
}

/// Whether the table (proc(5), /proc/net/tcp) has a socket that listens on `port`.
fn has_listener(table: &str, port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&suffix)) && fields.nth(1) == Some(LISTEN)
    })
}

/// Installs the filter on this thread and returns its listener.
fn filter_this_thread() -> io::Result<OwnedFd> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const SKIP_UNLESS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut steps = [
        // The number of the system call is the first field of seccomp_data. A program of another
        // architecture (32 bit) has other numbers: what it is told of by mistake goes on all the same.
        step(LOAD_NUMBER, 0, 0),
        step(SKIP_UNLESS, 1, libc::SYS_listen as u32),
        step(ANSWER, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(ANSWER, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: acts on this thread; the program lives through the call. The listener is a fresh
    // descriptor that nobody else owns.
    unsafe {
        // Needed without CAP_SYS_ADMIN: what is started here gains no privileges by executing a file.
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        );
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd as i32)) }
    }
}

/// Waits for the next listen(2); its caller stands still until [`let_go_on`].
fn next_listen(listener: &OwnedFd) -> io::Result<u64> {
    loop {
        // SAFETY: the kernel wants zeroes and fills in the notification; both live through the call.
        let (result, id) = unsafe {
            let mut notification: libc::seccomp_notif = std::mem::zeroed();
            let result = libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut notification);
            (result, notification.id)
        };
        if result == 0 {
            return Ok(id);
        }
        let error = io::Error::last_os_error();
        // ENOENT: the caller was killed meanwhile.
        if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT)) {
            return Err(error);
        }
    }
}

fn let_go_on(listener: &OwnedFd, id: u64) {
    // SAFETY: plain data for which all zeroes is valid; lives through the call.
    unsafe {
        let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
        answer.id = id;
        answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw mut answer);
    }
}

/// SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND (linux/seccomp.h): `_IOWR('!', 0 and 1, …)`.
const NOTIF_RECV: libc::Ioctl = request::<libc::seccomp_notif>(0);
const NOTIF_SEND: libc::Ioctl = request::<libc::seccomp_notif_resp>(1);

const fn request<T>(number: u64) -> libc::Ioctl {
    const READ_AND_WRITE: u64 = 3 << 30;
    (READ_AND_WRITE | ((size_of::<T>() as u64) << 16) | ((b'!' as u64) << 8) | number) as libc::Ioctl
}
