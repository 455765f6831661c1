//! One installed disk on other hypervisors' hardware and in their formats.
//!
//! The disk is installed as it would be on a KVM host with BIOS. On each platform it is tried as it is,
//! in the format of the place, and where it does not work what its last words ask for is changed and
//! tried, until it works or no change would help ([`ladder`]). Each format is booted once on the first
//! platform; that the same content in another format works where one was booted is inferred, and said so.

mod boot;
mod ladder;
mod reason;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use results::record::{Cell, CellOutcome};
use runtime::vm::{Accel, Converted, DiskFormat, FirmwareKind, Hardware, Installed, Version};

use super::plan::{Part, Plan};
use super::run::{Book, cell};
use crate::{Error, Progress, Stage};
use boot::{Boot, Qemu, Try};

/// Kinds of rows.
pub(super) const VM: &str = "vm";
pub(super) const CONVERSION: &str = "conversion";
pub(in crate::portability) const ROUND_TRIP: &str = "round-trip";

/// Hardware with one of its firmwares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Platform {
    hardware: &'static Hardware,
    /// None where the host hands over a kernel.
    firmware: Option<FirmwareKind>,
}

impl Platform {
    fn name(self) -> String {
        match self.firmware {
            Some(firmware) => format!("{}/{}", self.hardware.name, firmware.name()),
            None => format!("{}/kernel", self.hardware.name),
        }
    }

    /// Why nothing can be tried on it, where nothing can.
    fn impossible(self, accel: Accel) -> Option<&'static str> {
        self.hardware.impossible.or(self.hardware.needs_kvm.filter(|_| accel != Accel::Kvm))
    }
}

/// Where disks of the installed system come from; tests have another.
pub(super) trait Disks: Send {
    fn disk(&mut self, version: Version, format: DiskFormat) -> Result<Converted, String>;
    fn outside(&self, version: Version) -> Option<runtime::vm::Outside>;
    /// Release of the kernel with the most drivers, where it is another than that with the fewest.
    fn other_kernel(&self) -> Option<String>;
}

impl Disks for Installed {
    fn disk(&mut self, version: Version, format: DiskFormat) -> Result<Converted, String> {
        Installed::disk(self, version, format).map_err(|error| error.to_string())
    }

    fn outside(&self, version: Version) -> Option<runtime::vm::Outside> {
        Some(Installed::outside(self, version))
    }

    fn other_kernel(&self) -> Option<String> {
        self.has_two_kernels().then(|| self.kernel(Version::GENERAL).to_owned())
    }
}

/// Installs the system of `rootfs` and carries it everywhere.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn carry(plan: &Plan, rootfs: &Path, stage: &mut Stage<'_>, book: &mut Book) -> Result<(), Error> {
    let options = plan.launch.vm_options()?;
    let ready = runtime::vm::accelerator(&options, &stage.context.cache_dir).and_then(|choice| {
        (stage.progress)(Progress::Preparing { backend: "the installed disk".into() });
        Ok((choice, Installed::new(rootfs, &stage.context.run_id, &stage.context.cache_dir)?))
    });
    let (choice, mut installed) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            let unknown = cell(VM, Version::INSTALLED.to_string(), "every hypervisor");
            return book.enter(Cell { reason: error.to_string(), ..unknown }, stage);
        }
    };
    stage.run.host.insert("accelerator".into(), choice.accel.name().into());
    stage.run.host.insert("accelerator_chosen_by".into(), choice.how.into());
    stage.run.configs.insert("portability".into(), described(plan, rootfs, &installed));
    convert(plan, &mut installed, stage, book)?;
    if plan.parts.contains(&Part::RoundTrips) {
        round_trips(plan, &mut installed, stage, book)?;
    }
    if plan.parts.contains(&Part::Vm) && !stage.stop.requested() {
        let qemu = Qemu {
            context: stage.context,
            accel: choice.accel,
            timeout: Duration::from_secs_f64(plan.launch.timeout_s),
            stop: stage.stop,
        };
        matrix(plan, choice.accel, &qemu, &mut installed, stage, book)?;
    }
    Ok(())
}

