//! Becoming one of many copies of a saved machine.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use guest::{Became, IDENTITY_FILE, Identity, Message, NO_IDENTITY};

use super::channel::Channel;
use super::clock::read_ns;
use super::fw_cfg::FwCfg;
use super::interface::Interface;

const RANDOM: &str = "/dev/random";
const MACHINE_ID: &str = "/etc/machine-id";
/// random(4): _IOW('R', 0x03, int[2]) and _IO('R', 0x07).
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
/// Most bytes of entropy that are taken in.
const ENTROPY_BYTES: usize = 256;

/// Waits until this machine is a copy, takes the identity it is given, and says that it listens on
/// `port` before it tells what it has become: whoever asks it has been waiting since it was started.
pub fn become_one(channel: &Channel, port: Option<u16>) -> Result<Identity, String> {
    let means = Means::open()?;
    let identity = park(channel)?;
    let interface = means.take(&identity)?;
    if let Some(port) = port {
        channel.send(&Message::Listening { port });
    }
    channel.send(&Message::Became(look(interface)?));
    Ok(identity)
}

/// What a copy needs to become what it is told, open before there is one: what every copy would do,
/// the machine that is saved has done.
struct Means {
    random: File,
    machine_id: File,
    /// Whether there must be one, the identity says.
    interface: Result<Interface, String>,
}

/// Waits until this machine is a copy, and says `ready` as soon as it knows which.
///
/// Looks at the device without pause: a timer that a copy would first have to wait for would be
/// part of every start, and the machine that is saved waits for milliseconds only.
fn park(channel: &Channel) -> Result<Identity, String> {
    let device = FwCfg::open()?;
    let none = device.find(IDENTITY_FILE).ok_or("the machine has no place for an identity")?;
    if !device.begins_with(none, NO_IDENTITY) {
        return Err("the machine that is to be saved has an identity already".into());
    }
    channel.send(&Message::Parked);
    while device.begins_with(none, NO_IDENTITY) {}
    // In the same place, but of another size.
    let identity = serde_json::from_slice(&device.text(none))
        .map_err(|error| format!("the identity is not understood: {error}"))?;
    channel.ready();
    Ok(identity)
}

impl Means {
    fn open() -> Result<Means, String> {
        let open = |path: &str, how: &mut OpenOptions| {
            how.open(path).map_err(|error| format!("cannot open {path}: {error}"))
        };
        let random = open(RANDOM, OpenOptions::new().write(true))?;
        let machine_id = open(MACHINE_ID, OpenOptions::new().write(true).create(true).truncate(true))?;
        // As long as one that says something (machine-id(5)).
        write_at_start(&machine_id, &"0".repeat(32))?;
        Ok(Means { random, machine_id, interface: Interface::first() })
    }

    /// Becomes what the identity says. Returns the interface, where it is given one.
    fn take(&self, identity: &Identity) -> Result<Option<&Interface>, String> {
        // First of all: whatever is random from here on must be this copy's own.
        reseed(&self.random, &identity.entropy)?;
        set_clock(identity.realtime_ns).map_err(|error| format!("cannot set the clock: {error}"))?;
        set_hostname(&identity.hostname).map_err(|error| format!("cannot set the host name: {error}"))?;
        write_at_start(&self.machine_id, &identity.machine_id)?;
        if identity.mac.is_none() && identity.address.is_none() {
            return Ok(None);
        }
        let interface = self.interface.as_ref().map_err(Clone::clone)?;
        identity.mac.iter().try_for_each(|mac| interface.set_hardware_address(mac))?;
        identity.address.iter().try_for_each(|address| interface.set_address(address))?;
        Ok(Some(interface))
    }
}

/// Writes the machine's id.
fn write_at_start(file: &File, id: &str) -> Result<(), String> {
    file.write_all_at(format!("{id}\n").as_bytes(), 0)
        .map_err(|error| format!("cannot write {MACHINE_ID}: {error}"))
}

/// What the kernel says now.
fn look(interface: Option<&Interface>) -> Result<Became, String> {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("cannot read {path}: {error}"))
    };
    let mut random = [0u8; 16];
    // SAFETY: the buffer is valid for its length.
    if unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) } != random.len() as isize {
        return Err(format!("cannot get random bytes: {}", io::Error::last_os_error()));
    }
    Ok(Became {
        hostname: read("/proc/sys/kernel/hostname")?,
        machine_id: read(MACHINE_ID)?,
        mac: interface.map(|one| read(&format!("/sys/class/net/{}/address", one.name))).transpose()?,
        address: interface.map(Interface::address).transpose()?,
        random: random.iter().map(|byte| format!("{byte:02x}")).collect(),
        realtime_ns: read_ns(libc::CLOCK_REALTIME),
    })
}

/// Mixes the host's bytes in and has the kernel draw its next key from all it has: two copies
/// would otherwise go on with one and the same stream.
fn reseed(device: &File, hex: &str) -> Result<(), String> {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(hex.get(at * 2..at * 2 + 2).unwrap_or("?"), 16))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the entropy is not understood: {error}"))?;
    if bytes.is_empty() {
        return Ok(());
    }
    /// struct rand_pool_info (linux/random.h).
    #[repr(C)]
    struct Pool {
        entropy_bits: i32,
        size_bytes: i32,
        bytes: [u8; ENTROPY_BYTES],
    }
    let taken = bytes.len().min(ENTROPY_BYTES);
    let mut pool =
        Pool { entropy_bits: taken as i32 * 8, size_bytes: taken as i32, bytes: [0; ENTROPY_BYTES] };
    pool.bytes[..taken].copy_from_slice(&bytes[..taken]);
    // SAFETY: the structure is initialised and lives through the calls.
    let result = unsafe {
        match libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const pool) {
            0 => libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG),
            error => error,
        }
    };
    match result {
        0 => Ok(()),
        _ => Err(format!("cannot reseed the kernel's random numbers: {}", io::Error::last_os_error())),
    }
}

fn set_clock(realtime_ns: u64) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: (realtime_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (realtime_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: reads the local timespec.
    match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: the string is valid for its length.
    match unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
