//! The floor: the least a container can be made of. A small process of its own forks, makes the
//! seven namespaces, private mounts, pivot_root and a fresh /proc, and executes the program.
//! No other ids, limits, devices, masks, capabilities or filter.

use std::ffi::{CStr, CString};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::ptr;

use runtime::clock::now_ns;
use runtime::watch::Watch;

/// Makes this program the floor's process.
pub const ARGUMENT: &str = "--floor";

pub struct Floor {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Floor {
    pub fn new(rootfs: &Path) -> Floor {
        let own = std::env::current_exe().expect("own path");
        let mut child = Command::new(own)
            .arg(ARGUMENT)
            .arg(rootfs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let (orders, answers) = (child.stdin.take().expect("pipe"), child.stdout.take().expect("pipe"));
        Floor { child, orders, answers: BufReader::new(answers) }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl crate::Contestant for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn round(&mut self, _watch: &Watch) -> Result<u64, String> {
        self.orders.write_all(b"go\n").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        line.trim().parse().map_err(|_| format!("the floor said {line:?}"))
    }
}

/// The floor's process: an instance for each line, its nanoseconds as the answer.
pub fn serve(rootfs: &Path) {
    let root = CString::new(rootfs.as_os_str().as_encoded_bytes()).expect("a path");
    let plan = CString::new(crate::plan()).expect("a plan");
    for _ in std::io::stdin().lines() {
        let began_ns = now_ns();
        let (inside, outside) = UnixStream::pair().expect("pair");
        let answer = match start(&root, &plan, inside.as_fd().as_raw_fd()) {
            Err(error) => error,
            Ok(pid) => {
                drop(inside);
                let mut first = [0u8; 1];
                let read = rustix::io::read(&outside, &mut first);
                let ready_ns = now_ns();
                // SAFETY: ends and reaps the child made above.
                unsafe {
                    libc::kill(pid, libc::SIGKILL);
                    libc::waitpid(pid, ptr::null_mut(), 0);
                }
                if read == Ok(1) { (ready_ns - began_ns).to_string() } else { "not ready".into() }
            }
        };
        println!("{answer}");
    }
}

fn start(root: &CStr, plan: &CStr, socket: i32) -> Result<i32, String> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | libc::SIGCHLD;
    // SAFETY: without CLONE_VM a fork (clone(2)): the child goes on with a copy of this one's only
    // thread and makes system calls only.
    unsafe {
        match libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) {
            -1 => Err(std::io::Error::last_os_error().to_string()),
            0 => {
                let none: *const libc::c_char = ptr::null();
                let done =
                    libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
                        && libc::mount(
                            root.as_ptr(),
                            root.as_ptr(),
                            none,
                            libc::MS_BIND | libc::MS_REC,
                            none.cast(),
                        ) == 0
                        && libc::chdir(root.as_ptr()) == 0
                        && libc::mount(c"proc".as_ptr(), c"proc".as_ptr(), c"proc".as_ptr(), 0, none.cast())
                            == 0
                        && libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) == 0
                        && libc::umount2(c".".as_ptr(), libc::MNT_DETACH) == 0
                        && libc::dup2(socket, 3) == 3
                        && libc::fcntl(3, libc::F_SETFD, 0) == 0;
                if done {
                    let argv = [c"guest".as_ptr(), c"fd:3".as_ptr(), plan.as_ptr(), ptr::null()];
                    libc::execve(c"/guest".as_ptr(), argv.as_ptr(), [ptr::null()].as_ptr());
                }
                libc::_exit(127)
            }
            pid => Ok(pid as i32),
        }
    }
}
