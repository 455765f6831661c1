//! The distribution's tools that disks are made with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Requirement};

/// A tool, where Debian's package puts it, and the package.
#[derive(Clone, Copy)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

pub(super) const MKE2FS: Tool = Tool { name: "mke2fs", package: "e2fsprogs" };
pub(super) const DEBUGFS: Tool = Tool { name: "debugfs", package: "e2fsprogs" };
pub(super) const QEMU_IMG: Tool = Tool { name: "qemu-img", package: "qemu-utils" };
pub(super) const GRUB_MKIMAGE: Tool = Tool { name: "grub-mkimage", package: "grub-common" };
pub(super) const MFORMAT: Tool = Tool { name: "mformat", package: "mtools" };
pub(super) const MCOPY: Tool = Tool { name: "mcopy", package: "mtools" };
pub(super) const MMD: Tool = Tool { name: "mmd", package: "mtools" };

/// All that a master needs.
const FOR_MASTER: [Tool; 7] = [MKE2FS, DEBUGFS, QEMU_IMG, GRUB_MKIMAGE, MFORMAT, MCOPY, MMD];

impl Tool {
    /// Where it is: on PATH or where only root's PATH leads.
    pub(super) fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let further = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let folders = std::env::split_paths(&path).chain(further);
        folders.map(|folder| folder.join(self.name)).find(|program| program.is_file())
    }

    fn missing(self) -> Error {
        Error::Missing {
            what: format!("{} is not on this host", self.name),
            fix: Some(format!("apt-get install {}", self.package)),
        }
    }

    /// Runs it to its end and returns what it wrote on standard output.
    ///
    /// # Errors
    /// Where it is missing or fails, with its last words.
    pub(super) fn run<S: AsRef<OsStr>>(self, doing: &str, arguments: &[S]) -> Result<String, Error> {
        let program = self.find().ok_or_else(|| self.missing())?;
        let output = Command::new(program)
            .args(arguments)
            // mtools(1): the geometry of a disk that no BIOS reads by cylinders is nobody's concern.
            .env("MTOOLS_SKIP_CHECK", "1")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::system(format!("run {}", self.name)))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().last().unwrap_or("it says nothing").trim().to_owned();
        Err(Error::Invalid(format!("cannot {doing}: {} ended with {}: {said}", self.name, output.status)))
    }
}

/// What of the tools is missing.
pub(in crate::vm) fn requirement() -> Requirement {
    let missing: Vec<Tool> = FOR_MASTER.into_iter().filter(|tool| tool.find().is_none()).collect();
    let names = |tools: &[Tool]| tools.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ");
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    Requirement {
        what: "tools to make disks".into(),
        state: if missing.is_empty() {
            Ok(names(&FOR_MASTER))
        } else {
            Err(format!("not on this host: {}", names(&missing)))
        },
        fix: (!missing.is_empty()).then(|| format!("apt-get install {}", packages.join(" "))),
    }
}

/// A path as a word.
pub(super) fn word(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
