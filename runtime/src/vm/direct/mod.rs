//! `vm:direct`: kernel and initramfs booted directly, the guest program as PID 1.
//!
//! # The recipe, by measurement
//!
//! Start to `ready` by hand, each variant in turns with the recipe (`cargo run --release --package
//! runtime --example machine_cost -- recipes`). QEMU 7.2, TCG, Debian's kernel 6.1 (cloud), 128 MiB, a
//! virtual machine of two cores without hardware virtualization; medians, 95 % intervals of the ratio of medians.
//!
//! | one thing changed | ms | × recipe | n | so |
//! |---|---|---|---|---|
//! | **the recipe**: microvm, PVH ELF, no console | 991 | 1 | 10 | |
//! | everyday: `-M pc`, its default devices, bzImage, serial console | 1,751 | 1.77 [1.46, 1.92] | 10 | the recipe is 43 % quicker |
//! | `-M pc`, everything else the same | 1,234 | 1.25 [0.97, 1.30] | 10 | microvm is the default |
//! | `-M q35`, everything else the same | 1,118 | 1.13 [0.93, 1.18] | 10 | |
//! | bzImage instead of the ELF inside it | 1,253 | 1.26 [1.04, 1.32] | 10 | ELF with PVH entry where there is one |
//! | `console=ttyS0` on a serial device | 1,003 | 1.01 [0.83, 1.06] | 10 | no console: costs nothing either way while `quiet` |
//! | qboot instead of microvm's own firmware | 978 | 0.99 [0.82, 1.11] | 10 | not taken: no gain to be seen |
//! | without `-sandbox` | 1,000 | 1.01 [0.84, 1.09] | 10 | the sandbox costs nothing to be seen and stays |
//! | without `cryptomgr.notests` | 1,144 | 1.23 [1.20, 1.26] | 9 | taken |
//! | without `random.trust_cpu=on` | 929 | 1.00 [0.97, 1.03] | 9 | kept: where it matters it ends a wait |
//! | `-cpu Nehalem` instead of `max` | 1,005 | 1.08 [0.96, 1.13] | 9 | `max` |
//! | `mem-merge=off,dump-guest-core=off` | 943 | 1.01 [0.98, 1.06] | 9 | not taken |
//! | `isa-serial=off` | 938 | 1.01 [0.97, 1.10] | 9 | not taken |
//! | `mitigations=off` | 975 | 1.05 [0.99, 1.14] | 9 | not taken: no gain, and another kernel than people run |
//! | `init_on_alloc=0` | 924 | 0.99 [0.96, 1.14] | 9 | not taken, as above |
//! | `lpj=` · `tsc=reliable` · `lsm=` · blacklisted initcalls | 920–969 | 0.99–1.04 | 9 | not taken |
//! | `nowatchdog`, expedited RCU | 1,078 | 1.16 [1.11, 1.21] | 9 | not taken: slower |
//! | `pit=off,pic=off,rtc=off` | | 2 and more | 6 | not taken; measured earlier on the same host |
//!
//! The lower half was measured beside a recipe of 930 ms. Under KVM none of this is measured yet on
//! hardware: the recipe differs there by `-cpu host` and by not naming the clock's frequency. Memory is
//! never allocated ahead, and huge pages are not asked for: a start of a second touches a third of the memory.

use std::os::fd::AsFd;
use std::sync::Arc;

use guest::{PLAN_FILE, PLAN_IN_FW_CFG, Plan};

use super::boot_files::{self, BootFiles, Paths};
use super::hypervisor::{self, Hypervisor, Start};
use super::instance::Firmware;
use super::options::Options;
use super::reach::Reach;
use super::recipe::{self, Network, Recipe};
use super::{file, instance, saving};
use crate::event::EventSink;
use crate::image::Image;
use crate::{
    Backend, Error, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, Saved, Workload,
};

/// Number of the image's disk among a machine's files, behind kernel and initramfs.
const ROOT_DISK: usize = 2;
/// Longest plan on the command line: of 2,048 bytes the kernel takes (COMMAND_LINE_SIZE on x86) the
/// recipe's own words need a quarter.
const COMMAND_LINE_BYTES: usize = 1400;

/// `vm:direct`.
pub struct DirectBackend {
    options: Options,
}

impl DirectBackend {
    /// With the user's choices.
    pub fn new(options: Options) -> DirectBackend {
        DirectBackend { options }
    }
}

impl Backend for DirectBackend {
    fn id(&self) -> String {
        "vm:direct".into()
    }

    fn description(&self) -> &'static str {
        "QEMU boots kernel and initramfs directly, the guest program is PID 1"
    }

    fn requirements(&self) -> Vec<Requirement> {
        hypervisor::requirements(&self.options, [boot_files::requirement(&self.options)])
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        Ok(Arc::new(PreparedVm {
            hypervisor: Hypervisor::prepare(context, &self.options)?,
            files: BootFiles::prepare(context, &self.options, image)?,
            image: image.digest.clone(),
        }))
    }
}

