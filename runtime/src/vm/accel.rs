//! Which accelerator works, proven and not assumed.
//!
//! That /dev/kvm opens and even runs a small payload proves nothing: inside some virtual machines
//! it interprets kernel code at a few million instructions a second and stops at those it does not
//! know, and Linux never comes up. The proof asked for here is a payload (`floor/payload/proof.s`)
//! that does what Linux cannot do without: paging and long mode, a 16-byte atomic exchange, int3
//! and iretq, sysret and syscall, and forty million instructions in kernel mode, within a deadline
//! that hardware meets many times over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::unbounded_channel;

use super::instance::{self, Firmware, Launch};
use super::options::{Accel, Machine, Options};
use super::{floor, qemu, user};
use crate::event::{Event, EventSink};
use crate::watch::Watch;
use crate::{Error, Exit, Instance, InstanceName, Requirement};

/// Hardware takes about a tenth of a second, most of it QEMU's own start; an interpreter half a minute.
const DEADLINE: Duration = Duration::from_millis(1500);

/// The accelerator, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// [`Accel::Kvm`] or [`Accel::Tcg`].
    pub accel: Accel,
    /// For the report: how it was chosen.
    pub how: String,
}

/// Settles `auto`. The verdict of a proof is kept for this boot of the host, QEMU, machine and payload.
///
/// # Errors
/// Where QEMU is missing or broken, or KVM was asked for by name and cannot be opened.
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
            let program = qemu::required(options.qemu.as_deref())?;
            let path = verdict_path(&program, options.machine, cache_dir)?;
            if let Some(kept) = read_verdict(&path) {
                return Ok(kept);
            }
            let choice = match prove(&program, Accel::Kvm, options.machine)? {
                Ok(took) => Choice {
                    accel: Accel::Kvm,
                    how: format!("auto: KVM passed the proof in {} ms", took.as_millis()),
                },
                Err(why) => {
                    Choice { accel: Accel::Tcg, how: format!("auto: KVM opens but is not usable: {why}") }
                }
            };
            super::store(&path, format!("{}\n{}\n", choice.accel.name(), choice.how).as_bytes())?;
            Ok(choice)
        }
    }
}

/// The accelerator as something a backend needs: what it is and why. None where QEMU, which another
/// requirement asks for, is missing.
pub(super) fn requirement(options: &Options, cache_dir: &Path) -> Option<Requirement> {
    qemu::required(options.qemu.as_deref()).ok()?;
    let choice = accelerator(options, cache_dir);
    Some(Requirement {
        what: "accelerator".into(),
        fix: match &choice {
            Err(Error::Missing { fix, .. }) => fix.clone(),
            _ => None,
        },
        state: match choice {
            Ok(choice) => Ok(format!("{}, {}", choice.accel.name(), choice.how)),
            Err(Error::Missing { what, .. }) => Err(what),
            Err(error) => Err(error.to_string()),
        },
    })
}

fn verdict_path(program: &Path, machine: Machine, cache_dir: &Path) -> Result<PathBuf, Error> {
    let boot = "/proc/sys/kernel/random/boot_id";
    let boot_id = std::fs::read_to_string(boot).map_err(Error::system(format!("read {boot}")))?;
    let version = qemu::version(program).unwrap_or_default();
    let mut digest = Sha256::new();
    digest.update(format!("{boot_id}\n{}\n{version}\n{}\n", program.display(), machine.name()));
    digest.update(floor::payload_bytes());
    Ok(cache_dir.join("kvm").join(format!("{:x}", digest.finalize())))
}

fn read_verdict(path: &Path) -> Option<Choice> {
    let text = std::fs::read_to_string(path).ok()?;
    let (accel, how) = text.trim_end().split_once('\n')?;
    let accel = Accel::from_name(accel).filter(|accel| *accel != Accel::Auto)?;
    Some(Choice { accel, how: how.to_owned() })
}

/// Whether `accel` does what Linux needs, with the processor guests get and, to tell more where
/// that fails, with the plainest. `Ok(how long it took)`, or why not.
///
/// # Errors
/// Where the proof itself cannot be made.
pub(super) fn prove(
    program: &Path,
    accel: Accel,
    machine: Machine,
) -> Result<Result<Duration, String>, Error> {
    let guests_cpu = super::recipe::default_cpu(accel);
    let why = match prove_with(program, accel, machine, guests_cpu)? {
        Ok(took) => return Ok(Ok(took)),
        Err(why) => why,
    };
    let plain = match prove_with(program, accel, machine, floor::CPU)? {
        Ok(_) => "passes".into(),
        Err(why) => why,
    };
    Ok(Err(format!("-cpu {guests_cpu}: {why}; -cpu {}: {plain}", floor::CPU)))
}

