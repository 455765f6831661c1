//! Virtual machines: QEMU, driven over QMP.

mod accel;
mod boot_files;
mod command_line;
mod direct;
mod disk;
#[cfg(test)]
mod endings;
mod file;
mod floor;
mod forward;
mod full;
mod hypervisor;
mod initramfs;
mod instance;
mod kept;
mod kernel;
#[cfg(test)]
mod meeting;
mod monitor;
mod options;
mod qemu;
mod reach;
mod recipe;
mod restore;
mod saving;
#[cfg(test)]
mod trial;
mod user;

use std::path::Path;

pub use accel::{Choice, accelerator};
pub use direct::DirectBackend;
pub use disk::{Chain, Converted, DiskFormat, Initramfs, Installed, Loaders, Version};
pub use floor::FloorBackend;
pub use full::{FullBackend, HARDWARE, Hardware};
pub use options::{Accel, CloneKind, FirmwareKind, Machine, Options, Outside};
pub use restore::{Offer, RestoreBackend};

use crate::Error;

/// Writes a cache file whole or not at all.
fn store(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)
        .map_err(Error::system(format!("make the folder {}", folder.display())))?;
    // The clock keeps two threads of one program apart.
    let beside = path.with_extension(format!("new-{}-{}", std::process::id(), crate::clock::now_ns()));
    std::fs::write(&beside, bytes)
        .and_then(|()| std::fs::rename(&beside, path))
        .inspect_err(|_| drop(std::fs::remove_file(&beside)))
        .map_err(kept::refused(format!("write {}", path.display())))
}
