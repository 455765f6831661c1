//! A terminal's line discipline, which the kernel's own threads carry out (pty(7); tty_buffer_flush_work in
//! drivers/tty/tty_buffer.c).

use guest::probe::Facts;

use super::load::aside;
use super::{facts, last_errno, number};

/// Bytes of a line.
const LINE_BYTES: usize = 64;
/// Lines before anything is read.
const LINES: usize = 32;

const FLAGS: libc::c_int = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;

/// A process that writes to a terminal of its own and reads what comes out.
pub fn begin(name: &str) -> Facts {
    // There what is inherited is closed, so it opens its own; that one can be had is seen here.
    let own = match Terminal::open() {
        Err(errno) => return facts([("errno", number(errno))]),
        Ok(_) => Terminal::open,
    };
    aside(name, None, move || {
        let terminal = own();
        move || match &terminal {
            Ok(terminal) => terminal.carry(),
            Err(_) => {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            }
        }
    })
}

/// Both of its ends.
struct Terminal {
    screen: libc::c_int,
    line: libc::c_int,
}

impl Terminal {
    fn open() -> Result<Terminal, i32> {
        // SAFETY: makes a descriptor; numbers are stored in locals of the size the calls take.
        unsafe {
            let mut screen = libc::open(c"/dev/ptmx".as_ptr(), FLAGS);
            if screen < 0 && last_errno() == libc::ENOENT {
                // In a machine nobody else has mounted what gives terminals their numbers.
                libc::mkdir(c"/dev/pts".as_ptr(), 0o755);
                let devpts = c"devpts".as_ptr();
                libc::mount(devpts, c"/dev/pts".as_ptr(), devpts, 0, std::ptr::null());
                screen = libc::open(c"/dev/ptmx".as_ptr(), FLAGS);
            }
            if screen < 0 {
                return Err(last_errno());
            }
            let unlocked: libc::c_int = 0;
            let made = libc::ioctl(screen, libc::TIOCSPTLCK, &raw const unlocked);
            let line = if made == 0 { Terminal::line(screen) } else { -1 };
            let terminal = Terminal { screen, line };
            if line < 0 { Err(last_errno()) } else { Ok(terminal) }
        }
    }

    /// The other end, by descriptor, or by number where the kernel has no such call.
    fn line(screen: libc::c_int) -> libc::c_int {
        // SAFETY: makes a descriptor; the number is stored in a local, the path ends with NUL.
        unsafe {
            let line = libc::ioctl(screen, libc::TIOCGPTPEER, FLAGS);
            let mut number: libc::c_uint = 0;
            if line >= 0 || libc::ioctl(screen, libc::TIOCGPTN, &raw mut number) != 0 {
                return line;
            }
            let path = std::ffi::CString::new(format!("/dev/pts/{number}")).unwrap_or_default();
            libc::open(path.as_ptr(), FLAGS)
        }
    }

    fn carry(&self) {
        let mut bytes = [b'x'; LINE_BYTES];
        bytes[LINE_BYTES - 1] = b'\n';
        // SAFETY: the buffer is valid for its length.
        unsafe {
            for _ in 0..LINES {
                libc::write(self.line, bytes.as_ptr().cast(), bytes.len());
            }
            while libc::read(self.screen, bytes.as_mut_ptr().cast(), bytes.len()) > 0 {}
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // SAFETY: its own.
        unsafe {
            libc::close(self.line);
            libc::close(self.screen);
        }
    }
}
