//! What every scenario's plan says of the instances it starts.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use guest::Workload;
use runtime::image::Image;
use runtime::network::Kind;
use runtime::{Limits, vm};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::deadlines::Deadlines;

/// What is started, on what, from what, within which limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Backends or families, in the order asked for.
    pub on: Vec<String>,
    /// `ready`, `http`, `memory=SIZE`, `cpu`, `command` or `service=KIND`.
    pub workload: String,
    /// For the workloads `command` and `service`: program and arguments; empty = the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// Seed of everything random; 0 = make one up ([`Launch::resolve_seed`]).
    #[serde(default)]
    pub seed: u64,
    /// Deadline of an attempt in seconds after it was begun.
    pub timeout_s: f64,
    /// Deadlines of phases of its start, each in seconds after the phase began; the whole has its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phase_timeout_s: BTreeMap<String, f64>,
    /// Longest wait for the host to become quiet before something is measured, in seconds.
    pub settle_s: f64,
    /// Image reference.
    pub image: String,
    /// `auto`, `kvm` or `tcg`.
    pub accel: String,
    /// `microvm`, `pc` or `q35`.
    pub machine: String,
    /// Guest kernel; found where absent.
    #[serde(default)]
    pub kernel: Option<PathBuf>,
    /// Further OCI runtimes, `NAME=PATH` each, or other places of those that are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtime: Vec<String>,
    /// `bios` or `uefi`, for machines with a disk.
    #[serde(default = "usual_firmware")]
    pub firmware: String,
    /// `linked` or `copy`: what each of those gets of the master disk.
    #[serde(default = "usual_clone")]
    pub clone: String,
    /// Master disk; made from the image where absent.
    #[serde(default)]
    pub disk: Option<PathBuf>,
    /// `none`, `loopback` or `bridge`.
    #[serde(default = "usual_network")]
    pub network: String,
    /// Memory limit of an instance in bytes; for a VM the size of its RAM.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Processor limit of an instance.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Limit of processes and threads of an instance.
    #[serde(default)]
    pub pids: Option<u64>,
}

impl Launch {
    /// Its keys in a plan.
    pub(crate) const KEYS: &[&str] = &[
        "on",
        "workload",
        "command",
        "seed",
        "timeout_s",
        "phase_timeout_s",
        "settle_s",
        "image",
        "accel",
        "machine",
        "kernel",
        "runtime",
        "firmware",
        "clone",
        "disk",
        "network",
        "memory_bytes",
        "cpus",
        "pids",
    ];

