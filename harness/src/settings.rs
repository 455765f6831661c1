//! What a user can set, wherever it is set: flag > environment (`BENCH_*`) > `bench.toml` >
//! the plan's default.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::failure::Failure;
use crate::{duration, nearest};

/// The file of settings looked for in the working directory.
pub const FILE: &str = "bench.toml";

/// Everything that can be set. `None`: not set here.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Backends to start instances with, or families of them (`vm` = vm:direct; `oci` and
    /// `engine` = those found)
    #[arg(long, env = "BENCH_ON", value_name = "BACKEND,…", value_delimiter = ',')]
    pub on: Option<Vec<String>>,

    /// Instances per storm
    #[arg(long, env = "BENCH_INSTANCES", value_name = "N")]
    pub instances: Option<u32>,

    /// Counted storms per backend
    #[arg(long, env = "BENCH_STORMS", value_name = "R")]
    pub storms: Option<u32>,

    /// Warm-up storms per backend: kept, not counted
    #[arg(long, env = "BENCH_WARMUP", value_name = "W")]
    pub warmup: Option<u32>,

    /// storm-sweep: attempts in a storm
    #[arg(long, env = "BENCH_SIZES", value_name = "N,…", value_delimiter = ',')]
    pub sizes: Option<Vec<u32>>,

    /// storm-sweep: processors the instances may use (0 = all)
    #[arg(long, env = "BENCH_CORES", value_name = "N,…", value_delimiter = ',')]
    pub cores: Option<Vec<u32>>,

    /// storm-sweep: when attempts are due, several to compare
    #[arg(long, env = "BENCH_ARRIVALS", value_name = "A,…", value_delimiter = ',')]
    pub arrivals: Option<Vec<String>>,

    /// storm-sweep: shared image and warm cache, own images and cold cache
    #[arg(long, env = "BENCH_IMAGES", value_name = "shared|own,…", value_delimiter = ',')]
    pub images: Option<Vec<String>>,

    /// node-failure: what dies at once: all, or one after the other (rolling)
    #[arg(long, env = "BENCH_MODES", value_name = "all|rolling,…", value_delimiter = ',')]
    pub modes: Option<Vec<String>>,

    /// node-failure: requests a second over all instances together
    #[arg(long, env = "BENCH_RATE", value_name = "R")]
    pub rate: Option<f64>,

    /// isolation: checks, claims or globs over their names
    #[arg(long, env = "BENCH_CHECK", value_name = "CHECK|CLAIM|GLOB,…", value_delimiter = ',')]
    pub check: Option<Vec<String>>,

    /// isolation: whether each check is also tried with its mechanism removed
    #[arg(long, env = "BENCH_CONTROLS", value_name = "on|off")]
    pub controls: Option<String>,

    /// isolation: a mechanism left out of `container`, or all in turn: which checks notice
    #[arg(long, env = "BENCH_MUTATE", value_name = "all|MECHANISM", hide = true)]
    pub mutate: Option<String>,

    /// density: grow until N instances, failure, or free=10%
    #[arg(long, env = "BENCH_UNTIL", value_name = "N|failure|free=P%")]
    pub until: Option<String>,

    /// density: instances at most on single backends
    #[arg(long, env = "BENCH_MOST", value_name = "BACKEND=N,…", value_delimiter = ',')]
    pub most: Option<Vec<String>>,

    /// prioritize: what is tried (cpu-quota, cpu-weight, memory-limit, …)
    #[arg(long, env = "BENCH_MECHANISMS", value_name = "M,…", value_delimiter = ',')]
    pub mechanisms: Option<Vec<String>>,

    /// prioritize, isolation: ask the same of a container in a VM, under these versions of cgroups
    #[arg(long, env = "BENCH_INSIDE", value_name = "v1|v2,…", value_delimiter = ',')]
    pub inside: Option<Vec<String>>,

    /// density: steps of growth
    #[arg(long, env = "BENCH_STEPS", value_name = "K")]
    pub steps: Option<u32>,

    /// density: requests each instance answers before it is looked at again
    #[arg(long, env = "BENCH_REQUESTS", value_name = "N")]
    pub requests: Option<u32>,

    /// density: bytes that machines with a balloon are left with once they have grown
    #[arg(long, env = "BENCH_BALLOON_BYTES", value_name = "BYTES")]
    pub balloon_bytes: Option<u64>,

    /// density: share of the host's memory that is kept free whatever is asked
    #[arg(long, env = "BENCH_RESERVE", value_name = "SHARE")]
    pub reserve: Option<f64>,

    /// density: leave KSM as it is, or compare without and with it
    #[arg(long, env = "BENCH_KSM", value_name = "leave|compare")]
    pub ksm: Option<String>,

    /// What of the host may be switched for the run and is put back: ksm, drop-caches
    #[arg(long, env = "BENCH_ALLOW", value_name = "WHAT,…", value_delimiter = ',')]
    pub allow: Option<Vec<String>>,

    /// portability: what is tried: vm, containers, round-trips, live
    #[arg(long, env = "BENCH_PARTS", value_name = "PART,…", value_delimiter = ',')]
    pub parts: Option<Vec<String>>,

    /// portability: profiles of hardware the disk is tried on
    #[arg(long, env = "BENCH_HARDWARE", value_name = "PROFILE,…", value_delimiter = ',')]
    pub hardware: Option<Vec<String>>,

    /// portability: formats of the disk
    #[arg(long, env = "BENCH_FORMATS", value_name = "FORMAT,…", value_delimiter = ',')]
    pub formats: Option<Vec<String>>,

    /// portability: firmwares of the machines
    #[arg(long, env = "BENCH_FIRMWARES", value_name = "bios|uefi,…", value_delimiter = ',')]
    pub firmwares: Option<Vec<String>>,

    /// portability: machines at a time
    #[arg(long, env = "BENCH_PARALLEL", value_name = "N")]
    pub parallel: Option<u32>,

    /// portability: folder with the files of the complete operating system that is carried
    #[arg(long, env = "BENCH_SYSTEM", value_name = "DIR")]
    pub system: Option<PathBuf>,

    /// When attempts are due: burst, serial, rate=R/s or poisson=R/s
    #[arg(long, env = "BENCH_ARRIVAL", value_name = "A")]
    pub arrival: Option<String>,

    /// Image all instances come from
    #[arg(long, env = "BENCH_IMAGE", value_name = "REF")]
    pub image: Option<String>,

    /// What an instance does: ready, http, memory=SIZE, cpu, command or service=KIND (redis, http)
    #[arg(long, env = "BENCH_WORKLOAD", value_name = "W")]
    pub workload: Option<String>,

    /// Accelerator of virtual machines: auto, kvm or tcg
    #[arg(long, env = "BENCH_ACCEL", value_name = "A")]
    pub accel: Option<String>,

    /// Machine QEMU models: microvm, pc or q35
    #[arg(long, env = "BENCH_MACHINE", value_name = "M")]
    pub machine: Option<String>,

    /// Kernel of virtual machines (found on the host where not given)
    #[arg(long, env = "BENCH_KERNEL", value_name = "FILE")]
    pub kernel: Option<PathBuf>,

    /// Another OCI runtime to try as oci:NAME, or another place of one that is known; may be repeated
    #[arg(long, env = "BENCH_RUNTIME", value_name = "NAME=PATH", value_delimiter = ',')]
    pub runtime: Option<Vec<String>>,

    /// vm:full: firmware of the machines, bios or uefi
    #[arg(long, env = "BENCH_FIRMWARE", value_name = "F")]
    pub firmware: Option<String>,

    /// vm:full: what each machine gets of the master disk, linked or copy
    #[arg(long, env = "BENCH_CLONE", value_name = "C")]
    pub clone: Option<String>,

    /// vm:full: master disk, qcow2 or raw (made from the image where not given)
    #[arg(long, env = "BENCH_DISK", value_name = "FILE")]
    pub disk: Option<PathBuf>,

    /// How instances are reached: none, loopback or bridge
    #[arg(long, env = "BENCH_NETWORK", value_name = "N")]
    pub network: Option<String>,

    /// Seed of everything random
    #[arg(long, env = "BENCH_SEED", value_name = "S")]
    pub seed: Option<u64>,

    /// Deadline of an attempt, as 90s or 2m, and of phases of it, as 90s,firmware=10s,kernel=30s
    #[arg(long, env = "BENCH_TIMEOUT", value_name = "T")]
    pub timeout: Option<String>,

    /// Folder for the run (default: a new one in bench-results/)
    #[arg(long, env = "BENCH_OUT", value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// How comparisons are judged; in the file only.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub compare: Option<results::compare::Rules>,

    /// Names of what was set by flag or environment, and so for this run alone.
    #[arg(skip)]
    #[serde(skip)]
    pub flags: Vec<String>,
}

