//! A storm whose instances live on: looking at them, and ending them one by one.

use std::net::SocketAddr;

use results::record::Outcome;
use runtime::Instance;
use runtime::clock::now_ns;

use super::attempt::Progressing;
use super::ledger::Ledger;
use super::making::Storm;
use super::order::Field;
use super::slot::{Slot, Stage};

impl Storm {
    /// Takes in what happens until `at_ns`, or until nobody is left of whom `is_awaited` holds and who
    /// still lives.
    pub(crate) async fn attend(
        &mut self,
        at_ns: u64,
        is_awaited: impl Fn(&Progressing) -> bool,
        field: &mut Field<'_>,
        ledger: &mut Ledger<'_>,
    ) {
        self.look_ns = at_ns;
        let stop = field.stop.clone();
        let is_under_way = |slot: &Slot| {
            let lives = slot.stage == Stage::Running && !slot.attempt.exited();
            lives && now_ns() < at_ns && !stop.requested() && is_awaited(&slot.attempt)
        };
        self.follow(is_under_way, field, ledger).await;
        self.look_ns = u64::MAX;
    }

    /// What is known of its attempts.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Progressing> {
        self.slots.iter().map(|slot| &slot.attempt)
    }

    /// The instances that live, to be paused and resumed.
    pub(crate) fn instances_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Instance>> {
        self.slots.iter_mut().filter_map(|slot| slot.instance.as_mut())
    }

    /// The instances that live.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &dyn Instance> {
        self.slots.iter().filter_map(|slot| slot.instance.as_deref())
    }

    /// Where the services of those that live are reached.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.slots.iter().filter_map(|slot| slot.instance.as_ref()?.service(slot.port?))
    }

    /// What became of its attempts, as far as that is known.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.slots.iter().filter_map(|slot| slot.attempt.outcome().map(|(outcome, _)| outcome))
    }

    /// Ends the instance called by `number` and writes its row; the others live on.
    pub(crate) async fn dismiss_one(&mut self, number: u32, field: &mut Field<'_>, ledger: &mut Ledger<'_>) {
        let Some(index) = self.order.slot(number) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.leaves = true;
        self.follow(|slot| slot.leaves && slot.stage != Stage::Closed, field, ledger).await;
    }
}
