//! Becoming one of many copies of a saved machine.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use guest::{Became, IDENTITY_FILE, Identity, Message, NO_IDENTITY};

use super::channel::Channel;
use super::clock::read_ns;
use super::fw_cfg::FwCfg;
use super::machine;

const MACHINE_ID: &str = "/etc/machine-id";
/// random(4): _IOW('R', 0x03, int[2]) and _IO('R', 0x07).
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
/// Most bytes of entropy that are taken in.
const ENTROPY_BYTES: usize = 256;

/// Waits until this machine is a copy, and takes the identity it is given.
pub fn become_one(channel: &Channel) -> Result<Identity, String> {
    let identity = park(channel)?;
    become_copy(&identity, channel)?;
    Ok(identity)
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
    let file = device.find(IDENTITY_FILE).ok_or("the copy was given no identity")?;
    let content = device.content(file);
    let identity = serde_json::from_slice(&content)
        .map_err(|error| format!("the identity is not understood: {error}"))?;
    channel.ready();
    Ok(identity)
}

/// Takes the identity and tells what the kernel says of it.
fn become_copy(identity: &Identity, channel: &Channel) -> Result<(), String> {
    // First of all: whatever is random from here on must be this copy's own.
    reseed(&identity.entropy)?;
    set_clock(identity.realtime_ns).map_err(|error| format!("cannot set the clock: {error}"))?;
    set_hostname(&identity.hostname).map_err(|error| format!("cannot set the host name: {error}"))?;
    std::fs::write(MACHINE_ID, format!("{}\n", identity.machine_id))
        .map_err(|error| format!("cannot write {MACHINE_ID}: {error}"))?;
    let interface = match (&identity.mac, &identity.address) {
        (None, None) => None,
        _ => Some(machine::first_interface()?),
    };
    if let (Some(interface), Some(mac)) = (&interface, &identity.mac) {
        machine::set_hardware_address(interface, mac)?;
    }
    if let (Some(interface), Some(address)) = (&interface, &identity.address) {
        let (ip, prefix) = machine::parse_address(address)?;
        machine::set_address(interface, ip, prefix)
            .map_err(|error| format!("cannot give {interface} {address}: {error}"))?;
    }
    channel.send(&Message::Became(look(interface.as_deref())?));
    Ok(())
}

/// What the kernel says now.
fn look(interface: Option<&str>) -> Result<Became, String> {
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
        mac: interface.map(|name| read(&format!("/sys/class/net/{name}/address"))).transpose()?,
        address: interface.map(machine::address).transpose()?,
        random: random.iter().map(|byte| format!("{byte:02x}")).collect(),
        realtime_ns: read_ns(libc::CLOCK_REALTIME),
    })
}

/// Mixes the host's bytes in and has the kernel draw its next key from all it has: two copies
/// would otherwise go on with one and the same stream.
fn reseed(hex: &str) -> Result<(), String> {
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
    let path = "/dev/random";
    let device =
        File::options().write(true).open(path).map_err(|error| format!("cannot open {path}: {error}"))?;
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
