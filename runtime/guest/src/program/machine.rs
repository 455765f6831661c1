//! What PID 1 of a virtual machine has to do: file systems, modules, network, power.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use guest::{Message, Plan, Stream};

use super::channel::Channel;
use super::interface::Interface;
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
        let loopback = Interface::named("lo")?;
        loopback.set_address("127.0.0.1/8")?;
        loopback.bring_up()?;
        let interface = Interface::first()?;
        interface.set_address(address)?;
        interface.bring_up()?;
        let text = format!("{} has {address}", interface.name);
        channel.send(&Message::Log { stream: Stream::Guest, text });
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
