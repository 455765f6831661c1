//! Why a machine did not come up, by what it said last.

use std::fmt;

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::portability) enum Reason {
    /// The firmware found nothing on the disk that it could start.
    NoLoader(&'static str),
    /// The boot loader found no kernel, or could not start it.
    NoKernel(String),
    /// The kernel or its initramfs found no root file system.
    NoRoot,
    /// The system came up and has no network interface.
    NoNetwork,
    /// The kernel panicked.
    Panic(String),
    /// It was not there in time.
    Late(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoLoader(firmware) => write!(f, "no boot device: {firmware} found no boot loader for it"),
            Reason::NoKernel(said) => write!(f, "no kernel: the boot loader says {said:?}"),
            Reason::NoRoot => f.write_str("root not found: the initramfs has no driver for the disk"),
            Reason::NoNetwork => f.write_str("no network: the kernel has no driver for the network device"),
            Reason::Panic(said) => write!(f, "the kernel panicked: {said}"),
            Reason::Late(phase) => write!(f, "not there in time; it was in its phase {phase}"),
            Reason::Other(said) => f.write_str(said),
        }
    }
}

/// What a line on a machine's console settles; most settle nothing.
pub(super) fn of_line(line: &str) -> Option<Reason> {
    if line.contains("ALERT!") && line.contains("does not exist") {
        return Some(Reason::NoRoot);
    }
    // dracut's word for it.
    if line.contains("Warning: /dev/disk/by-uuid/") && line.contains("does not exist") {
        return Some(Reason::NoRoot);
    }
    if line.contains("Unable to mount root fs") {
        return Some(Reason::NoRoot);
    }
    if let Some((_, said)) = line.split_once("Kernel panic - not syncing: ") {
        return Some(Reason::Panic(said.trim().to_owned()));
    }
    if line.contains("No bootable option or device was found") || line.contains("UEFI Interactive Shell") {
        return Some(Reason::NoLoader("UEFI"));
    }
    None
}

/// What a failure that the guest or the backend tells means; `said` are the last lines before it.
pub(super) fn of_failure(error: &str, said: &[String]) -> Reason {
    if error.contains("no bootable device") {
        return Reason::NoLoader("BIOS");
    }
    if error.contains("no network interface") {
        return Reason::NoNetwork;
    }
    if error.contains("boot loader could not start the kernel") {
        let line = said.iter().rev().find(|line| line.contains("error:"));
        return Reason::NoKernel(line.map_or(error, |line| line.trim()).to_owned());
    }
    if let Some(reason) = said.iter().rev().find_map(|line| of_line(line)) {
        return reason;
    }
    let last = said.iter().rev().find(|line| line.starts_with("QEMU:")).or(said.last());
    Reason::Other(last.map_or(error.to_owned(), |line| format!("{error}; last words: {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_taken_at_their_word() {
        // As the consoles of Debian 12 and of OVMF 2022.11 showed them.
        let alert = "console: ALERT!  UUID=5b1-8 does not exist.  Dropping to a shell!";
        assert_eq!(of_line(alert), Some(Reason::NoRoot));
        let panic =
            "console: [  2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
        assert_eq!(of_line(panic), Some(Reason::NoRoot));
        let panic = "console: [  2.1] Kernel panic - not syncing: Attempted to kill init!";
        assert_eq!(of_line(panic), Some(Reason::Panic("Attempted to kill init!".into())));
        assert_eq!(
            of_line("console: BdsDxe: No bootable option or device was found."),
            Some(Reason::NoLoader("UEFI"))
        );
        assert_eq!(of_line("console: Loading, please wait..."), None);
        let said = ["console: error: no such device: 1-2.".to_owned(), "x".into()];
        let kernel = of_failure("the boot loader could not start the kernel", &said);
        assert!(matches!(kernel, Reason::NoKernel(said) if said.contains("no such device")));
        assert_eq!(
            of_failure("no network interface in /sys/class/net: is its driver missing?", &[]),
            Reason::NoNetwork
        );
        let ended = of_failure("QEMU ended", &[alert.to_owned()]);
        assert_eq!(ended, Reason::NoRoot);
        assert_eq!(of_failure("no bootable device", &[]), Reason::NoLoader("BIOS"));
    }
}