fn described(plan: &Plan, rootfs: &Path, installed: &Installed) -> serde_json::Value {
    let profiles: Vec<serde_json::Value> = plan
        .profiles()
        .iter()
        .map(|hardware| {
            serde_json::json!({
                "name": hardware.name,
                "stands_for": hardware.stands_for,
                "emulated_by": "QEMU's models of its devices",
                "native_format": hardware.format.name(),
                "differs": hardware.differs,
            })
        })
        .collect();
    serde_json::json!({
        "system": rootfs,
        "kernel_with_fewest_drivers": installed.kernel(Version::INSTALLED),
        "kernel_with_most_drivers": installed.kernel(Version::GENERAL),
        "host_only_initramfs": "the distribution's own without all device drivers but virtio_pci, virtio_blk and what they need",
        "boot_loader": "GRUB, for BIOS in front of the partitions, for UEFI in the EFI system partition",
        "installed_as": Version::INSTALLED.to_string(),
        "hardware": profiles,
    })
}

/// What it costs to have the disk in every format.
fn convert(
    plan: &Plan,
    installed: &mut Installed,
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    for format in plan.disk_formats() {
        if stage.stop.requested() {
            break;
        }
        let row = cell(CONVERSION, Version::INSTALLED.to_string(), format.name());
        let row = match installed.disk(Version::INSTALLED, format) {
            Ok(made) => Cell {
                outcome: CellOutcome::Works,
                bytes: Some(made.bytes),
                duration_ns: Some(made.took.as_nanos() as u64),
                ..row
            },
            Err(error) => Cell { outcome: CellOutcome::Fails, reason: error.to_string(), ..row },
        };
        book.enter(row, stage)?;
    }
    Ok(())
}

/// The disk through each format and back, and through all of them.
fn round_trips(
    plan: &Plan,
    installed: &mut Installed,
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let all: Vec<DiskFormat> =
        plan.disk_formats().into_iter().filter(|format| *format != DiskFormat::Raw).collect();
    let mut ways: Vec<Vec<DiskFormat>> = vec![all.clone()];
    if plan.general {
        ways.extend(all.iter().map(|format| vec![*format]));
    }
    for way in ways.into_iter().filter(|way| !way.is_empty()) {
        if stage.stop.requested() {
            break;
        }
        let names: Vec<&str> = way.iter().map(|format| format.name()).collect();
        let row = cell(ROUND_TRIP, Version::INSTALLED.to_string(), format!("raw→{}→raw", names.join("→")));
        let row = match installed.chain(&way) {
            Ok(chain) => {
                let (outcome, reason) = difference(&chain);
                let duration_ns = Some(chain.took.as_nanos() as u64);
                Cell { outcome, reason, bytes: Some(chain.written_bytes), duration_ns, ..row }
            }
            Err(error) => Cell { outcome: CellOutcome::Fails, reason: error.to_string(), ..row },
        };
        book.enter(row, stage)?;
    }
    Ok(())
}

/// What a disk that came back is like.
fn difference(chain: &runtime::vm::Chain) -> (CellOutcome, String) {
    let (before, after) = chain.bytes;
    match chain.differs_at {
        Some(at) => (CellOutcome::Differs, format!("its content differs from byte {at} on")),
        None if before == after => (CellOutcome::Works, "the same bytes".into()),
        None if after > before && chain.rest_is_zero => {
            let more = after - before;
            (
                CellOutcome::Differs,
                format!("the same bytes, and {more} zeros more: the format rounds sizes up"),
            )
        }
        None => (CellOutcome::Differs, format!("{after} bytes came back of {before}")),
    }
}

/// What workers tell.
enum News {
    Cell(Box<Cell>),
    /// So many cells more than was known.
    More(u32),
}

