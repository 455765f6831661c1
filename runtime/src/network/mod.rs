//! How instances are reached: not at all, over the host's loopback, or over a bridge of the run's
//! own on which host, containers and virtual machines meet.
//!
//! Addresses come from a private block that the host has no route to; the host's own addresses,
//! routes, forwarding and filter rules are left as they are. Everything is made by netlink
//! messages, none of it by other programs.

mod bridge;
mod link;
mod message;
mod name;
mod port;
mod range;
mod socket;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, Mutex, PoisonError};

pub use bridge::Bridge;
pub use port::Port;

pub(crate) use bridge::{remove, runs};
pub(crate) use range::PREFIX;

use crate::Error;

/// What network instances have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not even a loopback.
    None,
    /// A loopback of their own; services are reached through a socket of the host's loopback.
    #[default]
    Loopback,
    /// A cable or tap to the run's bridge and an address of their own.
    Bridge,
}

impl Kind {
    /// The names a user may write.
    pub const NAMES: [&'static str; 3] = ["none", "loopback", "bridge"];

    /// Reads one of [`Kind::NAMES`].
    pub fn from_name(name: &str) -> Option<Kind> {
        [Kind::None, Kind::Loopback, Kind::Bridge].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::Loopback => "loopback",
            Kind::Bridge => "bridge",
        }
    }
}

/// The network of one run. Its bridge is made when it is first needed, and removed with this value.
#[derive(Debug, Default)]
pub struct Network {
    kind: Kind,
    run_id: String,
    bridge: Mutex<Option<Arc<Bridge>>>,
}

impl Network {
    /// Of this kind, for the run `run_id`.
    pub fn new(kind: Kind, run_id: &str) -> Network {
        Network { kind, run_id: run_id.to_owned(), bridge: Mutex::default() }
    }

    /// What was asked for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Refuses what `backend` does not have: its instances are reached over the host's loopback only.
    ///
    /// # Errors
    /// Where something else was asked for.
    pub(crate) fn require_loopback(&self, backend: &str) -> Result<(), Error> {
        if self.kind == Kind::Loopback {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "{backend} has no network of the kind {} here: ask for loopback, or leave {backend} out",
            self.kind.name()
        )))
    }

    /// The bridge, where that is the kind.
    ///
    /// # Errors
    /// Where it is and cannot be made.
    pub fn bridge(&self) -> Result<Option<Arc<Bridge>>, Error> {
        if self.kind != Kind::Bridge {
            return Ok(None);
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Missing {
                what: "a bridge needs root".into(),
                fix: Some("run it with sudo, or with --network loopback".into()),
            });
        }
        let mut bridge = self.bridge.lock().unwrap_or_else(PoisonError::into_inner);
        if bridge.is_none() {
            *bridge = Some(Bridge::create(&self.run_id)?);
        }
        Ok(bridge.clone())
    }
}