    /// Makes up a seed where none was given. Below 2^53, so that every JSON reader keeps it.
    pub fn resolve_seed(&mut self) {
        while self.seed == 0 {
            // The standard library's hasher keys come from the system's entropy.
            self.seed = RandomState::new().build_hasher().finish() >> 32;
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if self.on.is_empty() {
            return bad("on", "no backend given; try process,container,vm".into());
        }
        if let Some(twice) = self.on.iter().enumerate().find(|(at, name)| self.on[..*at].contains(name)) {
            return bad("on", format!("{:?} is given twice", twice.1));
        }
        for (key, seconds, least) in [("timeout_s", self.timeout_s, 1e-3), ("settle_s", self.settle_s, 0.0)] {
            if !(least..=86_400.0).contains(&seconds) {
                return bad(key, format!("{seconds} is not within {least} s to a day"));
            }
        }
        for (phase, seconds) in &self.phase_timeout_s {
            if !runtime::PHASES.contains(&phase.as_str()) {
                let problem = format!("{phase:?} is no phase of a start: {}", runtime::PHASES.join(", "));
                return bad("phase_timeout_s", problem);
            }
            if !(1e-3..=86_400.0).contains(seconds) {
                return bad("phase_timeout_s", format!("{phase}: {seconds} is not within 0.001 s to a day"));
            }
        }
        if let Some(cpus) = self.cpus
            && !(0.001..=1024.0).contains(&cpus)
        {
            return bad("cpus", format!("{cpus} is not within 0.001 to 1024"));
        }
        if self.memory_bytes == Some(0) || self.pids == Some(0) {
            let key = if self.pids == Some(0) { "pids" } else { "memory_bytes" };
            return bad(key, "a limit of 0 leaves nothing to start with".into());
        }
        let workload = self.parsed_workload()?;
        let has_command = matches!(workload, Workload::Command { .. } | Workload::Service { .. });
        if !self.command.is_empty() && !has_command {
            return bad("command", format!("given, but the workload is {:?}", self.workload));
        }
        for word in &self.runtime {
            runtime::oci::OciBackend::from_word(word)
                .map_err(|problem| Error::Plan { key: "runtime", problem })?;
        }
        self.vm_options()?;
        let workload = self.parsed_workload()?;
        if self.network_kind()? == Kind::None && matches!(workload, Workload::Http | Workload::Service { .. })
        {
            return bad("network", format!("{workload} is reached over one; try loopback or bridge"));
        }
        Ok(())
    }

    /// The workload with its command.
    ///
    /// # Errors
    /// Where it names none.
    pub fn parsed_workload(&self) -> Result<Workload, Error> {
        match self.workload.parse() {
            Ok(Workload::Command { .. }) => Ok(Workload::Command { argv: self.command.clone() }),
            Ok(Workload::Service { service, .. }) => {
                Ok(Workload::Service { service, argv: self.command.clone() })
            }
            Ok(workload) => Ok(workload),
            Err(error) => Err(Error::Plan { key: "workload", problem: format!("{error}") }),
        }
    }

    /// What every instance is told: the workload, with the image's own command where none is given,
    /// in the image's own surroundings.
    ///
    /// # Errors
    /// As [`Launch::parsed_workload`].
    pub fn guest_plan(&self, image: &Image) -> Result<guest::Plan, Error> {
        let mut workload = self.parsed_workload()?;
        if let Workload::Command { argv } | Workload::Service { argv, .. } = &mut workload
            && argv.is_empty()
        {
            argv.clone_from(&image.command);
        }
        let mut plan = guest::Plan::new(workload);
        plan.environment.clone_from(&image.environment);
        plan.working_directory.clone_from(&image.working_directory);
        Ok(plan)
    }

    /// What VM backends are told.
    ///
    /// # Errors
    /// Where accelerator or machine are not known.
    pub fn vm_options(&self) -> Result<vm::Options, Error> {
        let accel = vm::Accel::from_name(&self.accel).ok_or_else(|| Error::Plan {
            key: "accel",
            problem: format!("{:?} is not auto, kvm or tcg", self.accel),
        })?;
        let machine = vm::Machine::from_name(&self.machine).ok_or_else(|| Error::Plan {
            key: "machine",
            problem: format!("{:?} is not microvm, pc or q35", self.machine),
        })?;
        let firmware = vm::FirmwareKind::from_name(&self.firmware).ok_or_else(|| Error::Plan {
            key: "firmware",
            problem: format!("{:?} is not bios or uefi", self.firmware),
        })?;
        let clone = vm::CloneKind::from_name(&self.clone).ok_or_else(|| Error::Plan {
            key: "clone",
            problem: format!("{:?} is not linked or copy", self.clone),
        })?;
        let (kernel, disk) = (self.kernel.clone(), self.disk.clone());
        Ok(vm::Options { accel, machine, kernel, firmware, clone, disk, ..vm::Options::default() })
    }

    /// How instances are reached.
    ///
    /// # Errors
    /// Where it is not known.
    pub fn network_kind(&self) -> Result<Kind, Error> {
        Kind::from_name(&self.network).ok_or_else(|| Error::Plan {
            key: "network",
            problem: format!("{:?} is not none, loopback or bridge", self.network),
        })
    }

    /// Limits of each instance.
    pub fn limits(&self) -> Limits {
        Limits { memory_bytes: self.memory_bytes, cpus: self.cpus, pids: self.pids, ..Limits::default() }
    }

    /// The deadlines of an attempt.
    pub(crate) fn deadlines(&self) -> Deadlines {
        Deadlines::of(self.timeout_s, &self.phase_timeout_s)
    }

    /// The longest wait for a quiet host in nanoseconds.
    pub(crate) fn settle_ns(&self) -> u64 {
        (self.settle_s * 1e9) as u64
    }
}

fn usual_firmware() -> String {
    vm::FirmwareKind::default().name().into()
}

fn usual_network() -> String {
    Kind::default().name().into()
}

fn usual_clone() -> String {
    vm::CloneKind::default().name().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_command_runs_unless_another_is_given() {
        let mut launch = crate::boot_storm::Plan::standard().expect("default").launch;
        let mut image = Image::builtin();
        image.command = vec!["/bin/image".into()];
        image.environment = vec!["A=b".into()];
        let argv = |launch: &Launch| match launch.guest_plan(&image).expect("a plan").workload {
            Workload::Command { argv } | Workload::Service { argv, .. } => argv,
            other => panic!("{other:?}"),
        };
        for workload in ["command", "service=redis"] {
            launch.workload = workload.into();
            launch.command = Vec::new();
            assert_eq!(argv(&launch), ["/bin/image"]);
            launch.command = vec!["/bin/own".into()];
            launch.validate().expect("valid");
            assert_eq!(argv(&launch), ["/bin/own"]);
        }
        assert_eq!(launch.guest_plan(&image).expect("a plan").environment, ["A=b"]);
    }
}
