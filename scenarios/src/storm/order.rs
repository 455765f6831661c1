//! What a storm is asked to do, with what, and what is known when it is over.

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{InstanceName, Limits, Prepared};

use super::attempt::Place;
use super::crew::Crew;
use crate::deadlines::Deadlines;
use crate::{Progress, Stop};

/// Looks whether a storm may go on; the reason where it may not.
pub(crate) type Guard = Box<dyn Fn() -> Option<String>>;

/// Hears where an instance serves.
pub(crate) type Served = Box<dyn Fn(u32, SocketAddr)>;

/// What a storm is made of.
pub(crate) struct Order {
    pub(crate) storm: u32,
    pub(crate) backend: String,
    pub(crate) config: String,
    /// At least one; where there are several, the instances have them in turn.
    pub(crate) prepared: Vec<Arc<dyn Prepared>>,
    /// What every instance is told.
    pub(crate) plan: guest::Plan,
    pub(crate) limits: Limits,
    /// Due instants after the storm's begin; `None` = serial.
    pub(crate) offsets_ns: Option<Vec<u64>>,
    pub(crate) instances: u32,
    /// Number of its first instance: several storms may share one number and live at the same time.
    pub(crate) first: u32,
    pub(crate) deadlines: Deadlines,
    pub(crate) stall_ns: u64,
    /// Asked while the attempts are under way: a reason to call off those that have no outcome yet.
    pub(crate) guard: Option<Guard>,
    /// Told of each instance that is there, by its number, where its service is.
    pub(crate) served: Option<Served>,
    /// Its attempts are announced to nobody and written nowhere.
    pub(crate) rehearsal: bool,
}

impl Order {
    /// Name of its instance in slot `index`.
    pub(super) fn name(&self, index: u32) -> InstanceName {
        InstanceName { storm: self.storm, index: self.first + index }
    }

    /// Slot of the instance called by `number`.
    pub(super) fn slot(&self, number: u32) -> Option<usize> {
        number.checked_sub(self.first).map(|slot| slot as usize)
    }

    /// Where the row of one of its attempts belongs.
    pub(super) fn place(&self, index: usize) -> Place {
        Place {
            storm: self.storm,
            backend: self.backend.clone(),
            instance: self.first + index as u32,
            config: self.config.clone(),
        }
    }
}

/// What a storm needs of its surroundings.
pub(crate) struct Field<'a> {
    pub(crate) crew: &'a Crew,
    pub(crate) watch: &'a runtime::watch::Watch,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a mut dyn FnMut(Progress),
}

/// What is known when it is over.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    pub(crate) ready: u32,
    pub(crate) other: u32,
    pub(crate) lasted_ns: u64,
    /// Start → target of those that got there.
    pub(crate) latencies_ns: Vec<u64>,
    pub(crate) stamping_delays_ns: Vec<u64>,
    pub(crate) warnings: Vec<String>,
}