fn prove_with(
    program: &Path,
    accel: Accel,
    machine: Machine,
    cpu: &str,
) -> Result<Result<Duration, String>, Error> {
    let watch = Watch::start().map_err(Error::system("start the stamper"))?;
    let (sender, mut received) = unbounded_channel();
    let name = InstanceName { storm: 0, index: 0 };
    let events = EventSink::new(name.clone(), sender);
    let launch = Launch {
        program,
        arguments: &floor::proof_arguments(accel, machine, cpu),
        files: &[floor::payload()?],
        user: user::unprivileged(accel, "proof", &name),
        cgroup: None,
        service: None,
        firmware: Firmware::Silent("kernel"),
    };
    let began_ns = crate::clock::now_ns();
    let mut vm = instance::start(launch, &watch, &events, |_| Ok(()))?;
    let deadline_ns = began_ns + DEADLINE.as_nanos() as u64;
    let (mut step, mut words, mut ready) = (None, None, false);
    let verdict = loop {
        match received.try_recv().map(|stamped| (stamped.at_ns, stamped.event)) {
            Ok((_, Event::Ready)) => ready = true,
            Ok((_, Event::Log(text))) => match text.strip_prefix("proof: ") {
                Some(said) => step = Some(said.to_owned()),
                None => words = words.or(telling(&text)),
            },
            Ok((at_ns, Event::Exited(Exit::Code(floor::EXIT_STATUS)))) if ready => {
                break Ok(Duration::from_nanos(at_ns.saturating_sub(began_ns)));
            }
            Ok((_, Event::Exited(exit))) => break Err(format!("QEMU ended with {exit}")),
            Ok((_, Event::Failed(why))) => break Err(why),
            Ok(_) => {}
            Err(_) if crate::clock::now_ns() > deadline_ns => {
                break Err(format!("not done within {} ms", DEADLINE.as_millis()));
            }
            // Not a measurement: nobody is waiting for this to the millisecond.
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    vm.stop()?;
    let details =
        [step.map(|step| format!("last tried {step}")), words.map(|words| format!("it said {words:?}"))];
    Ok(verdict
        .map_err(|why| [why].into_iter().chain(details.into_iter().flatten()).collect::<Vec<_>>().join(", ")))
}

/// A line of QEMU that may tell why it does not go on: neither a warning nor the course of things.
fn telling(line: &str) -> Option<String> {
    let line = line.strip_prefix("QEMU: ")?;
    (!line.contains("warning:") && !line.starts_with("event ")).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_accelerator_passes_the_proof() {
        let Some(program) = qemu::find() else {
            eprintln!("skipped: no QEMU on this host");
            return;
        };
        for machine in [Machine::Microvm, Machine::Pc] {
            let proven = prove(&program, Accel::Tcg, machine).expect("tried");
            assert!(proven.is_ok(), "{}: {proven:?}", machine.name());
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_qemu_said() {
        let Some(program) = qemu::find() else {
            eprintln!("skipped: no QEMU on this host");
            return;
        };
        // A processor without long mode stands for an accelerator that lacks what Linux needs.
        let why = prove_with(&program, Accel::Tcg, Machine::Microvm, "qemu32").expect("tried");
        assert!(why.is_err(), "{why:?}");
        let why = prove_with(&program, Accel::Tcg, Machine::Microvm, "no-such-cpu").expect("tried");
        assert!(why.as_ref().is_err_and(|why| why.contains("no-such-cpu")), "{why:?}");
    }

    #[test]
    fn the_verdict_is_kept() {
        let folder = tempfile::tempdir().expect("folder");
        if qemu::find().is_none() {
            eprintln!("skipped: no QEMU on this host");
            return;
        }
        let first = accelerator(&Options::default(), folder.path()).expect("settled");
        assert_ne!(first.accel, Accel::Auto);
        assert!(first.how.starts_with("auto: "), "{}", first.how);
        if !Path::new("/dev/kvm").exists() {
            return;
        }
        let verdict = std::fs::read_dir(folder.path().join("kvm")).expect("kept").next();
        let verdict = verdict.expect("one").expect("readable").path();
        std::fs::write(&verdict, "tcg\nas it was kept\n").expect("written");
        let again = accelerator(&Options::default(), folder.path()).expect("settled");
        assert_eq!(again.how, "as it was kept");
        std::fs::write(&verdict, "auto\nnonsense\n").expect("written");
        assert_eq!(accelerator(&Options::default(), folder.path()).expect("settled").accel, first.accel);
    }
}