impl Settings {
    /// `self`, which holds flags and environment, where set; else what `bench.toml` in `folder` says.
    ///
    /// # Errors
    /// Where the environment or the file says what is not known, or the file cannot be read.
    pub fn or_file(self, folder: &Path) -> Result<Settings, Failure> {
        check_environment(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()))?;
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(self.marked()?.or(Settings::from_toml(&text, &path)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.marked(),
            Err(error) => Err(Failure::Usage(format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// What is set, as keys of a plan.
    ///
    /// # Errors
    /// A duration that is none.
    pub fn changes(&self) -> Result<Table, Failure> {
        let cannot = |error: toml::ser::Error| Failure::Cannot(format!("cannot write the settings: {error}"));
        let mut table = Table::try_from(self).map_err(cannot)?;
        table.remove("out");
        if table.remove("timeout").is_some()
            && let Some(text) = &self.timeout
        {
            let (whole, phases) = duration::deadlines(text).map_err(Failure::Usage)?;
            table.extend(whole.map(|whole| ("timeout_s".to_owned(), whole.as_secs_f64().into())));
            let phases: Table =
                phases.into_iter().map(|(phase, longest)| (phase, longest.as_secs_f64().into())).collect();
            if !phases.is_empty() {
                table.insert("phase_timeout_s".into(), phases.into());
            }
        }
        Ok(table)
    }

    /// Whether `key` of a plan was set by flag or environment.
    pub fn is_flag(&self, key: &str) -> bool {
        self.flags.iter().any(|flag| flag == key)
    }

    fn marked(mut self) -> Result<Settings, Failure> {
        self.flags = self.changes()?.keys().cloned().collect();
        Ok(self)
    }

    fn from_toml(text: &str, path: &Path) -> Result<Settings, Failure> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            // An unknown key is named with the nearest; other errors show the line they are in.
            let what = nearest::in_serde_message(error.message()).unwrap_or_else(|| error.to_string());
            Failure::Usage(format!("{}: {what}", path.display()))
        })
    }

    fn or(self, other: Settings) -> Settings {
        Settings {
            on: self.on.or(other.on),
            instances: self.instances.or(other.instances),
            storms: self.storms.or(other.storms),
            warmup: self.warmup.or(other.warmup),
            sizes: self.sizes.or(other.sizes),
            cores: self.cores.or(other.cores),
            arrivals: self.arrivals.or(other.arrivals),
            images: self.images.or(other.images),
            modes: self.modes.or(other.modes),
            rate: self.rate.or(other.rate),
            check: self.check.or(other.check),
            controls: self.controls.or(other.controls),
            mutate: self.mutate.or(other.mutate),
            until: self.until.or(other.until),
            most: self.most.or(other.most),
            mechanisms: self.mechanisms.or(other.mechanisms),
            inside: self.inside.or(other.inside),
            steps: self.steps.or(other.steps),
            requests: self.requests.or(other.requests),
            balloon_bytes: self.balloon_bytes.or(other.balloon_bytes),
            reserve: self.reserve.or(other.reserve),
            ksm: self.ksm.or(other.ksm),
            allow: self.allow.or(other.allow),
            parts: self.parts.or(other.parts),
            hardware: self.hardware.or(other.hardware),
            formats: self.formats.or(other.formats),
            firmwares: self.firmwares.or(other.firmwares),
            parallel: self.parallel.or(other.parallel),
            system: self.system.or(other.system),
            arrival: self.arrival.or(other.arrival),
            image: self.image.or(other.image),
            workload: self.workload.or(other.workload),
            accel: self.accel.or(other.accel),
            machine: self.machine.or(other.machine),
            kernel: self.kernel.or(other.kernel),
            runtime: self.runtime.or(other.runtime),
            firmware: self.firmware.or(other.firmware),
            clone: self.clone.or(other.clone),
            disk: self.disk.or(other.disk),
            network: self.network.or(other.network),
            seed: self.seed.or(other.seed),
            timeout: self.timeout.or(other.timeout),
            compare: self.compare.or(other.compare),
            out: self.out.or(other.out),
            flags: self.flags,
        }
    }
}

/// A variable of ours that sets nothing is most likely a slip of the finger.
fn check_environment(names: impl Iterator<Item = String>) -> Result<(), Failure> {
    let known = <Settings as clap::Args>::augment_args(clap::Command::new("settings"));
    let known: Vec<&str> =
        known.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    for name in names.filter(|name| name.starts_with("BENCH_")) {
        if !known.contains(&name.as_str()) {
            return Err(Failure::Usage(nearest::unknown("setting", &name, &known)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_first_wins() {
        let file = Settings::from_toml("instances = 3\nstorms = 4\non = [\"vm\"]", Path::new("b")).unwrap();
        let flags = Settings { instances: Some(9), ..Settings::default() };
        let settled = flags.or(file);
        assert_eq!((settled.instances, settled.storms), (Some(9), Some(4)));
        assert_eq!(settled.on, Some(vec!["vm".to_owned()]));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = Settings::from_toml("instnaces = 3", Path::new("bench.toml")).unwrap_err();
        assert_eq!(error.code(), 2);
        let text = error.to_string();
        assert!(text.contains("bench.toml") && text.contains("did you mean \"instances\"?"), "{text}");
    }
}
