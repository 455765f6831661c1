//! A client of services: one request a connection, as `serving` is measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use guest::Protocol;
use runtime::clock::now_ns;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that ask at the same time.
const ASKERS: usize = 8;
/// More of an answer is not read.
const MOST_BYTES: u64 = 64 << 10;

/// Makes one request and reads its answer. Returns how long that took, in nanoseconds.
///
/// # Errors
/// What the network said, or that the answer is none.
pub(crate) fn ask(address: SocketAddr, protocol: Protocol) -> io::Result<u64> {
    let began_ns = now_ns();
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    connection.set_nodelay(true)?;
    connection.write_all(protocol.question())?;
    let good = protocol.good_answer();
    let mut answer = Vec::new();
    match protocol {
        // All of it, until the service closes the connection as it was asked to.
        Protocol::Http => connection.take(MOST_BYTES).read_to_end(&mut answer)?,
        // The connection stays open.
        Protocol::Redis => connection.take(good.len() as u64).read_to_end(&mut answer)?,
    };
    if !answer.starts_with(good) {
        let answer = String::from_utf8_lossy(&answer[..answer.len().min(good.len())]).into_owned();
        return Err(io::Error::other(format!("it answers {answer:?}")));
    }
    Ok(now_ns() - began_ns)
}

/// Makes `times` requests to each address, several at a time. Returns how many had no answer.
pub(crate) fn ask_each(addresses: &[SocketAddr], protocol: Protocol, times: u32) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..ASKERS.min(addresses.len()) {
            scope.spawn(|| {
                while let Some(address) = addresses.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let unanswered = (0..times).filter(|_| ask(*address, protocol).is_err()).count();
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
        assert!(ask(good, Protocol::Http).is_ok_and(|took_ns| took_ns > 0));
        assert_eq!(ask_each(&[good, bad], Protocol::Http, 3), 3);
        assert_eq!(ask_each(&[], Protocol::Http, 3), 0);
        // Another kind of service than was thought is no answer.
        assert!(ask(good, Protocol::Redis).is_err_and(|error| error.to_string().contains("HTTP/1.")));
    }

    #[test]
    fn a_connection_that_stays_open_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("accepted");
            let mut asked = [0; 6];
            connection.read_exact(&mut asked).expect("read");
            assert_eq!(&asked, b"PING\r\n");
            connection.write_all(b"+PONG\r\n").expect("answered");
            let _ = connection.read(&mut asked);
        });
        assert!(ask(address, Protocol::Redis).is_ok());
    }
}
