//! What PID 1 of a virtual machine has to do: file systems, modules, network, power.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;

use guest::{Message, Plan, Stream};

use super::channel::Channel;
use super::root;

/// Modules to load, one absolute path a line, in order.
const MODULES: &str = "/etc/bench/modules";

/// Prepares the machine for the workload.
pub fn set_up(plan: &Plan, channel: &Channel) -> Result<(), String> {
    mark(channel, "guest-mounts");
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(kind, target)?;
    }
    if let Ok(list) = std::fs::read_to_string(MODULES) {
        mark(channel, "guest-modules");
        for path in list.lines().filter(|line| !line.is_empty()) {
            load_module(Path::new(path)).map_err(|error| format!("cannot load {path}: {error}"))?;
        }
    }
    if plan.root_disk {
        mark(channel, "guest-root");
        root::change()?;
    }
    if let Some(address) = &plan.address {
        mark(channel, "guest-network");
        set_address("lo", Ipv4Addr::LOCALHOST, 8).map_err(|error| format!("cannot bring up lo: {error}"))?;
        configure(address, channel)?;
    }
    Ok(())
}

/// Ends the machine: a reset, which ends QEMU under `-no-reboot` on every machine type.
pub fn power_off() -> ! {
    // SAFETY: no memory is involved; the call does not return for PID 1.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_AUTOBOOT);
    }
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

fn mark(channel: &Channel, phase: &str) {
    channel.send(&Message::Mark { phase: phase.into() });
}

fn mount(kind: &str, target: &str) -> Result<(), String> {
    std::fs::create_dir_all(target).map_err(|error| format!("cannot make {target}: {error}"))?;
    let kind_c = CString::new(kind).map_err(|error| error.to_string())?;
    let target_c = CString::new(target).map_err(|error| error.to_string())?;
    // SAFETY: all strings are NUL-terminated; no data is passed.
    let result = unsafe {
        libc::mount(kind_c.as_ptr(), target_c.as_ptr(), kind_c.as_ptr(), libc::MS_NOSUID, std::ptr::null())
    };
    match result {
        0 => Ok(()),
        // The kernel has mounted it itself (CONFIG_DEVTMPFS_MOUNT).
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EBUSY) => Ok(()),
        _ => Err(format!("cannot mount {kind} on {target}: {}", io::Error::last_os_error())),
    }
}

fn load_module(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open and the parameter string NUL-terminated (init_module(2)).
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(error) }
}

fn configure(address: &str, channel: &Channel) -> Result<(), String> {
    let interface = first_interface()?;
    let (ip, prefix) = parse_address(address)?;
    set_address(&interface, ip, prefix)
        .map_err(|error| format!("cannot give {interface} {address}: {error}"))?;
    channel.send(&Message::Log { stream: Stream::Guest, text: format!("{interface} has {address}") });
    Ok(())
}

/// Reads `a.b.c.d/prefix`.
pub fn parse_address(address: &str) -> Result<(Ipv4Addr, u32), String> {
    let (ip, prefix) = address.split_once('/').ok_or_else(|| format!("address {address:?} has no prefix"))?;
    let ip: Ipv4Addr = ip.parse().map_err(|error| format!("address {address:?}: {error}"))?;
    let prefix: u32 = prefix.parse().map_err(|error| format!("address {address:?}: {error}"))?;
    Ok((ip, prefix))
}

/// The first network interface but the loopback.
pub fn first_interface() -> Result<String, String> {
    let folder = "/sys/class/net";
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map_err(|error| format!("cannot read {folder}: {error}"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "lo")
        .collect();
    names.sort();
    names
        .into_iter()
        .next()
        .ok_or_else(|| format!("no network interface in {folder}: is its driver missing?"))
}

/// Address, mask and up (netdevice(7)).
pub fn set_address(interface: &str, ip: Ipv4Addr, prefix: u32) -> io::Result<()> {
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0));
    let requests = [
        (libc::SIOCSIFADDR, Value::Address(ip)),
        (libc::SIOCSIFNETMASK, Value::Address(mask)),
        (libc::SIOCSIFFLAGS, Value::Up),
    ];
    requests.into_iter().try_for_each(|(number, value)| request(number, interface, value).map(drop))
}

/// The hardware address `aa:bb:cc:dd:ee:ff`, also of an interface that is up, where its driver can
/// (virtio-net can).
pub fn set_hardware_address(interface: &str, mac: &str) -> Result<(), String> {
    let mut bytes = [0u8; 6];
    let mut words = mac.split(':');
    for byte in &mut bytes {
        let word = words.next().unwrap_or_default();
        *byte = u8::from_str_radix(word, 16).map_err(|error| format!("hardware address {mac:?}: {error}"))?;
    }
    request(libc::SIOCSIFHWADDR, interface, Value::Hardware(bytes))
        .map(drop)
        .map_err(|error| format!("cannot give {interface} the hardware address {mac}: {error}"))
}

/// The address of an interface as `a.b.c.d/prefix`.
pub fn address(interface: &str) -> Result<String, String> {
    let ask = |number| {
        request(number, interface, Value::Address(Ipv4Addr::UNSPECIFIED))
            .map_err(|error| format!("cannot read the address of {interface}: {error}"))
    };
    let prefix = u32::from(ask(libc::SIOCGIFNETMASK)?).count_ones();
    Ok(format!("{}/{prefix}", ask(libc::SIOCGIFADDR)?))
}

enum Value {
    Address(Ipv4Addr),
    Hardware([u8; 6]),
    Up,
}

/// One request to an interface (netdevice(7)); the address in the answer where it has one.
fn request(number: libc::Ioctl, interface: &str, value: Value) -> io::Result<Ipv4Addr> {
    // SAFETY: makes a descriptor, closed below.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    let answered = request_on(socket, number, interface, value);
    // SAFETY: the descriptor was made above.
    unsafe { libc::close(socket) };
    answered
}

fn request_on(socket: i32, number: libc::Ioctl, interface: &str, value: Value) -> io::Result<Ipv4Addr> {
    // SAFETY: ifreq is plain data for which all zeroes is valid.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in ifreq.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    match value {
        Value::Address(ip) => {
            // SAFETY: sockaddr_in is plain data for which all zeroes is valid.
            let mut socket_address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            socket_address.sin_family = libc::AF_INET as u16;
            socket_address.sin_addr.s_addr = u32::from(ip).to_be();
            // SAFETY: both are 16 bytes of plain data (netdevice(7)).
            ifreq.ifr_ifru.ifru_addr =
                unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(socket_address) };
        }
        Value::Hardware(bytes) => {
            let mut address =
                libc::sockaddr { sa_family: libc::ARPHRD_ETHER as libc::sa_family_t, sa_data: [0; 14] };
            for (to, from) in address.sa_data.iter_mut().zip(bytes) {
                *to = from as libc::c_char;
            }
            ifreq.ifr_ifru.ifru_hwaddr = address;
        }
        Value::Up => ifreq.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short,
    }
    // SAFETY: the request is initialised and lives through the call.
    if unsafe { libc::ioctl(socket, number, &mut ifreq) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bytes of the union are initialised: zeroed above, then written by us or the kernel.
    let answer = unsafe { ifreq.ifr_ifru.ifru_addr };
    // sockaddr_in: a port of two bytes, then the address (ip(7)).
    let byte = |at: usize| answer.sa_data[at] as u8;
    Ok(Ipv4Addr::new(byte(2), byte(3), byte(4), byte(5)))
}
