//! The matrix with machines that are played: what is booted, changed, inferred, and never claimed.

use std::sync::Mutex;

use results::record::Run;
use runtime::vm::{Initramfs, Loaders};

use super::*;
use crate::testing::Memory;
use crate::{HostSize, Stop};

/// A world in which hardware needs certain drivers.
#[derive(Default)]
struct World {
    booted: Mutex<Vec<String>>,
    stop_after: Option<usize>,
    has_no_uefi: bool,
}

/// Disks that are only names.
struct Names(bool);

impl Disks for Names {
    fn disk(&mut self, version: Version, format: DiskFormat) -> Result<Converted, String> {
        let path = format!("{version}.{}", format.name()).into();
        Ok(Converted { path, bytes: 7, took: Duration::from_secs(1) })
    }

    fn outside(&self, _version: Version) -> Option<runtime::vm::Outside> {
        None
    }

    fn other_kernel(&self) -> Option<String> {
        self.0.then(|| "6.1.0".into())
    }
}

impl Boot for World {
    fn lacks(&self, firmware: FirmwareKind) -> Option<String> {
        (self.has_no_uefi && firmware == FirmwareKind::Uefi).then(|| "OVMF is not on this host".into())
    }

    fn boot(&self, attempt: &Try) -> boot::Booted {
        let disk = attempt.disk.path.to_string_lossy().into_owned();
        let mut booted = self.booted.lock().expect("booted");
        if self.stop_after.is_some_and(|most| booted.len() >= most) {
            return None;
        }
        booted.push(format!("{disk} on {}", attempt.hardware.name));
        let has = |word: &str| disk.contains(word);
        let uefi = attempt.firmware == Some(FirmwareKind::Uefi);
        let found = match attempt.hardware.name {
            _ if uefi && !has("uefi") => Err(reason::Reason::NoLoader("UEFI")),
            "vmware-like" if has("host-only") => Err(reason::Reason::NoRoot),
            "virtualbox-like" if !has("all-drivers") || has("host-only") => Err(reason::Reason::NoRoot),
            "hyperv-gen1-like" if has("host-only") => Err(reason::Reason::NoRoot),
            "hyperv-gen1-like" if !has("all-drivers") => Err(reason::Reason::NoNetwork),
            "aws-like" => Err(reason::Reason::Late("kernel".into())),
            _ => Ok(5),
        };
        Some(found)
    }
}

fn plan() -> Plan {
    let host = HostSize { cores: 2, mem_available_bytes: 8 << 30, kvm: false };
    Plan::sized_for(&host).expect("default").0
}

fn carry_out(plan: &Plan, world: &World, two_kernels: bool, stop: &Stop) -> Vec<Cell> {
    let folder = tempfile::tempdir().expect("folder");
    let context = runtime::RunContext {
        run_id: "test".into(),
        state_dir: folder.path().into(),
        cache_dir: folder.path().into(),
        watch: std::sync::Arc::new(runtime::watch::Watch::start().expect("stamper")),
        network: std::sync::Arc::default(),
    };
    let (mut rows, mut run) = (Memory::default(), Run::new("test", "portability"));
    let image = runtime::image::Image::builtin();
    let mut stage = Stage {
        backends: Vec::new(),
        context: &context,
        image: &image,
        rows: &mut rows,
        run: &mut run,
        stop,
        progress: &mut |_| {},
    };
    let mut book = Book { done: 0, of: 0 };
    let mut names = Names(two_kernels);
    matrix(plan, Accel::Tcg, world, &mut names, &mut stage, &mut book).expect("carried out");
    rows.cells
}

fn on<'a>(cells: &'a [Cell], platform: &str) -> Vec<(&'a str, CellOutcome)> {
    let here = cells.iter().filter(|cell| cell.platform == platform);
    here.map(|cell| (cell.artifact.as_str(), cell.outcome)).collect()
}

