//! The network interfaces of a machine (netdevice(7)).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An interface, and the socket through which it is asked.
pub struct Interface {
    /// Its name.
    pub name: String,
    socket: OwnedFd,
}

impl Interface {
    /// The first one but the loopback.
    pub fn first() -> Result<Interface, String> {
        let folder = "/sys/class/net";
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .map_err(|error| format!("cannot read {folder}: {error}"))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "lo")
            .collect();
        names.sort();
        let name = names.into_iter().next();
        Interface::named(
            &name.ok_or_else(|| format!("no network interface in {folder}: is its driver missing?"))?,
        )
    }

    /// The one of that name.
    pub fn named(name: &str) -> Result<Interface, String> {
        // SAFETY: makes a descriptor that nobody else owns.
        let socket = unsafe {
            match libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) {
                ..0 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        };
        let socket = socket.map_err(|error| format!("cannot make a socket for {name}: {error}"))?;
        Ok(Interface { name: name.to_owned(), socket })
    }

    /// Gives it an address `a.b.c.d/prefix` in place of the one it has.
    pub fn set_address(&self, address: &str) -> Result<(), String> {
        let (ip, prefix) = parse_address(address)?;
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0));
        self.request(libc::SIOCSIFADDR, Value::Address(ip))
            .and_then(|_| self.request(libc::SIOCSIFNETMASK, Value::Address(mask)))
            .map(drop)
            .map_err(|error| format!("cannot give {} {address}: {error}", self.name))
    }

    /// Brings it up.
    pub fn bring_up(&self) -> Result<(), String> {
        self.request(libc::SIOCSIFFLAGS, Value::Up)
            .map(drop)
            .map_err(|error| format!("cannot bring up {}: {error}", self.name))
    }

    /// Gives it the hardware address `aa:bb:cc:dd:ee:ff`, also where it is up and its driver can
    /// (virtio-net can).
    pub fn set_hardware_address(&self, mac: &str) -> Result<(), String> {
        let mut bytes = [0u8; 6];
        let mut words = mac.split(':');
        for byte in &mut bytes {
            let word = words.next().unwrap_or_default();
            *byte =
                u8::from_str_radix(word, 16).map_err(|error| format!("hardware address {mac:?}: {error}"))?;
        }
        self.request(libc::SIOCSIFHWADDR, Value::Hardware(bytes))
            .map(drop)
            .map_err(|error| format!("cannot give {} the hardware address {mac}: {error}", self.name))
    }

    /// Its address as `a.b.c.d/prefix`.
    pub fn address(&self) -> Result<String, String> {
        let ask = |number| {
            self.request(number, Value::Address(Ipv4Addr::UNSPECIFIED))
                .map_err(|error| format!("cannot read the address of {}: {error}", self.name))
        };
        let prefix = u32::from(ask(libc::SIOCGIFNETMASK)?).count_ones();
        Ok(format!("{}/{prefix}", ask(libc::SIOCGIFADDR)?))
    }

    /// One request; the address in the answer where it has one.
    fn request(&self, number: libc::Ioctl, value: Value) -> io::Result<Ipv4Addr> {
        request(self.socket.as_raw_fd(), number, &self.name, value)
    }
}

/// Reads `a.b.c.d/prefix`.
fn parse_address(address: &str) -> Result<(Ipv4Addr, u32), String> {
    let (ip, prefix) = address.split_once('/').ok_or_else(|| format!("address {address:?} has no prefix"))?;
    let ip: Ipv4Addr = ip.parse().map_err(|error| format!("address {address:?}: {error}"))?;
    let prefix: u32 = prefix.parse().map_err(|error| format!("address {address:?}: {error}"))?;
    Ok((ip, prefix))
}

enum Value {
    Address(Ipv4Addr),
    Hardware([u8; 6]),
    Up,
}

fn request(socket: i32, number: libc::Ioctl, interface: &str, value: Value) -> io::Result<Ipv4Addr> {
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
