//! What happened inside before this program could say so, by the clocks of those who saw it: the
//! kernel's log and systemd's own time stamps.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use guest::{Message, Stream};

use super::channel::Channel;
use super::clock::now_ns;

/// How often the clock is told: one of the readings will have found the host waiting for it.
const READINGS: usize = 5;
/// The kernel's word when it hands over to the initramfs (init/main.c).
const INITRAMFS: &str = "Run /init as init process";
/// systemd's first words there (src/core/main.c). In an initramfs that has one too, the last count.
const FIRST_WORDS: [&str; 2] = ["systemd[1]: systemd ", " running in system mode"];
/// Says that they were there: its own time stamp, which it tells later, is not needed.
const FOUND: &str = "/run/bench/systemd-found";
/// A line of our own in the kernel's log, by which its clock is compared with ours.
const MARKER: &str = "bench: what time is it";
/// PID 1's own socket, where nobody else has to be asked.
const SYSTEMD: &str = "/run/systemd/private";
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Kinds of messages, and more bytes than any that matters has.
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const MOST_BYTES: usize = 1 << 20;
/// Phases of systemd's start (org.freedesktop.systemd1(5)) by the time stamps at which they begin.
const STAMPS: [(&str, &str); 2] =
    [("systemd", "UserspaceTimestampMonotonic"), ("units", "UnitsLoadFinishTimestampMonotonic")];

/// Says when the initramfs and systemd began, by the kernel's log: systemd can be asked only when it
/// has got so far, and one that never does would seem to be an initramfs that hangs.
pub fn tell_beginnings(channel: &Channel) {
    tell_clock(channel);
    match beginnings() {
        Ok(Beginnings { initramfs, systemd }) => {
            let missing = |what: &str| io::Error::other(format!("the kernel's log has no {what}"));
            note(channel, "initramfs", initramfs.ok_or_else(|| missing("start of /init")));
            if let Some(began_ns) = systemd
                && std::fs::create_dir_all("/run/bench").and_then(|()| File::create(FOUND)).is_ok()
            {
                note(channel, "systemd", Ok(began_ns));
            }
        }
        Err(error) => note(channel, "initramfs", Err(error)),
    }
}

/// Says when the phases of systemd's start began, by its own time stamps.
pub fn tell_systemd(channel: &Channel) {
    tell_clock(channel);
    match Systemd::connect() {
        Ok(mut systemd) => {
            let is_told = |phase: &str| phase == "systemd" && Path::new(FOUND).exists();
            for (phase, property) in STAMPS.into_iter().filter(|(phase, _)| !is_told(phase)) {
                note(channel, phase, systemd.stamp_ns(property));
            }
        }
        Err(error) => note(channel, "systemd", Err(error)),
    }
}

fn note(channel: &Channel, phase: &str, found: io::Result<u64>) {
    match found {
        Ok(clock_ns) => channel.send(&Message::Began { phase: phase.into(), clock_ns }),
        Err(error) => {
            let text = format!("when {phase} began is not known: {error}");
            channel.send(&Message::Log { stream: Stream::Guest, text });
        }
    }
}

/// Says several times what the clock is.
fn tell_clock(channel: &Channel) {
    for _ in 0..READINGS {
        channel.send(&Message::Clock { clock_ns: now_ns() });
    }
}

/// When both began, by our clock.
struct Beginnings {
    initramfs: Option<u64>,
    systemd: Option<u64>,
}

