//! The workload `http`: the smallest service that answers a real request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::time::Duration;

use guest::Message;

use super::channel::Channel;

/// Port inside a machine.
pub const MACHINE_PORT: u16 = 80;
/// Where an inherited listening socket is found.
const LISTENER_FD: i32 = 4;
/// Longest request head that is read.
const HEAD_BYTES: usize = 8 * 1024;
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

/// Begins to serve on a thread of its own.
pub fn serve(channel: Arc<Channel>, inherited: bool, has_address: bool) -> Result<(), String> {
    let listener = if inherited {
        // SAFETY: the plan says that descriptor 4 was passed for this purpose; nobody else owns it.
        unsafe { TcpListener::from_raw_fd(LISTENER_FD) }
    } else {
        // What has an address of its own has all its ports to itself; a process shares them with the
        // host and stays on loopback.
        let address = match channel.is_machine() || has_address {
            true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, MACHINE_PORT)),
            false => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?
    };
    let port =
        listener.local_addr().map_err(|error| format!("cannot read the listener's address: {error}"))?.port();
    std::thread::Builder::new()
        .spawn(move || {
            for connection in listener.incoming().flatten() {
                let _ = answer(connection);
            }
        })
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    // Not before there is somebody to answer: who asks would be told of a reset, and not of its cause.
    channel.send(&Message::Listening { port });
    Ok(())
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    // A client that says nothing must not keep the next one waiting for ever.
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; HEAD_BYTES];
    let mut length = 0;
    while length < head.len() {
        let read = connection.read(&mut head[length..])?;
        length += read;
        if read == 0 {
            return Ok(());
        }
        if head[..length].windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return connection.write_all(ANSWER);
        }
    }
    connection.write_all(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
}
