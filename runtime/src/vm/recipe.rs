//! QEMU's command line. Each option has its reason.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::disk::RootDisk;
use super::options::{Accel, Machine};
use crate::Workload;

/// Port of the guest's messages: QEMU's isa-debugcon, present on every machine type, no driver needed.
pub(super) const GUEST_PORT: &str = "e9";
/// Descriptors every QEMU is started with, behind 0, 1 and 2.
const GUEST_FD: u32 = 3;
const MONITOR_FD: u32 = 4;
const FIRMWARE_FD: u32 = 5;
/// The first of the descriptors that only some are started with ([`super::instance::Launch::files`]).
const FILES_FD: usize = 6;

/// One machine to start.
pub(super) struct Recipe<'a> {
    pub(super) machine: Machine,
    /// Never [`Accel::Auto`].
    pub(super) accel: Accel,
    /// `None` = [`default_cpu`].
    pub(super) cpu: Option<&'a str>,
    pub(super) memory_bytes: u64,
    pub(super) vcpus: u64,
    pub(super) boot: Boot<'a>,
    pub(super) network: Option<Network>,
    /// Which of its files is the disk of its image ([`RootDisk`]).
    pub(super) root_disk: Option<usize>,
    /// Words of this kind of machine alone: its disks, its firmware, its memory file.
    pub(super) further: &'a [String],
}

/// What the machine begins with.
pub(super) enum Boot<'a> {
    /// A kernel without firmware in between, or with as little of it as the machine allows.
    Kernel { kernel: &'a Path, initramfs: Option<&'a Path>, command_line: &'a str },
    /// Whatever its firmware finds.
    Firmware,
}

/// The network of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) way: Way,
    /// Port of the guest's service.
    pub(super) guest_port: u16,
    /// The guest's address, and the bits of its network.
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
    /// The guest's hardware address, `aa:bb:cc:dd:ee:ff`.
    pub(super) mac: String,
    /// Its device; the machine's virtio one where `None`.
    pub(super) device: Option<&'static str>,
}

/// How it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// QEMU's user-mode network: alone with the host's one forwarded port, which leads to that of the
    /// guest's service.
    User { host_port: u16 },
    /// A tap at the run's bridge, by the number of the file it is ([`file_fd`]).
    Tap { file: usize },
}

impl Network {
    /// Of machine `index` of a run in the user-mode network: no two have the same addresses.
    pub(super) fn of(index: u32, host_port: u16) -> Network {
        // From 10.0.1.0 on: the first are QEMU's own. One byte of room is left at the top.
        let [_, high, middle, low] = (index % 0x00ff_0000 + 0x100).to_be_bytes();
        let address = Ipv4Addr::new(10, high, middle, low);
        // Locally administered, of one machine (IEEE 802, clause 8).
        let mac = format!("02:be:0a:{high:02x}:{middle:02x}:{low:02x}");
        Network { way: Way::User { host_port }, guest_port: HTTP_PORT, address, prefix: 8, mac, device: None }
    }

    /// The same for another port of the guest.
    pub(super) fn leading_to(self, guest_port: u16) -> Network {
        Network { guest_port, ..self }
    }

    /// Where the host reaches the guest's service.
    pub(super) fn service(&self) -> SocketAddr {
        match self.way {
            Way::User { host_port } => (Ipv4Addr::LOCALHOST, host_port).into(),
            Way::Tap { .. } => (self.address, self.guest_port).into(),
        }
    }

    /// The address as the guest is told.
    pub(super) fn guest_address(&self) -> String {
        format!("{}/{}", self.address, self.prefix)
    }
}

/// Port of the workload `http` inside a machine.
const HTTP_PORT: u16 = 80;

/// The port at which a workload is asked inside; `None` where it is not.
pub(super) fn service_port(workload: &Workload) -> Option<u16> {
    match workload {
        Workload::Http => Some(HTTP_PORT),
        Workload::Service { service, .. } => Some(service.port),
        _ => None,
    }
}

/// Modules a guest needs to have a network.
pub(super) fn network_drivers(machine: Machine) -> [&'static str; 2] {
    match machine {
        Machine::Microvm => ["virtio_mmio", "virtio_net"],
        Machine::Pc | Machine::Q35 => ["virtio_pci", "virtio_net"],
    }
}

/// The host's processor under KVM; all that can be translated under TCG.
pub(super) fn default_cpu(accel: Accel) -> &'static str {
    if accel == Accel::Kvm { "host" } else { "max" }
}

