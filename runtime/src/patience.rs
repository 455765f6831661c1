//! Waiting in tests: never without end, since one that waits for ever tells nobody what it waits for.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError};

use crate::Stamped;

/// How long a test waits for what comes at once on a machine of its own: tests share few processors.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The next event, or `None` where no more can come.
///
/// # Panics
/// Where nothing has come within [`PATIENCE`].
pub(crate) fn next(events: &mut UnboundedReceiver<Stamped>) -> Option<Stamped> {
    match next_by(events, Instant::now() + PATIENCE) {
        Ok(stamped) => Some(stamped),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) => panic!("nothing came within {PATIENCE:?}"),
    }
}

/// The next event; the error says whether none came by then or none can come.
pub(crate) fn next_by(
    events: &mut UnboundedReceiver<Stamped>,
    until: Instant,
) -> Result<Stamped, TryRecvError> {
    loop {
        match events.try_recv() {
            Err(TryRecvError::Empty) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended => return ended,
        }
    }
}

/// What a service answers to one HTTP request over a new connection.
pub(crate) fn http(connection: io::Result<TcpStream>) -> String {
    let mut connection = connection.expect("connected");
    connection.set_read_timeout(Some(PATIENCE)).expect("set");
    connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("asked");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("answered");
    answer
}