#[test]
fn what_is_missing_is_changed_until_it_works_and_no_further() {
    let mut plan = plan();
    plan.general = false;
    plan.formats = vec!["qcow2".into(), "vdi".into()];
    let world = World::default();
    let cells = carry_out(&plan, &world, true, &Stop::new());
    use CellOutcome::{Fails, Impossible, Inferred, Works};
    assert_eq!(
        on(&cells, "virtualbox-like/bios"),
        [
            ("few-drivers_host-only_bios.vdi", Fails),
            ("few-drivers_general_bios.vdi", Fails),
            ("all-drivers_general_bios.vdi", Works),
            ("all-drivers_general_bios.qcow2", Inferred),
        ]
    );
    assert_eq!(
        on(&cells, "kvm-virtio/uefi"),
        [
            ("few-drivers_host-only_bios.qcow2", Fails),
            ("few-drivers_host-only_bios+uefi.qcow2", Works),
            ("few-drivers_host-only_bios+uefi.vdi", Inferred),
        ]
    );
    // No change would help, and nothing is inferred from what failed.
    assert_eq!(on(&cells, "aws-like/bios"), [("few-drivers_host-only_bios.raw", Fails)]);
    let outside = on(&cells, "firecracker-like/kernel");
    assert_eq!(
        outside[..2],
        [("few-drivers_host-only_bios.raw", Fails), ("few-drivers_host-only_bios.raw", Works)]
    );
    for hopeless in ["xen-like/bios", "hyperv-gen2-like/uefi", "hyperv-enlightened/bios"] {
        let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.platform == hopeless).collect();
        assert!(cells.iter().all(|cell| cell.outcome == Impossible && !cell.reason.is_empty()), "{cells:?}");
        assert_eq!(cells.len(), 2);
    }
    let mended = cells.iter().find(|cell| cell.outcome == Works && cell.platform == "hyperv-gen1-like/bios");
    let mended = mended.expect("mended");
    assert_eq!(
        mended.changes,
        "another kernel, with all drivers; an initramfs with all drivers the kernel has; converted to vpc"
    );
    // Every row that says it was tried was, and the other way round.
    let tried =
        |cell: &&Cell| matches!(cell.outcome, Works | Fails) && !cell.reason.starts_with("no firmware");
    assert_eq!(cells.iter().filter(tried).count(), world.booted.lock().expect("booted").len());
}

#[test]
fn without_a_kernel_with_more_drivers_none_is_pretended() {
    let mut plan = plan();
    plan.general = false;
    plan.hardware = vec!["kvm-virtio".into(), "virtualbox-like".into()];
    plan.firmwares = vec!["bios".into()];
    let cells = carry_out(&plan, &World::default(), false, &Stop::new());
    let there = on(&cells, "virtualbox-like/bios");
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(
        there.iter().all(|(artifact, outcome)| artifact.contains("few") && *outcome == CellOutcome::Fails)
    );
}

#[test]
fn a_run_that_is_stopped_keeps_what_it_has_and_infers_nothing() {
    let world = World { stop_after: Some(3), ..World::default() };
    let stop = Stop::new();
    let cells = carry_out(&plan(), &world, true, &stop);
    let tried = cells.iter().filter(|cell| matches!(cell.outcome, CellOutcome::Works | CellOutcome::Fails));
    assert!(tried.count() <= 4);
}

#[test]
fn firmware_that_is_not_here_makes_platforms_impossible_and_not_the_disk_unfit() {
    let mut plan = plan();
    plan.hardware = vec!["kvm-virtio".into()];
    plan.formats = vec!["qcow2".into()];
    let world = World { has_no_uefi: true, ..World::default() };
    let cells = carry_out(&plan, &world, true, &Stop::new());
    let uefi: Vec<&Cell> = cells.iter().filter(|cell| cell.platform == "kvm-virtio/uefi").collect();
    assert_eq!(uefi.len(), 1);
    assert_eq!(
        (uefi[0].outcome, uefi[0].reason.as_str()),
        (CellOutcome::Impossible, "OVMF is not on this host")
    );
    assert!(on(&cells, "kvm-virtio/bios").iter().all(|(_, outcome)| *outcome == CellOutcome::Works));
}

