//! Which accelerator works, proven and not assumed.
//!
//! That /dev/kvm opens and even runs a small payload proves nothing: inside some virtual machines
//! it interprets kernel code at a few million instructions a second, and Linux never comes up. The
//! proof asked for here is Linux itself: the guest kernel must reach its first process under KVM
//! within a deadline that any hardware meets many times over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guest::{Plan, Workload};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::unbounded_channel;

use super::instance::{self, Firmware, Launch};
use super::options::{Accel, Options};
use super::recipe::{self, Boot, Recipe};
use super::{command_line, initramfs, kernel, qemu};
use crate::event::{Event, EventSink};
use crate::watch::Watch;
use crate::{Error, Instance, InstanceName};

/// Hardware takes a fifth of a second (Firecracker's and QEMU's published boots); an interpreter minutes.
const DEADLINE: Duration = Duration::from_secs(5);

/// The accelerator, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// [`Accel::Kvm`] or [`Accel::Tcg`].
    pub accel: Accel,
    /// For the report: how it was chosen.
    pub how: String,
}

/// Settles `auto`. The verdict of a proof is kept for this boot of the host, QEMU and guest kernel.
///
/// # Errors
/// Where QEMU or a guest kernel is missing or broken, or KVM was asked for by name and cannot be opened.
pub fn accelerator(options: &Options, cache_dir: &Path) -> Result<Choice, Error> {
    let kvm = std::fs::File::options().read(true).write(true).open("/dev/kvm");
    match (options.accel, kvm) {
        (Accel::Tcg, _) => Ok(Choice { accel: Accel::Tcg, how: "asked for".into() }),
        (Accel::Kvm, Ok(_)) => Ok(Choice { accel: Accel::Kvm, how: "asked for, not proven".into() }),
        (Accel::Kvm, Err(error)) => Err(Error::Missing {
            what: format!("KVM was asked for, but /dev/kvm cannot be opened: {error}"),
            fix: Some("use --accel tcg, or add this user to the group kvm".into()),
        }),
        (Accel::Auto, Err(error)) => {
            Ok(Choice { accel: Accel::Tcg, how: format!("auto: /dev/kvm cannot be opened: {error}") })
        }
        (Accel::Auto, Ok(_)) => {
            let path = verdict_path(options, cache_dir)?;
            if let Some(kept) = read_verdict(&path) {
                return Ok(kept);
            }
            let choice = match prove(options, cache_dir)? {
                Ok(()) => Choice {
                    accel: Accel::Kvm,
                    how: "auto: Linux reached its first process under KVM".into(),
                },
                Err(why) => Choice { accel: Accel::Tcg, how: format!("auto: KVM opens but {why}") },
            };
            super::store(&path, format!("{}\n{}\n", choice.accel.name(), choice.how).as_bytes())?;
            Ok(choice)
        }
    }
}

fn verdict_path(options: &Options, cache_dir: &Path) -> Result<PathBuf, Error> {
    let boot = "/proc/sys/kernel/random/boot_id";
    let boot_id = std::fs::read_to_string(boot).map_err(Error::system(format!("read {boot}")))?;
    let version = qemu::find().and_then(|program| qemu::version(&program)).unwrap_or_default();
    let kernel = kernel::find(options.kernel.as_deref(), cache_dir)?;
    let key = format!("{boot_id}\n{version}\n{}\n{}", kernel.display(), options.machine.name());
    Ok(cache_dir.join("kvm").join(format!("{:x}", Sha256::digest(key))))
}

fn read_verdict(path: &Path) -> Option<Choice> {
    let text = std::fs::read_to_string(path).ok()?;
    let (accel, how) = text.trim_end().split_once('\n')?;
    let accel = match accel {
        "kvm" => Accel::Kvm,
        "tcg" => Accel::Tcg,
        _ => return None,
    };
    Some(Choice { accel, how: how.to_owned() })
}

/// Boots Linux under KVM. The inner error says how it failed.
fn prove(options: &Options, cache_dir: &Path) -> Result<Result<(), String>, Error> {
    let program = qemu::required()?;
    let kernel = kernel::load(&kernel::find(options.kernel.as_deref(), cache_dir)?, cache_dir)?;
    let archive = tempfile_of(&initramfs::build(None, None, &[])?)?;
    let plan = Plan::new(Workload::Ready).to_word();
    let arguments = recipe::arguments(&Recipe {
        machine: options.machine,
        accel: Accel::Kvm,
        memory_bytes: recipe::DEFAULT_MEMORY_BYTES,
        vcpus: 1,
        boot: Boot::Kernel {
            kernel: &kernel.file,
            initramfs: Some(&archive.0),
            command_line: &command_line::of_guest(Accel::Kvm, None, &plan),
        },
        network: None,
        further: &[],
    });
    let watch = Watch::start().map_err(Error::system("start the stamper"))?;
    let (sender, mut received) = unbounded_channel();
    let events = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    let launch = Launch {
        program: &program,
        arguments: &arguments,
        files: &[],
        user: None,
        cgroup: None,
        service: None,
        firmware: Firmware::Silent("kernel"),
    };
    let mut vm = instance::start(launch, &watch, &events, |_| Ok(()))?;
    let deadline_ns = crate::clock::now_ns() + DEADLINE.as_nanos() as u64;
    let mut last_words = String::new();
    let verdict = loop {
        match received.try_recv().map(|stamped| stamped.event) {
            Ok(Event::Ready) => break Ok(()),
            Ok(Event::Log(text)) => last_words = text,
            Ok(Event::Exited(exit)) => break Err(format!("QEMU ended with {exit}: {last_words}")),
            Ok(_) => {}
            Err(_) if crate::clock::now_ns() > deadline_ns => {
                break Err(format!("Linux did not reach its first process within {DEADLINE:?}"));
            }
            // Not a measurement: nobody is waiting for this to the millisecond.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    vm.stop()?;
    Ok(verdict)
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tempfile_of(bytes: &[u8]) -> Result<Temporary, Error> {
    let path = std::env::temp_dir().join(format!("bench-kvm-proof-{}", std::process::id()));
    super::store(&path, bytes)?;
    Ok(Temporary(path))
}
