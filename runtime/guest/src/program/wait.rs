//! The rest of an init's life: reap orphans until told to end.

/// Waits for SIGTERM or SIGINT, reaping whatever ends meanwhile. Returns exit status 0.
///
/// PID 1 of a PID namespace gets only signals it handles or waits for (pid_namespaces(7)).
pub fn until_told_to_end() -> i32 {
    // SAFETY: the set is initialised by sigemptyset before use; all calls act on this process alone.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD] {
            libc::sigaddset(&mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        loop {
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            let mut signal = 0;
            if libc::sigwait(&set, &mut signal) == 0 && signal != libc::SIGCHLD {
                return 0;
            }
        }
    }
}