/// What one worker does at a time.
enum Errand {
    /// The installed disk on a platform, changed until it works.
    Climb(Platform),
    /// The installed disk in a format on the first platform.
    Format(DiskFormat),
    /// The most general disk on a platform, in the first platform's format.
    General(Platform),
}

/// Boots what has to be booted, several machines at a time, and infers the rest.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn matrix(
    plan: &Plan,
    accel: Accel,
    boot: &dyn Boot,
    disks: &mut dyn Disks,
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let mut platforms = Vec::new();
    for hardware in plan.profiles() {
        let wanted = |firmware: &&FirmwareKind| plan.firmwares.iter().any(|name| name == firmware.name());
        let firmwares = hardware.firmwares.iter().filter(wanted).map(|firmware| Some(*firmware));
        let none = hardware.firmwares.is_empty().then_some(None);
        platforms.extend(firmwares.chain(none).map(|firmware| Platform { hardware, firmware }));
    }
    let mut possible = Vec::new();
    for platform in platforms {
        let lacks = || platform.firmware.and_then(|firmware| boot.lacks(firmware));
        let Some(reason) = platform.impossible(accel).map(str::to_owned).or_else(lacks) else {
            possible.push(platform);
            continue;
        };
        for format in plan.disk_formats() {
            let artifact = name(Version::INSTALLED, format);
            let reason = reason.clone();
            book.enter(Cell { reason, ..cell(VM, artifact, platform.name()) }, stage)?;
        }
    }
    let Some(first) = possible.first().copied() else { return Ok(()) };
    let mut errands: VecDeque<Errand> = possible.iter().map(|platform| Errand::Climb(*platform)).collect();
    let others = plan.disk_formats().into_iter().filter(|format| *format != first.hardware.format);
    errands.extend(others.map(Errand::Format));
    if plan.general {
        errands.extend(possible.iter().map(|platform| Errand::General(*platform)));
    }
    book.of = book.done + errands.len() as u32;
    let workers = match plan.parallel {
        0 => crate::cores().clamp(1, 4),
        parallel => parallel,
    };
    let field = Field {
        boot,
        other_kernel: disks.other_kernel(),
        disks: Mutex::new(disks),
        number: AtomicU32::new(0),
        first,
        errands: Mutex::new(errands),
    };
    let mut booted: Vec<Cell> = Vec::new();
    let (news, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (field, news) = (&field, news.clone());
            scope.spawn(move || field.work(&news));
        }
        drop(news);
        for told in heard {
            match told {
                News::More(more) => book.of += more,
                News::Cell(row) => {
                    booted.push((*row).clone());
                    if let Err(error) = book.enter(*row, stage) {
                        // Nobody listens any more: the workers end.
                        field.errands.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    })?;
    if stage.stop.requested() {
        return Ok(());
    }
    for row in inferred(&booted, &possible, first, &plan.disk_formats()) {
        book.enter(row, stage)?;
    }
    Ok(())
}

/// What workers share.
struct Field<'a> {
    boot: &'a dyn Boot,
    disks: Mutex<&'a mut dyn Disks>,
    other_kernel: Option<String>,
    number: AtomicU32,
    first: Platform,
    errands: Mutex<VecDeque<Errand>>,
}

