//! Disks of virtual machines: a master made once from an image, and what each machine gets of it.
//!
//! A master is made without mounting anything: `filesystem` fills the root with mke2fs(8) and
//! debugfs(8), `loader` makes GRUB for both firmwares, `partition` writes the table between them,
//! qemu-img(1) turns the whole into qcow2. `clone` gives each machine an overlay or a copy,
//! `qcow2` writes the overlay's few metadata, `format` names the
//! formats there are, `installed` makes versions of one installed system in any of them. `root` is the read-only disk of an image that brings
//! no kernel of its own. `cache` is where masters and such disks are kept, `whole` sees whether one that
//! the user brings is all there.

mod build;
mod cache;
mod clone;
mod drivers;
mod filesystem;
mod format;
mod installed;
mod loader;
mod master;
mod partition;
mod qcow2;
#[cfg(test)]
mod room;
mod root;
#[cfg(test)]
pub(super) mod tests;
mod tool;
mod whole;

pub(super) use build::COMMAND_LINE;
pub(super) use clone::{Cloned, clone, nameless};
pub use format::DiskFormat;
pub use installed::{Chain, Converted, Initramfs, Installed, Loaders, Version};
pub(super) use master::Master;
pub(super) use root::RootDisk;
pub(super) use tool::requirement;
