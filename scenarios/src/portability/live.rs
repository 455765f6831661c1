//! A running machine, saved and continued elsewhere: a memory image is bound to accelerator, machine and
//! processor, and must be turned away by all others.

use results::record::{Cell, CellOutcome};
use runtime::image::Image;
use runtime::vm::{Accel, Machine, Options, RestoreBackend};

use super::plan::Plan;
use super::run::{Book, cell};
use crate::{Error, Stage};

/// Kind of these rows.
const LIVE: &str = "live";
/// A processor every x86-64 host can stand in for.
const OTHER_CPU: &str = "qemu64";

/// Offers a saved machine to others.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn carry(plan: &Plan, stage: &mut Stage<'_>, book: &mut Book) -> Result<(), Error> {
    let options = plan.launch.vm_options()?;
    let own = Options { machine: Machine::Microvm, ..options };
    let other_accel = match runtime::vm::accelerator(&own, &stage.context.cache_dir) {
        Ok(choice) if choice.accel == Accel::Kvm => Accel::Tcg,
        _ => Accel::Kvm,
    };
    let places: [(String, Options, Option<&str>); 4] = [
        ("the same machine".into(), own.clone(), None),
        ("machine pc".into(), Options { machine: Machine::Pc, ..own.clone() }, None),
        (format!("processor {OTHER_CPU}"), own.clone(), Some(OTHER_CPU)),
        (format!("accelerator {}", other_accel.name()), Options { accel: other_accel, ..own.clone() }, None),
    ];
    for (place, to, cpu) in places {
        if stage.stop.requested() {
            break;
        }
        let row = cell(LIVE, "machine microvm, saved while it ran", place);
        let offered = RestoreBackend::new(own.clone()).offer(stage.context, &Image::builtin(), &to, cpu);
        let row = match offered {
            Ok(offer) => {
                let (outcome, reason) = judge(offer.store_offers, &offer.qemu);
                Cell { outcome, reason, ..row }
            }
            Err(error) => Cell { outcome: CellOutcome::Impossible, reason: error.to_string(), ..row },
        };
        book.enter(row, stage)?;
    }
    Ok(())
}

fn judge(store_offers: bool, qemu: &Result<(), String>) -> (CellOutcome, String) {
    match (store_offers, qemu) {
        (true, Ok(())) => (CellOutcome::Works, String::new()),
        (true, Err(said)) => (CellOutcome::Fails, format!("offered by the store, and QEMU says: {said}")),
        (false, Err(said)) => {
            (CellOutcome::Refused, format!("the store does not offer it; asked all the same, QEMU says: {said}"))
        }
        (false, Ok(())) => (
            CellOutcome::Refused,
            "the store does not offer it; QEMU alone would have gone on with a processor the guest does not expect"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_does_not_offer_is_refused_whatever_qemu_would_do() {
        assert_eq!(judge(true, &Ok(())).0, CellOutcome::Works);
        assert_eq!(judge(true, &Err("x".into())).0, CellOutcome::Fails);
        assert_eq!(judge(false, &Ok(())).0, CellOutcome::Refused);
        let (outcome, reason) = judge(false, &Err("Machine type received is 'microvm'".into()));
        assert!(outcome == CellOutcome::Refused && reason.contains("Machine type"), "{reason}");
    }
}