/// How QEMU names the `number`th of the files it is started with. A path through the descriptor:
/// QEMU needs no right to the folders in front of the file.
pub(super) fn file_path(number: usize) -> String {
    format!("/proc/self/fd/{}", file_fd(number))
}

/// Its descriptor in QEMU.
pub(super) fn file_fd(number: usize) -> usize {
    FILES_FD + number
}

/// The arguments as one line that a shell understands.
pub(super) fn line(arguments: &[String]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,+".contains(&byte);
    let quote = |word: &String| match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.clone(),
        // POSIX, 2.2.2: nothing is special between single quotes but themselves.
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// The arguments, without the program.
pub(super) fn arguments(recipe: &Recipe<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    // Nothing that was not asked for: no default devices, no configuration of the host's user.
    add(&["-nodefaults", "-no-user-config", "-display", "none"]);
    // A guest that ends by a reset ends QEMU.
    add(&["-no-reboot"]);
    // No new processes, no change of identity, no obsolete calls, no priorities from inside QEMU.
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    add(&["-machine", recipe.machine.name(), "-accel", recipe.accel.name()]);
    add(&["-cpu", recipe.cpu.unwrap_or(default_cpu(recipe.accel))]);
    add(&["-smp", &recipe.vcpus.to_string()]);
    add(&["-m", &format!("{}k", recipe.memory_bytes.div_ceil(1024))]);
    // Connected sockets, inherited: nobody has to wait for a path to appear.
    add(&["-chardev", &format!("socket,id=guest,fd={GUEST_FD}")]);
    add(&["-device", &format!("isa-debugcon,iobase=0x{GUEST_PORT},chardev=guest")]);
    add(&["-chardev", &format!("socket,id=monitor,fd={MONITOR_FD}"), "-mon", "chardev=monitor,mode=control"]);
    // The firmware's own debug port.
    add(&["-chardev", &format!("socket,id=firmware,fd={FIRMWARE_FD}")]);
    add(&["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]);
    if let Some(Network { way, guest_port, address, mac, device, .. }) = &recipe.network {
        match way {
            Way::User { host_port } => {
                let net = "net=10.0.0.0/8,host=10.0.0.2,dns=10.0.0.3,dhcpstart=10.0.0.15";
                let forward = format!("hostfwd=tcp:127.0.0.1:{host_port}-{address}:{guest_port}");
                add(&["-netdev", &format!("user,id=net,restrict=on,{net},{forward}")]);
            }
            Way::Tap { file } => add(&["-netdev", &format!("tap,id=net,fd={},vhost=off", file_fd(*file))]),
        }
        // A guest that is restored has another address than the one it was saved with, and announces none.
        let device = device.unwrap_or(match recipe.machine {
            Machine::Microvm => "virtio-net-device,guest_announce=off",
            Machine::Pc | Machine::Q35 => "virtio-net-pci,romfile=,guest_announce=off",
        });
        add(&["-device", &format!("{device},netdev=net,mac={mac}")]);
    }
    if let Boot::Kernel { kernel, initramfs, command_line } = &recipe.boot {
        add(&["-kernel", &kernel.to_string_lossy(), "-append", command_line]);
        if let Some(initramfs) = initramfs {
            add(&["-initrd", &initramfs.to_string_lossy()]);
        }
    }
    arguments.extend(recipe.root_disk.into_iter().flat_map(|file| RootDisk::arguments(file, recipe.machine)));
    arguments.extend(recipe.further.iter().cloned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_by_a_shell_as_it_was() {
        let words = ["-append", "quiet -- {%22a%22}", "", "it's"].map(str::to_owned);
        let script = format!("printf '%s|' {}", line(&words));
        let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().expect("sh");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "-append|quiet -- {%22a%22}||it's|");
    }

    #[test]
    fn machines_of_a_run_have_addresses_of_their_own() {
        let seen: std::collections::BTreeSet<_> = (0..70_000)
            .chain([0x00fe_ffff])
            .map(|index| Network::of(index, 1))
            .map(|network| (network.address, network.mac))
            .collect();
        assert_eq!(seen.len(), 70_001);
        assert!(
            seen.iter()
                .all(|(address, _)| address.octets()[0] == 10 && *address > Ipv4Addr::new(10, 0, 0, 255))
        );
    }
}
