//! What the host has at a bridge: a socket at which it meets who is there, and a network elsewhere.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use runtime::network::{Bridge, Port};

use super::super::check::{Absent, HostPlant, OnHost};
use super::super::nonce::Nonce;
use super::net_plant::raise_loopback;

/// How often the host says something to who it has met, and looks for what came.
const EVERY: Duration = Duration::from_millis(10);
/// How long an instance may take to answer on a busy host.
const PATIENCE: Duration = Duration::from_secs(5);
const FORWARDS: &str = "/proc/sys/net/ipv4/ip_forward";

/// A UDP socket at the host's address of the bridge. It says its word to whoever it has met, again and again, and
/// keeps what comes.
pub(super) struct Meeting {
    address: SocketAddr,
    word: String,
    shared: Arc<Shared>,
    speaker: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    met: Mutex<Option<SocketAddr>>,
    /// From where and what.
    heard: Mutex<Vec<(SocketAddr, String)>>,
}

impl Meeting {
    pub(super) fn plant(nonce: &Nonce, bridge: &Arc<Bridge>) -> HostPlant {
        let absent = |error: std::io::Error| Absent(format!("a socket at the bridge: {error}"));
        // What a bare process says to the host's address goes over it.
        raise_loopback().map_err(absent)?;
        let socket = UdpSocket::bind((bridge.host_address(), 0)).map_err(absent)?;
        socket.set_read_timeout(Some(EVERY)).map_err(absent)?;
        let address = socket.local_addr().map_err(absent)?;
        let (word, shared) = (nonce.word(), Arc::new(Shared::default()));
        let its = (word.clone(), shared.clone());
        let speak = move || speak(&socket, &its.0, &its.1);
        let speaker = std::thread::Builder::new().name("meet".into()).spawn(speak).map_err(absent)?;
        Ok(Box::new(Meeting { address, word, shared, speaker: Some(speaker) }))
    }

    fn answers(&self) -> usize {
        self.heard().iter().filter(|said| said.ends_with(&format!(" {}", self.word))).count()
    }
}

fn speak(socket: &UdpSocket, word: &str, shared: &Shared) {
    let mut bytes = [0; 512];
    let mut said = Instant::now();
    while !shared.is_over.load(Ordering::Relaxed) {
        if said.elapsed() >= EVERY {
            said = Instant::now();
            let met = *shared.met.lock().unwrap_or_else(PoisonError::into_inner);
            // That somebody does not hear it is seen by what he does not answer.
            let _ = met.map(|met| socket.send_to(word.as_bytes(), met));
        }
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let what = String::from_utf8_lossy(&bytes[..length]).into_owned();
            shared.heard.lock().unwrap_or_else(PoisonError::into_inner).push((from, what));
        }
    }
}

impl OnHost for Meeting {
    fn witness(&self) -> Result<String, String> {
        match self.speaker.as_ref().is_some_and(|speaker| !speaker.is_finished()) {
            true => Ok(format!("the host is at {}", self.address)),
            false => Err("the host is there no more".into()),
        }
    }

    fn text(&self) -> String {
        self.address.to_string()
    }

    fn heard(&self) -> Vec<String> {
        let heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().map(|(from, what)| format!("{} {what}", from.ip())).collect()
    }

