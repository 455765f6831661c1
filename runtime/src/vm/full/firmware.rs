//! What a machine begins with: SeaBIOS, which QEMU brings, or OVMF.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::vm::disk;
use crate::vm::instance::Firmware as Speech;
use crate::vm::kept;
use crate::vm::options::{FirmwareKind, Machine};
use crate::vm::recipe;
use crate::{Error, Requirement};

/// Where distributions put OVMF: its code, and the variables a new machine has.
const OVMF: [(&str, &str); 3] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
];
/// What SeaBIOS says when it begins, and when it hands over to the disk's boot loader.
const SEABIOS: Speech = Speech::Speaks(&[("SeaBIOS (version", "firmware"), ("Booting from", "loader")]);

impl FirmwareKind {
    /// What a host must have beside QEMU for machines that begin with it.
    pub fn requirement(self) -> Option<Requirement> {
        match (self, Firmware::find(self)) {
            (FirmwareKind::Bios, _) => None,
            (FirmwareKind::Uefi, found) => Some(Requirement {
                what: "OVMF".into(),
                fix: found.is_err().then(|| "apt-get install ovmf".into()),
                state: found.map(|firmware| firmware.describe()).map_err(|_| "not on this host".into()),
            }),
        }
    }
}

/// The firmware of a run's machines.
pub(super) enum Firmware {
    SeaBios,
    Ovmf { code: PathBuf, variables: PathBuf },
}

impl Firmware {
    pub(super) fn find(kind: FirmwareKind) -> Result<Firmware, Error> {
        if kind == FirmwareKind::Bios {
            return Ok(Firmware::SeaBios);
        }
        OVMF.iter()
            .find(|(code, variables)| Path::new(code).is_file() && Path::new(variables).is_file())
            .map(|(code, variables)| Firmware::Ovmf { code: code.into(), variables: variables.into() })
            .ok_or_else(|| Error::Missing {
                what: "the UEFI firmware OVMF is not on this host".into(),
                fix: Some("apt-get install ovmf".into()),
            })
    }

    /// The machine people run it on.
    pub(super) fn usual_machine(&self) -> Machine {
        match self {
            Firmware::SeaBios => Machine::Pc,
            Firmware::Ovmf { .. } => Machine::Q35,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Firmware::SeaBios => "SeaBIOS, as QEMU brings it".into(),
            Firmware::Ovmf { code, .. } => code.display().to_string(),
        }
    }

    /// How the harness learns of its phases. OVMF as distributions build it has no debug port: its
    /// phase begins with QEMU's greeting, and the boot loader says when it ends.
    pub(super) fn speech(&self) -> Speech {
        match self {
            Firmware::SeaBios => SEABIOS,
            Firmware::Ovmf { .. } => Speech::Silent("firmware"),
        }
    }

    /// The files of one machine: the code, and variables of its own without a name.
    pub(super) fn files(&self, folder: &Path) -> Result<Vec<File>, Error> {
        let Firmware::Ovmf { code, variables } = self else { return Ok(Vec::new()) };
        let read = |path: &Path| Error::system::<std::io::Error>(format!("read {}", path.display()));
        let file = File::open(code).map_err(read(code))?;
        let content = std::fs::read(variables).map_err(read(variables))?;
        let own = disk::nameless(folder).and_then(|own| own.write_all_at(&content, 0).map(|()| own));
        Ok(vec![
            file,
            own.map_err(kept::refused(format!(
                "write the variables of a machine's firmware in {}",
                folder.display()
            )))?,
        ])
    }

    /// Arguments that name them as files `first` and the one behind it.
    pub(super) fn arguments(&self, first: usize) -> Vec<String> {
        if let Firmware::SeaBios = self {
            return Vec::new();
        }
        let flash = |unit: usize, read_only: &str| {
            let (number, fd) = (first + unit, recipe::file_fd(first + unit));
            let set = format!("fd={fd},set={number}");
            // Without auto-read-only, which opens a file for reading first: the set has one descriptor, for both.
            let how = format!("{read_only}auto-read-only=off");
            let drive = format!("if=pflash,unit={unit},format=raw,{how},file=/dev/fdset/{number}");
            ["-add-fd".to_owned(), set, "-drive".to_owned(), drive]
        };
        flash(0, "readonly=on,").into_iter().chain(flash(1, "")).collect()
    }
}
