//! The loopback interface of a new network namespace (netdevice(7)).

use super::syscall::{Answer, raw};

/// Brings it up.
///
/// # Safety
/// In the child.
pub(super) unsafe fn bring_up() -> Answer<()> {
    // SAFETY: the request is plain data that lives through the call; the descriptor is this child's.
    unsafe {
        let socket = raw!(SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let result = raw!(SYS_ioctl, socket, libc::SIOCSIFFLAGS, &raw const request);
        let _ = raw!(SYS_close, socket);
        result.map(drop)
    }
}
