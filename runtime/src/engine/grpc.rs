//! Unary gRPC calls on one HTTP/2 connection (gRPC over HTTP2, PROTOCOL-HTTP2.md).

use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::http::Client;
use crate::Error;

/// How long an engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes before each message: a flag for compression and the length.
const HEAD_BYTES: usize = 5;

/// A connection to a gRPC server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Grpc {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
}

impl Grpc {
    /// Connects to the server at `socket`.
    ///
    /// # Errors
    /// What the system or the server said.
    pub(super) fn connect(socket: &Path) -> Result<Grpc, Error> {
        let client = Client::new(socket)?;
        let sender = client.wait(async {
            let stream = client.connect().await?;
            let made =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (sender, connection) = made.map_err(|error| client.refused("the connection", &error))?;
            tokio::spawn(connection);
            Ok::<_, Error>(sender)
        })?;
        Ok(Grpc { client, sender })
    }

    /// Does something that waits, in the background.
    pub(super) fn background(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.client.background(future);
    }

    pub(super) fn socket(&self) -> &Path {
        self.client.socket()
    }

    /// Calls `service/method` and waits for its answer on the calling thread.
    ///
    /// # Errors
    /// What the engine said instead, or that it said nothing in time.
    pub(super) fn call<R: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<R, Error> {
        self.client.wait(self.ask(method, message))
    }

    /// [`Grpc::call`], to be awaited.
    ///
    /// # Errors
    /// As [`Grpc::call`].
    pub(super) async fn ask<R: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<R, Error> {
        let done = tokio::time::timeout(TIMEOUT, self.exchange(method, frame(message))).await;
        let bytes = done.map_err(|_| {
            let socket = self.socket().display();
            Error::Invalid(format!("the engine at {socket} did not answer {method} within {TIMEOUT:?}"))
        })??;
        message_of(bytes)
            .and_then(|bytes| R::decode(bytes).ok())
            .ok_or_else(|| Error::Invalid(format!("the answer of the engine to {method} is not understood")))
    }

    async fn exchange(&self, method: &str, body: Bytes) -> Result<Bytes, Error> {
        let broke_off = |error: &dyn std::fmt::Display| self.client.refused(method, error);
        let request = Request::post(format!("http://localhost/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body))
            .map_err(|error| broke_off(&error))?;
        let answer = self.sender.clone().send_request(request).await.map_err(|error| broke_off(&error))?;
        let head = answer.headers().clone();
        let body = answer.into_body().collect().await.map_err(|error| broke_off(&error))?;
        let field = |name: &str| {
            let trailers = body.trailers().and_then(|trailers| trailers.get(name));
            trailers.or_else(|| head.get(name)).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        match field("grpc-status").as_deref() {
            Some("0") => Ok(body.to_bytes()),
            status => {
                let said = percent_decoded(&field("grpc-message").unwrap_or_default());
                let status = status.unwrap_or("none");
                Err(Error::Invalid(format!("the engine refuses {method} (gRPC status {status}): {said}")))
            }
        }
    }
}

fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// The one message of an answer; none where it is compressed, cut or followed by more.
fn message_of(mut bytes: Bytes) -> Option<Bytes> {
    if bytes.len() < HEAD_BYTES || bytes.get_u8() != 0 {
        return None;
    }
    let length = bytes.get_u32() as usize;
    (bytes.len() == length).then_some(bytes)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::PodId;

    #[test]
    fn a_frame_holds_one_message_and_nothing_else_is_taken() {
        let message = PodId { pod_sandbox_id: "abc".into() };
        let bytes = frame(&message);
        // Field 1, length-delimited, three bytes (protobuf encoding).
        assert_eq!(&bytes[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'b', b'c']);
        assert_eq!(message_of(bytes.clone()).and_then(|bytes| PodId::decode(bytes).ok()), Some(message));
        for bad in [&bytes[..4], &bytes[..9], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 7]] {
            assert_eq!(message_of(Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn messages_of_errors_are_readable() {
        assert_eq!(percent_decoded("no image %22x%22 50%"), "no image \"x\" 50%");
    }
}
