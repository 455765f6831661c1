//! A client of the workload `http`: one request a connection, as `serving` is measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime::clock::now_ns;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that ask at the same time.
const ASKERS: usize = 8;

/// Makes one request and reads its whole answer. Returns how long that took, in nanoseconds.
///
/// # Errors
/// What the network said, or that the answer is none.
pub(crate) fn ask(address: SocketAddr) -> io::Result<u64> {
    let began_ns = now_ns();
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    connection.set_nodelay(true)?;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(64 << 10).read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("the answer is no HTTP/1.1 200"));
    }
    Ok(now_ns() - began_ns)
}

/// Makes `times` requests to each address, several at a time. Returns how many had no answer.
pub(crate) fn ask_each(addresses: &[SocketAddr], times: u32) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..ASKERS.min(addresses.len()) {
            scope.spawn(|| {
                while let Some(address) = addresses.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let unanswered = (0..times).filter(|_| ask(*address).is_err()).count();
                    failed.fetch_add(unanswered, Ordering::Relaxed);
                }
            });
        }
    });
    failed.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn what_is_not_answered_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let good = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let mut connection = connection;
                let _ = connection.read(&mut [0; 256]);
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let bad = {
            let closed = TcpListener::bind("127.0.0.1:0").expect("bound");
            closed.local_addr().expect("address")
        };
        assert!(ask(good).is_ok_and(|took_ns| took_ns > 0));
        assert_eq!(ask_each(&[good, bad], 3), 3);
        assert_eq!(ask_each(&[], 3), 0);
    }
}