    /// Says its word there from now on, and hears it back.
    fn meet(&self, address: &str) -> Result<String, String> {
        let met = address.parse().map_err(|error| format!("{address:?}: {error}"))?;
        *self.shared.met.lock().unwrap_or_else(PoisonError::into_inner) = Some(met);
        let (before, until) = (self.answers(), Instant::now() + PATIENCE);
        while self.answers() == before {
            if Instant::now() > until {
                return Err(format!("{address} has not answered the host for {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(EVERY);
        }
        Ok(format!("the host at {} speaks with {address}", self.address))
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(speaker) = self.speaker.take() {
            let _ = speaker.join();
        }
    }
}

/// Another bridge of the same host, on which somebody listens.
pub(super) struct Elsewhere {
    /// Who listens there.
    address: SocketAddr,
    word: String,
    meeting: Box<dyn OnHost>,
    /// In this order: who listens goes before what he is plugged into.
    _listener: Listener,
    _port: Option<Port>,
    _bridge: Arc<Bridge>,
}

/// A thread that answers, and its end.
struct Listener {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Elsewhere {
    /// A peer of the other bridge.
    pub(super) fn peer(nonce: &Nonce, bridge: &Arc<Bridge>) -> HostPlant {
        Elsewhere::plant(nonce, bridge, true)
    }

    /// The host's own address of the other bridge.
    pub(super) fn host(nonce: &Nonce, bridge: &Arc<Bridge>) -> HostPlant {
        Elsewhere::plant(nonce, bridge, false)
    }

    /// What the host forwards is not what a bridge is for, so in this world it does not.
    fn plant(nonce: &Nonce, bridge: &Arc<Bridge>, is_peer: bool) -> HostPlant {
        let absent = |what: &'static str| move |error: std::io::Error| Absent(format!("{what}: {error}"));
        let refused = |error: runtime::Error| Absent(error.to_string());
        std::fs::write(FORWARDS, "0").map_err(absent(FORWARDS))?;
        let meeting = Meeting::plant(nonce, bridge)?;
        let other = Bridge::create(&nonce.word()).map_err(refused)?;
        let (address, port, listener) = if is_peer {
            let (port, listener) = (other.port().map_err(refused)?, Listener::begin(nonce, None));
            let (namespace, listener) = listener.map_err(absent("a network namespace"))?;
            port.plug_into_namespace(namespace.as_fd()).map_err(refused)?;
            (port.address(), Some(port), listener)
        } else {
            let (_, listener) =
                Listener::begin(nonce, Some(other.host_address())).map_err(absent("a listener"))?;
            (other.host_address(), None, listener)
        };
        let address = SocketAddr::from((address, listener.address.port()));
        let word = nonce.word();
        Ok(Box::new(Elsewhere { address, word, meeting, _listener: listener, _port: port, _bridge: other }))
    }
}

impl Listener {
    /// At this address of the world, or in a network namespace of its own. Gives its namespace.
    fn begin(nonce: &Nonce, at: Option<Ipv4Addr>) -> std::io::Result<(OwnedFd, Listener)> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (told, made): (Sender<std::io::Result<(OwnedFd, SocketAddr)>>, _) = channel();
        let (word, ends) = (nonce.word(), is_over.clone());
        let thread = std::thread::Builder::new().name("elsewhere".into()).spawn(move || {
            let listener = listen(at);
            let made = listener.as_ref().map_err(|error| std::io::Error::from(error.kind()));
            let made = made.and_then(|listener| {
                Ok((File::open("/proc/thread-self/ns/net")?.into(), listener.local_addr()?))
            });
            let _ = told.send(made);
            while let Ok(listener) = &listener
                && !ends.load(Ordering::Relaxed)
            {
                match listener.accept() {
                    Ok((mut stream, _)) => drop(stream.write_all(word.as_bytes())),
                    Err(_) => std::thread::sleep(EVERY),
                }
            }
        })?;
        let (namespace, address) = made.recv().map_err(std::io::Error::other)??;
        Ok((namespace, Listener { address, is_over, thread: Some(thread) }))
    }
}

/// Who has no address yet goes into a namespace of its own (unshare(2) acts on the thread alone).
fn listen(at: Option<Ipv4Addr>) -> std::io::Result<TcpListener> {
    // SAFETY: no memory is involved.
    if at.is_none() && unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let listener = TcpListener::bind((at.unwrap_or(Ipv4Addr::UNSPECIFIED), 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl OnHost for Elsewhere {
    fn witness(&self) -> Result<String, String> {
        let heard = TcpStream::connect_timeout(&self.address, PATIENCE).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(said)
        });
        match heard {
            Ok(said) if said == self.word => Ok(format!("the host is answered at {}", self.address)),
            other => Err(format!("{}: {other:?}", self.address)),
        }
    }

    fn text(&self) -> String {
        self.address.to_string()
    }

    fn meet(&self, address: &str) -> Result<String, String> {
        self.meeting.meet(address)
    }
}
