//! HTTP to an engine's socket: version 1.1 for Docker's interface, version 2 for gRPC.
//!
//! hyper, the client library below bollard and tonic, by itself: what is asked here are a dozen
//! requests, for which their generated types would be most of this program's dependencies.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::{Handle, Runtime};

use crate::Error;

/// How long an engine may take to answer, where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most that is read of an answer.
const ANSWER_BYTES: usize = 16 << 20;
/// Bytes of a file sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// An engine behind a socket. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    socket: PathBuf,
    executor: &'static Runtime,
}

/// What an engine answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// The thread that waits for engines. One for all and never ended: what it carries out keeps it alive,
/// and an executor must not end on a thread of its own.
fn executor() -> Result<&'static Runtime, Error> {
    static EXECUTOR: OnceLock<Runtime> = OnceLock::new();
    if let Some(executor) = EXECUTOR.get() {
        return Ok(executor);
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("engine")
        .enable_all()
        .build()
        .map_err(Error::system("start the thread that waits for engines"))?;
    Ok(EXECUTOR.get_or_init(|| made))
}

impl Client {
    /// For the socket at `socket`; nothing is connected yet.
    ///
    /// # Errors
    /// Where the threads that wait for answers cannot be started.
    pub(super) fn new(socket: &Path) -> Result<Client, Error> {
        Ok(Client { socket: socket.into(), executor: executor()? })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Does something that waits, on the calling thread.
    pub(super) fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        if Handle::try_current().is_err() {
            return self.executor.block_on(future);
        }
        // An instance that is dropped by somebody else's executor, which must not be entered twice.
        let waited = std::thread::scope(|scope| scope.spawn(|| self.executor.block_on(future)).join());
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Does something that waits, in the background.
    pub(super) fn background(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(future);
    }

    /// Makes a request with a JSON body and reads the answer.
    ///
    /// # Errors
    /// Where the engine cannot be reached or does not answer in time.
    pub(super) fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let future = self.request(method, path.to_owned(), "application/json", Either::Left(Full::new(body)));
        self.in_time(path, TIMEOUT, future)
    }

    /// Sends a file.
    ///
    /// # Errors
    /// As [`Client::call`], and where the file cannot be read.
    pub(super) fn send(&self, path: &str, file: File, timeout: Duration) -> Result<Answer, Error> {
        let left = file.metadata().map_err(Error::system("look at an archive"))?.len();
        let body = Either::Right(FileBody { file, left });
        let future = self.request(Method::POST, path.to_owned(), "application/x-tar", body);
        self.in_time(path, timeout, future)
    }

    fn in_time(
        &self,
        path: &str,
        timeout: Duration,
        future: impl Future<Output = Result<Answer, Error>> + Send,
    ) -> Result<Answer, Error> {
        self.wait(async {
            tokio::time::timeout(timeout, future).await.unwrap_or_else(|_| {
                let socket = self.socket.display();
                Err(Error::Invalid(format!(
                    "the engine at {socket} did not answer {path} within {timeout:?}"
                )))
            })
        })
    }

    /// [`Client::call`] without a body or a deadline, to be awaited.
    ///
    /// # Errors
    /// Where the engine cannot be reached or hangs up.
    pub(super) async fn ask(&self, method: Method, path: String) -> Result<Answer, Error> {
        self.request(method, path, "application/json", Either::Left(Full::default())).await
    }

    async fn request(
        &self,
        method: Method,
        path: String,
        kind: &str,
        body: Either<Full<Bytes>, FileBody>,
    ) -> Result<Answer, Error> {
        let what = format!("{method} {path}");
        let said = |error: hyper::Error| self.refused(&what, &error);
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "engine")
            .header("content-type", kind)
            .body(body)
            .map_err(|error| self.refused(&what, &error))?;
        let response = sender.send_request(request).await.map_err(said)?;
        let status = response.status().as_u16();
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| self.refused(&what, &*error))?.to_bytes();
        Ok(Answer { status, body })
    }

    /// Connects to the socket.
    ///
    /// # Errors
    /// What the system said.
    pub(super) async fn connect(&self) -> Result<UnixStream, Error> {
        let connected = UnixStream::connect(&self.socket).await;
        connected.map_err(Error::system(format!("connect to {}", self.socket.display())))
    }

    pub(super) fn refused(&self, what: &str, error: &dyn std::fmt::Display) -> Error {
        Error::Invalid(format!("the engine at {} broke off {what}: {error}", self.socket.display()))
    }
}

impl Answer {
    /// The body as JSON, where the status is a good one.
    ///
    /// # Errors
    /// What the engine said instead.
    pub(super) fn good(&self, what: &str) -> Result<Value, Error> {
        if !(200..300).contains(&self.status) {
            let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
            let text = String::from_utf8_lossy(&self.body);
            let message = value["message"].as_str().unwrap_or(text.trim());
            return Err(Error::Invalid(format!(
                "the engine refuses to {what} (status {}): {message}",
                self.status
            )));
        }
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        // Some answers are a stream of objects; those are for the eye.
        Ok(serde_json::from_slice(&self.body).unwrap_or(Value::Null))
    }
}

/// A file as a body. Reading blocks: it is in the page cache, written just now.
pub(super) struct FileBody {
    file: File,
    left: u64,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let mut piece = vec![0; PIECE_BYTES];
        Poll::Ready(match self.file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                self.left = self.left.saturating_sub(read as u64);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