struct PreparedVm {
    hypervisor: Hypervisor,
    files: BootFiles,
    image: String,
}

impl PreparedVm {
    /// `plan` as the machine is told it.
    fn arguments(
        &self,
        plan: &str,
        limits: &Limits,
        paths: &Paths,
        network: Option<Network>,
        further: &[String],
    ) -> Vec<String> {
        let (memory_bytes, vcpus) = hypervisor::size(limits);
        recipe::arguments(&Recipe {
            machine: self.hypervisor.machine,
            accel: self.hypervisor.accel(),
            cpu: None,
            memory_bytes,
            vcpus,
            boot: paths.boot(&self.files.command_line(self.hypervisor.accel(), plan)),
            network,
            root_disk: self.files.root.as_ref().map(|_| ROOT_DISK),
            further,
        })
    }
}

impl Prepared for PreparedVm {
    fn config(&self) -> serde_json::Value {
        let plan = self.files.word(&Plan::new(Workload::Ready));
        let example = self.arguments(&plan, &Limits::default(), &self.files.own_paths(), None, &[]);
        self.hypervisor.describe(serde_json::json!({
            "backend": "vm:direct",
            "image": self.image,
            "kernel": self.files.kernel.source.file_name().map(|name| name.to_string_lossy().into_owned()),
            "kernel_digest": self.files.kernel.digest,
            "kernel_form": self.files.kernel.form,
            "initramfs_digest": self.files.initramfs_digest(false).unwrap_or_default(),
            "command_line": recipe::line(&example),
            "root": self.files.described_root(),
            "files": "kernel and initramfs are given to QEMU by descriptor",
            "network": self.hypervisor.access.described(),
        }))
    }

    fn cannot_hold(&self, limits: &Limits) -> Option<String> {
        hypervisor::cannot_hold(limits)
    }

    fn go_on(&self, spec: &LaunchSpec, saved: &Saved, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        instance::begin(&events);
        let state = saving::reopen(saved.state.as_fd())?;
        let incoming = ["-incoming".to_owned(), "defer".to_owned()];
        let mut files = Vec::from(self.files.files(false)?);
        files.extend(self.files.disk());
        let state_at = recipe::file_fd(files.len());
        files.push(state.as_fd());
        let word = self.files.word(&spec.plan);
        let start = Start {
            name: &spec.name,
            limits: &spec.limits,
            // The same machine to the last option: what was saved fits nothing else.
            arguments: &self.arguments(&word, &spec.limits, &Paths::inherited(), None, &incoming),
            files: &files,
            service: None,
            firmware: Firmware::Restored,
        };
        let vm = self.hypervisor.start(&start, &events, |monitor| {
            let uri = Some(format!("fd:{state_at}"));
            monitor.queue(qapi::qmp::migrate_incoming { uri, channels: None, exit_on_error: None })
        })?;
        Ok(Box::new(vm.savable()))
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        instance::begin(&events);
        let access = &self.hypervisor.access;
        let mut files = Vec::from(self.files.files(access.is_given(&spec.plan.workload))?);
        files.extend(self.files.disk());
        let reach = access.reach(&spec.name, recipe::service_port(&spec.plan.workload), files.len())?;
        let network = reach.as_ref().map(|reach| reach.network.clone());
        files.extend(reach.as_ref().and_then(Reach::file));
        let address = network.as_ref().map(Network::guest_address);
        let word = self.files.word(&Plan { address, ..spec.plan.clone() });
        let is_long = word.len() > COMMAND_LINE_BYTES;
        let told = if is_long { PLAN_IN_FW_CFG } else { &word };
        let in_file = is_long.then(|| file::sealed("plan", word.as_bytes())).transpose();
        let in_file = in_file.map_err(Error::system("make a sealed memory file for the plan"))?;
        let path = in_file.as_ref().map(|_| recipe::file_path(files.len()));
        files.extend(in_file.as_ref().map(|file| file.as_fd()));
        let further: Vec<String> = path
            .map(|path| ["-fw_cfg".to_owned(), format!("name={PLAN_FILE},file={path}")])
            .into_iter()
            .flatten()
            .collect();
        let arguments = self.arguments(told, &spec.limits, &Paths::inherited(), network, &further);
        let start = Start {
            name: &spec.name,
            limits: &spec.limits,
            arguments: &arguments,
            files: &files,
            service: reach.as_ref().map(Reach::service),
            firmware: boot_files::firmware(self.hypervisor.machine),
        };
        let vm = self.hypervisor.start(&start, &events, |_| Ok(()))?;
        let vm = if reach.is_none() && !is_long { vm.savable() } else { vm };
        Ok(Box::new(vm.hold(reach.map(Reach::into_held))))
    }
}

#[cfg(test)]
mod tests;