impl Field<'_> {
    fn work(&self, news: &Sender<News>) {
        loop {
            let errand = self.errands.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let done = match errand {
                None => return,
                Some(Errand::Climb(platform)) => self.climb(platform, news),
                Some(Errand::Format(format)) => {
                    self.try_it(Version::INSTALLED, format, self.first, news).map(drop)
                }
                Some(Errand::General(platform)) => {
                    self.try_it(Version::GENERAL, self.first.hardware.format, platform, news).map(drop)
                }
            };
            if done.is_none() {
                return;
            }
        }
    }

    /// `None`: the user wants to stop, or nobody listens.
    fn climb(&self, platform: Platform, news: &Sender<News>) -> Option<()> {
        let format = platform.hardware.format;
        if platform.firmware.is_none() {
            let row = cell(VM, name(Version::INSTALLED, format), platform.name());
            let reason = "no firmware: nothing there reads a boot loader from a disk".to_owned();
            let row = Cell { outcome: CellOutcome::Fails, reason, ..row };
            news.send(News::More(1)).and_then(|()| news.send(News::Cell(Box::new(row)))).ok()?;
        }
        let mut version = Version::INSTALLED;
        loop {
            let Err(reason) = self.try_it(version, format, platform, news)? else { return Some(()) };
            let Some(next) = ladder::next(version, &reason) else { return Some(()) };
            if next.all_drivers && !version.all_drivers && self.other_kernel.is_none() {
                return Some(());
            }
            version = next;
            news.send(News::More(1)).ok()?;
        }
    }

    fn try_it(
        &self,
        version: Version,
        format: DiskFormat,
        platform: Platform,
        news: &Sender<News>,
    ) -> Option<Result<u64, reason::Reason>> {
        let row = cell(VM, name(version, format), platform.name());
        let mut changes = ladder::changes(version);
        if format != self.first.hardware.format {
            changes.push(format!("converted to {}", format.name()));
        }
        let (made, outside) = {
            let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
            (disks.disk(version, format), disks.outside(version).filter(|_| platform.firmware.is_none()))
        };
        if platform.firmware.is_none() {
            changes.push("kernel and initramfs taken out of it and handed over by the host".into());
        }
        let row = Cell { changes: changes.join("; "), ..row };
        let disk = match made {
            Ok(disk) => disk,
            Err(reason) => {
                news.send(News::Cell(Box::new(Cell {
                    outcome: CellOutcome::Fails,
                    reason: reason.clone(),
                    ..row
                })))
                .ok()?;
                return Some(Err(reason::Reason::Other(reason)));
            }
        };
        let row = Cell { bytes: Some(disk.bytes), ..row };
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let Platform { hardware, firmware } = platform;
        let found = self.boot.boot(&Try { number, disk, hardware, firmware, outside })?;
        let row = match &found {
            Ok(duration_ns) => Cell { outcome: CellOutcome::Works, duration_ns: Some(*duration_ns), ..row },
            Err(reason) => Cell { outcome: CellOutcome::Fails, reason: reason.to_string(), ..row },
        };
        news.send(News::Cell(Box::new(row))).ok()?;
        Some(found)
    }
}

/// Name of a disk file.
fn name(version: Version, format: DiskFormat) -> String {
    format!("{version}.{}", format.name())
}

/// The content that works on a platform, in the formats it was not tried in there: works where the
/// format was booted on the first platform.
fn inferred(booted: &[Cell], platforms: &[Platform], first: Platform, formats: &[DiskFormat]) -> Vec<Cell> {
    let works = |cell: &&Cell| cell.outcome == CellOutcome::Works;
    let mut rows = Vec::new();
    for platform in platforms {
        let here = || booted.iter().filter(|cell| cell.platform == platform.name());
        let Some(proof) = here().find(works) else { continue };
        let content = proof.artifact.split('.').next().unwrap_or_default();
        for format in formats {
            let artifact = format!("{content}.{}", format.name());
            if here().any(|cell| cell.artifact == artifact) {
                continue;
            }
            let installed = name(Version::INSTALLED, *format);
            let read = booted
                .iter()
                .filter(works)
                .find(|cell| cell.platform == first.name() && cell.artifact == installed);
            let Some(read) = read else { continue };
            rows.push(Cell {
                outcome: CellOutcome::Inferred,
                reason: format!(
                    "not booted: {} works on {}, and {} there",
                    read.artifact, read.platform, proof.artifact
                ),
                changes: proof.changes.clone(),
                ..cell(VM, artifact, platform.name())
            });
        }
    }
    rows
}