/// From the kernel's log (Documentation/ABI/testing/dev-kmsg).
fn beginnings() -> io::Result<Beginnings> {
    let mut log = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let before = now_ns();
    // Priority 7: debugging, on no console.
    log.write_all(format!("<7>{MARKER}\n").as_bytes())?;
    let ours = before + (now_ns() - before) / 2;
    let (mut initramfs, mut systemd, mut marked) = (None, None, None);
    let mut record = [0; 8192];
    loop {
        let text = match log.read(&mut record) {
            Ok(length) => String::from_utf8_lossy(&record[..length]).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // Overwritten meanwhile: the next one is there.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => continue,
            Err(error) => return Err(error),
        };
        let Some((head, line)) = text.split_once(';') else { continue };
        let stamp_ns = head.split(',').nth(2).and_then(|us| us.parse::<u64>().ok()).map(|us| us * 1000);
        if line.starts_with(INITRAMFS) {
            initramfs = initramfs.or(stamp_ns);
        } else if line.starts_with(FIRST_WORDS[0]) && line.contains(FIRST_WORDS[1]) {
            systemd = stamp_ns;
        } else if line.starts_with(MARKER) {
            marked = stamp_ns;
        }
    }
    let marked = marked.ok_or_else(|| io::Error::other("the kernel's log has no mark"))?;
    // The log's clock is the processor's, ours is disciplined: both run at the same rate for a boot.
    let by_our_clock = |began: u64| ours.saturating_sub(marked.saturating_sub(began));
    Ok(Beginnings { initramfs: initramfs.map(by_our_clock), systemd: systemd.map(by_our_clock) })
}

/// PID 1 over the wire protocol of D-Bus (dbus.freedesktop.org, D-Bus Specification 0.43), of which
/// one method call is enough.
struct Systemd(UnixStream);

impl Systemd {
    fn connect() -> io::Result<Systemd> {
        let mut stream = UnixStream::connect(SYSTEMD)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // User 0 in hexadecimal digits of its decimal ones.
        stream.write_all(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n") {
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if answer.starts_with(b"OK") { Ok(Systemd(stream)) } else { Err(io::Error::other("PID 1 refuses")) }
    }

    /// A time stamp of the manager in nanoseconds of CLOCK_MONOTONIC.
    fn stamp_ns(&mut self, property: &str) -> io::Result<u64> {
        self.0.write_all(&get(property))?;
        let (head, body) = loop {
            let message = self.receive()?;
            // Signals go to everybody who is connected.
            if matches!(message.0[1], METHOD_RETURN | ERROR) {
                break message;
            }
        };
        // A variant with a 64-bit number: its signature, padding, and the number last.
        let last: [u8; 8] = body.last_chunk().copied().unwrap_or_default();
        match u64::from_le_bytes(last) {
            us if head[1] == METHOD_RETURN && body.len() == 16 && us > 0 => Ok(us * 1000),
            _ => Err(io::Error::other(format!("PID 1 has no {property}"))),
        }
    }

    /// The fixed part of the next message, and its body.
    fn receive(&mut self) -> io::Result<([u8; 16], Vec<u8>)> {
        let mut head = [0; 16];
        self.0.read_exact(&mut head)?;
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        // The header's fields are padded to 8 bytes.
        let (body, fields) = (word(4), word(12).next_multiple_of(8));
        if head[0] != b'l' || body.saturating_add(fields) > MOST_BYTES {
            return Err(io::Error::other("PID 1 says what is not understood"));
        }
        let mut rest = vec![0; fields + body];
        self.0.read_exact(&mut rest)?;
        Ok((head, rest.split_off(fields)))
    }
}

/// The message that asks for a property of the manager.
fn get(property: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut field = |code: u8, signature: u8, text: &str| {
        pad(&mut fields, 8);
        fields.extend([code, 1, signature, 0]);
        string(&mut fields, text);
    };
    field(1, b'o', "/org/freedesktop/systemd1");
    field(2, b's', "org.freedesktop.DBus.Properties");
    field(3, b's', "Get");
    // Signature of the body: its length is one byte.
    pad(&mut fields, 8);
    fields.extend([8, 1, b'g', 0, 2, b's', b's', 0]);
    let mut body = Vec::new();
    string(&mut body, "org.freedesktop.systemd1.Manager");
    pad(&mut body, 4);
    string(&mut body, property);
    // Little-endian, a method call, no flags, version 1; length of the body, serial number.
    let mut message = vec![b'l', 1, 0, 1];
    for word in [body.len() as u32, 1, fields.len() as u32] {
        message.extend(word.to_le_bytes());
    }
    message.extend(fields);
    pad(&mut message, 8);
    message.extend(body);
    message
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}
