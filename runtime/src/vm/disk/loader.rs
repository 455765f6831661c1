//! The boot loader of a master disk: GRUB, once behind the MBR for BIOS and once in the EFI system
//! partition, each with its whole configuration inside.
//!
//! GRUB tells the harness over the guest's port (module `iorw`) when it hands over to the kernel,
//! with a message of the guest's own protocol. There is no menu and no waiting for a key.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use guest::Message;

use super::partition::{SECTOR_BYTES, SYSTEM_BEGIN_BYTES, SYSTEM_BYTES, TABLE_AT};
use super::tool::{GRUB_MKIMAGE, MCOPY, MFORMAT, MMD, word};
use crate::Error;
use crate::vm::recipe::GUEST_PORT;

/// GRUB's first sector (GRUB manual, "BIOS installation"); it loads what lies from sector 1 on.
const BOOT_SECTOR: &str = "/usr/lib/grub/i386-pc/boot.img";
const BIOS_MODULES: [&str; 8] =
    ["biosdisk", "part_msdos", "ext2", "linux", "iorw", "search_fs_uuid", "serial", "terminal"];
const EFI_MODULES: [&str; 8] =
    ["part_msdos", "fat", "ext2", "linux", "iorw", "search_fs_uuid", "serial", "terminal"];
/// Where a firmware looks on a disk it does not know (UEFI Specification 2.10, section 3.5.1.1).
const EFI_FOLDERS: [&str; 2] = ["::/EFI", "::/EFI/BOOT"];
const EFI_PROGRAM: &str = "::/EFI/BOOT/BOOTX64.EFI";

/// What is booted.
pub(super) struct Entry<'a> {
    /// Identifier of the root file system.
    pub(super) uuid: &'a str,
    /// Paths in the root file system.
    pub(super) kernel: &'a str,
    pub(super) initrd: &'a str,
    pub(super) command_line: &'a str,
}

/// Installs GRUB for both firmwares on `disk` at `path`, with `scratch` for what is between.
///
/// # Errors
/// Where a tool is missing or fails, or GRUB is too large for the room in front of the partitions.
pub(super) fn install(disk: &File, path: &Path, entry: &Entry<'_>, scratch: &Path) -> Result<(), Error> {
    install_for(disk, path, entry, scratch, true)
}

/// Installs GRUB for BIOS, and for UEFI where it is wanted.
///
/// # Errors
/// As [`install`].
pub(super) fn install_for(
    disk: &File,
    path: &Path,
    entry: &Entry<'_>,
    scratch: &Path,
    with_uefi: bool,
) -> Result<(), Error> {
    let written = || Error::system(format!("write the boot loader to {}", path.display()));
    let core = image("i386-pc", &BIOS_MODULES, &script(entry, None), scratch)?;
    let sector = std::fs::read(BOOT_SECTOR).map_err(|_| Error::Missing {
        what: format!("{BOOT_SECTOR} is not on this host"),
        fix: Some("apt-get install grub-pc-bin".into()),
    })?;
    let core = std::fs::read(&core).map_err(Error::system(format!("read {}", core.display())))?;
    if sector.len() < TABLE_AT || core.len() as u64 > SYSTEM_BEGIN_BYTES - SECTOR_BYTES {
        return Err(Error::Invalid(format!(
            "GRUB does not fit in front of the partitions: {} bytes of code",
            core.len()
        )));
    }
    disk.write_all_at(&sector[..TABLE_AT], 0).map_err(written())?;
    disk.write_all_at(&core, SECTOR_BYTES).map_err(written())?;
    if !with_uefi {
        return Ok(());
    }

    // SeaBIOS says itself when it hands over; OVMF is silent, so GRUB says that it has begun.
    let program = image("x86_64-efi", &EFI_MODULES, &script(entry, Some("loader")), scratch)?;
    let partition = format!("{}@@{SYSTEM_BEGIN_BYTES}", word(path));
    let sectors = (SYSTEM_BYTES / SECTOR_BYTES).to_string();
    let doing = "make the EFI system partition";
    MFORMAT.run(doing, &["-i", &partition, "-T", &sectors, "::"])?;
    MMD.run(doing, &["-i", &partition, EFI_FOLDERS[0], EFI_FOLDERS[1]])?;
    MCOPY.run(doing, &["-i", &partition, &word(&program), EFI_PROGRAM])?;
    Ok(())
}

/// Makes one GRUB with `script` inside.
fn image(format: &str, modules: &[&str], script: &str, scratch: &Path) -> Result<std::path::PathBuf, Error> {
    let folder = Path::new("/usr/lib/grub").join(format);
    if !folder.is_dir() {
        let package = if format == "i386-pc" { "grub-pc-bin" } else { "grub-efi-amd64-bin" };
        return Err(Error::Missing {
            what: format!("{} is not on this host", folder.display()),
            fix: Some(format!("apt-get install {package}")),
        });
    }
    let (configuration, made) = (scratch.join(format!("{format}.cfg")), scratch.join(format));
    std::fs::write(&configuration, script)
        .map_err(Error::system(format!("write {}", configuration.display())))?;
    let (configuration, made_word) = (word(&configuration), word(&made));
    let mut words = vec!["-O", format, "-o", &made_word, "-c", &configuration, "-p", "/boot/grub"];
    words.extend(modules);
    GRUB_MKIMAGE.run("make the boot loader", &words)?;
    Ok(made)
}

/// GRUB's commands (GRUB manual, "The list of commands").
fn script(entry: &Entry<'_>, begin: Option<&str>) -> String {
    let Entry { uuid, kernel, initrd, command_line } = entry;
    let mut script = begin.map(mark).unwrap_or_default();
    // What goes wrong is said where the system says it later.
    script.push_str("serial --unit=0 --speed=115200\nterminal_output serial\n");
    script.push_str(&format!("search.fs_uuid {uuid} root\nlinux {kernel} root=UUID={uuid} {command_line}\n"));
    script.push_str(&format!("initrd {initrd}\n"));
    script.push_str(&mark("kernel"));
    script.push_str("boot\n");
    // A kernel that has begun does not come back.
    script.push_str(&tell(&Message::Failed { error: "the boot loader could not start the kernel".into() }));
    script
}

/// Commands that say that a phase begins.
fn mark(phase: &str) -> String {
    tell(&Message::Mark { phase: phase.into() })
}

fn tell(message: &Message) -> String {
    let bytes = message.encode();
    bytes.iter().map(|byte| format!("outb 0x{GUEST_PORT} {byte:#x}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_says_when_the_kernel_begins_and_then_starts_it() {
        let entry = Entry { uuid: "u-1", kernel: "/vmlinuz", initrd: "/initrd.img", command_line: "quiet" };
        let script = script(&entry, None);
        let lines: Vec<&str> = script.lines().collect();
        assert!(lines.contains(&"search.fs_uuid u-1 root"));
        assert!(lines.contains(&"linux /vmlinuz root=UUID=u-1 quiet"));
        let boot = lines.iter().position(|line| *line == "boot").expect("boots");
        let said: Vec<u8> = lines[..boot]
            .iter()
            .filter_map(|line| line.strip_prefix("outb 0xe9 0x"))
            .map(|hex| u8::from_str_radix(hex, 16).expect("a byte"))
            .collect();
        assert_eq!(said, Message::Mark { phase: "kernel".into() }.encode());
    }
}
