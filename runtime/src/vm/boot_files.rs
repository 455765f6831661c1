//! What a guest is booted from: kernel and initramfs, made ready for the machines of one run.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use guest::Plan;
use sha2::{Digest, Sha256};

use super::disk::RootDisk;
use super::kernel::Kernel;
use super::options::{Accel, Machine, Options};
use super::recipe::{Boot, network_drivers};
use super::{command_line, file, initramfs, kernel};
use crate::image::Image;
use crate::{Error, Requirement, RunContext};

/// Kernel and initramfs, open.
pub(super) struct BootFiles {
    pub(super) kernel: Kernel,
    kernel_file: OwnedFd,
    plain: Initramfs,
    /// With the drivers of a network; a kernel without modules is no obstacle to other workloads.
    networked: Result<Initramfs, String>,
    /// The image, where it is too large for the initramfs.
    pub(super) root: Option<RootDisk>,
    tsc_khz: Option<u64>,
}

struct Initramfs {
    path: PathBuf,
    file: OwnedFd,
}

/// How QEMU is told where they are.
pub(super) struct Paths {
    kernel: PathBuf,
    initramfs: PathBuf,
}

impl BootFiles {
    /// Finds and unpacks the kernel, builds the initramfs with the image's files or their disk.
    pub(super) fn prepare(
        context: &RunContext,
        options: &Options,
        image: &Image,
    ) -> Result<BootFiles, Error> {
        let cache_dir = &context.cache_dir;
        let kernel = kernel::load(&kernel::find(options.kernel.as_deref(), cache_dir)?, cache_dir)?;
        let root = RootDisk::of_large(image, cache_dir)?;
        let (files, drivers) = match &root {
            None => (image.rootfs.as_deref(), Vec::new()),
            Some(_) => (None, RootDisk::drivers(options.machine).to_vec()),
        };
        let archive = |drivers: &[&str]| Initramfs::cached(files, &kernel, drivers, cache_dir);
        let plain = archive(&drivers)?;
        let with_network = [&drivers[..], &network_drivers(options.machine)].concat();
        let networked = archive(&with_network).map_err(|error| error.to_string());
        let kernel_file = file::open_for_machine(&kernel.file)?;
        Ok(BootFiles { kernel, kernel_file, plain, networked, root, tsc_khz: command_line::tsc_khz() })
    }

    /// The image's own disk as a file of a machine, where it has one.
    pub(super) fn disk(&self) -> Option<BorrowedFd<'_>> {
        self.root.as_ref().map(RootDisk::file)
    }

    /// For the record.
    pub(super) fn described_root(&self) -> &'static str {
        if self.root.is_some() { "read-only ext4 disk, tmpfs above" } else { "initramfs" }
    }

    /// The files a machine is given, in the order of [`Paths::inherited`].
    pub(super) fn files(&self, networked: bool) -> Result<[BorrowedFd<'_>; 2], Error> {
        Ok([self.kernel_file.as_fd(), self.initramfs(networked)?.file.as_fd()])
    }

    /// Digest of the initramfs.
    pub(super) fn initramfs_digest(&self, networked: bool) -> Result<String, Error> {
        Ok(self.initramfs(networked)?.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// Where a reader finds what a plain machine is booted from.
    pub(super) fn own_paths(&self) -> Paths {
        Paths { kernel: self.kernel.file.clone(), initramfs: self.plain.path.clone() }
    }

    /// The kernel's command line.
    pub(super) fn command_line(&self, accel: Accel, plan: &str) -> String {
        command_line::of_guest(accel, self.tsc_khz, plan)
    }

    /// A plan as a machine with these files is told it.
    pub(super) fn word(&self, plan: &Plan) -> String {
        Plan { root_disk: self.root.is_some(), ..plan.clone() }.to_word()
    }

    fn initramfs(&self, networked: bool) -> Result<&Initramfs, Error> {
        if networked {
            self.networked.as_ref().map_err(|error| Error::Invalid(error.clone()))
        } else {
            Ok(&self.plain)
        }
    }
}

impl Paths {
    /// Through the first two descriptors of a machine's own.
    pub(super) fn inherited() -> Paths {
        let [kernel, initramfs] = [0, 1].map(|number| super::recipe::file_path(number).into());
        Paths { kernel, initramfs }
    }

    /// With this command line.
    pub(super) fn boot<'a>(&'a self, command_line: &'a str) -> Boot<'a> {
        Boot::Kernel { kernel: &self.kernel, initramfs: Some(&self.initramfs), command_line }
    }
}

impl Initramfs {
    /// The initramfs in the cache, named by its digest.
    fn cached(
        files: Option<&Path>,
        kernel: &Kernel,
        drivers: &[&str],
        cache_dir: &Path,
    ) -> Result<Initramfs, Error> {
        let archive = initramfs::build(files, kernel.modules.as_deref(), drivers)?;
        let path = cache_dir.join("initramfs").join(format!("{:x}", Sha256::digest(&archive)));
        if !path.exists() {
            super::store(&path, &archive)?;
        }
        Ok(Initramfs { file: file::open_for_machine(&path)?, path })
    }
}

/// The guest kernel as something a backend needs.
pub(super) fn requirement(options: &Options) -> Requirement {
    let found = kernel::find(options.kernel.as_deref(), &crate::cache_dir());
    Requirement {
        what: "guest kernel".into(),
        fix: found.is_err().then(|| kernel::FIX.into()),
        state: found.map(|path| path.display().to_string()).map_err(|_| "none found".into()),
    }
}

/// How a directly booted machine tells that QEMU hands over.
pub(super) fn firmware(machine: Machine) -> super::instance::Firmware {
    match machine {
        Machine::Microvm => super::instance::Firmware::Silent("kernel"),
        Machine::Pc | Machine::Q35 => super::instance::Firmware::SEABIOS,
    }
}