#[test]
fn the_general_disk_is_tried_everywhere_in_the_format_of_the_first() {
    let plan = plan();
    let cells = carry_out(&plan, &World::default(), true, &Stop::new());
    let general = format!("{}.qcow2", Version::GENERAL);
    assert_eq!(Version::GENERAL.initramfs, Initramfs::General);
    assert_eq!(Version::GENERAL.loaders, Loaders::Both);
    let tried: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.artifact == general && cell.outcome != CellOutcome::Inferred)
        .collect();
    assert_eq!(tried.len(), 9, "{tried:?}");
    assert_eq!(tried.iter().filter(|cell| cell.outcome == CellOutcome::Fails).count(), 2, "{tried:?}");
}

#[test]
fn a_disk_that_comes_back_longer_is_not_called_the_same() {
    let chain = |bytes, differs_at, rest_is_zero| runtime::vm::Chain {
        bytes,
        differs_at,
        rest_is_zero,
        written_bytes: 1,
        took: Duration::from_secs(1),
    };
    assert_eq!(difference(&chain((8, 8), None, true)).0, CellOutcome::Works);
    assert_eq!(difference(&chain((8, 9), None, true)).0, CellOutcome::Differs);
    assert_eq!(difference(&chain((8, 9), None, false)).0, CellOutcome::Differs);
    assert_eq!(difference(&chain((8, 7), None, true)).0, CellOutcome::Differs);
    let (outcome, reason) = difference(&chain((8, 8), Some(3), true));
    assert!(outcome == CellOutcome::Differs && reason.contains("byte 3"), "{reason}");
}

/// The system that `scripts/setup.sh` makes, carried to another hypervisor's hardware and format for real.
#[test]
fn a_disk_that_was_changed_for_it_serves_on_emulated_vmware_hardware() {
    let rootfs = runtime::cache_dir().join("portable-system/rootfs");
    if !rootfs.join("usr/bin/redis-server").exists() {
        eprintln!("skipped: no system in {} (scripts/setup.sh makes it)", rootfs.display());
        return;
    }
    let backend = runtime::vm::FullBackend::new(runtime::vm::Options::default());
    for requirement in runtime::Backend::requirements(&backend) {
        if let Err(why) = requirement.state {
            eprintln!("skipped: no virtual machines with disks here: {}: {why}", requirement.what);
            return;
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let run_id = format!("carried-{}", std::process::id());
    let state = runtime::state::RunState::create(&run_id).expect("a run of its own");
    let context = runtime::RunContext {
        run_id,
        state_dir: state.dir().into(),
        cache_dir: folder.path().into(),
        watch: std::sync::Arc::new(runtime::watch::Watch::start().expect("stamper")),
        network: std::sync::Arc::default(),
    };
    let mut installed = Installed::new(&rootfs, "carried", folder.path()).expect("installed");
    assert!(installed.has_two_kernels());
    let version = Version { initramfs: Initramfs::General, ..Version::INSTALLED };
    let disk = installed.disk(version, DiskFormat::Vmdk).expect("converted");
    let stop = Stop::new();
    let timeout = Duration::from_secs(300);
    let qemu = Qemu { context: &context, accel: Accel::Tcg, timeout, stop: &stop };
    let hardware = Hardware::named("vmware-like").expect("a profile");
    let firmware = Some(FirmwareKind::Bios);
    let found = qemu.boot(&Try { number: 0, disk, hardware, firmware, outside: None });
    assert!(matches!(found, Some(Ok(duration_ns)) if duration_ns > 1_000_000_000), "{found:?}");
    drop(installed);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("disks")).expect("listed").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
