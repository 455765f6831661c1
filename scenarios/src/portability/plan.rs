//! What is carried where.

use std::path::PathBuf;

use runtime::vm::{DiskFormat, FirmwareKind, HARDWARE, Hardware};
use serde::{Deserialize, Serialize};

use crate::{Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// Everything that decides what is tried; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// What is tried.
    pub parts: Vec<Part>,
    /// Names of profiles of hardware; all where empty.
    #[serde(default)]
    pub hardware: Vec<String>,
    /// Formats of disks.
    pub formats: Vec<String>,
    /// Firmwares.
    pub firmwares: Vec<String>,
    /// Whether the most general disk is tried everywhere, too, and containers inside machines of every kernel,
    /// not of the smallest alone.
    pub general: bool,
    /// Machines at a time; 0 = one a processor, four at most.
    pub parallel: u32,
    /// Folder with the files of a complete operating system; one in the cache where absent.
    #[serde(default)]
    pub system: Option<PathBuf>,
}

/// A part of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// One installed disk on hardware and in formats.
    Vm,
    /// One image on runtimes, engines, kernels and versions of cgroups.
    Containers,
    /// A running machine elsewhere.
    Live,
    /// Disks there and back.
    RoundTrips,
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] =
        &["parts", "hardware", "formats", "firmwares", "general", "parallel", "system"];

    /// The default plan sized to the host, and what was chosen and why.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan: Plan = toml::from_str(DEFAULT)?;
        let by_memory = u32::try_from(host.mem_available_bytes / (1 << 30)).unwrap_or(1);
        plan.parallel = host.cores.min(by_memory).clamp(1, 4);
        plan.launch.resolve_seed();
        let chosen = vec![format!("{} machines at a time ({} cores)", plan.parallel, host.cores)];
        Ok((plan, chosen))
    }

    /// The disk as it was installed, on machines with BIOS; containers in machines of one kernel.
    pub(crate) fn quicken(&mut self) {
        self.general = false;
        self.firmwares = vec!["bios".into()];
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if self.parts.is_empty() {
            return bad("parts", "none given; there are vm, containers, round-trips and live".into());
        }
        if let Some(name) = self.hardware.iter().find(|name| Hardware::named(name).is_none()) {
            let known: Vec<&str> = HARDWARE.iter().map(|hardware| hardware.name).collect();
            return bad("hardware", format!("there is no {name:?}; there are {}", known.join(", ")));
        }
        if let Some(name) = self.formats.iter().find(|name| DiskFormat::from_name(name).is_none()) {
            let known = DiskFormat::ALL.map(DiskFormat::name);
            return bad("formats", format!("there is no {name:?}; there are {}", known.join(", ")));
        }
        if let Some(name) = self.firmwares.iter().find(|name| FirmwareKind::from_name(name).is_none()) {
            return bad("firmwares", format!("{name:?} is not bios or uefi"));
        }
        if self.parallel > 64 {
            return bad("parallel", format!("{} is above 64", self.parallel));
        }
        Ok(())
    }

    /// What is done; not with each backend.
    pub(crate) fn would_do(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| format!("{part:?}").to_lowercase()).collect();
        format!("part in the matrix of {}", parts.join(", "))
    }

    /// The profiles that are tried.
    pub(super) fn profiles(&self) -> Vec<&'static Hardware> {
        let is_wanted = |hardware: &&Hardware| {
            self.hardware.is_empty() || self.hardware.iter().any(|n| n == hardware.name)
        };
        HARDWARE.iter().filter(is_wanted).collect()
    }

    /// The formats that are tried.
    pub(super) fn disk_formats(&self) -> Vec<DiskFormat> {
        self.formats.iter().filter_map(|name| DiskFormat::from_name(name)).collect()
    }
}
