//! How one machine is reached from outside.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::forward::Forward;
use super::recipe::{self, Network, Way};
use crate::network::{self, Bridge, Kind, Port};
use crate::{Error, InstanceName, RunContext, Workload};

/// What the machines of a run are reached by.
pub(super) struct Access {
    pub(super) kind: Kind,
    bridge: Option<Arc<Bridge>>,
}

/// One machine's way to the outside.
pub(super) struct Reach {
    /// For its recipe.
    pub(super) network: Network,
    tap: Option<OwnedFd>,
    held: Held,
}

/// What nobody else may have until the machine is gone.
#[derive(Debug)]
pub(super) enum Held {
    /// Its place at the run's bridge. Of the tap the machine has its own descriptor.
    Place { _place: Port },
    /// The host's port that leads to it.
    Forward { _forward: Forward },
}

impl Access {
    pub(super) fn of(context: &RunContext) -> Result<Access, Error> {
        Ok(Access { kind: context.network.kind(), bridge: context.network.bridge()? })
    }

    /// For the machine `name`, where its workload serves on `guest_port` or all machines have an
    /// interface. A tap is the `file`th of the files it is started with.
    pub(super) fn reach(
        &self,
        name: &InstanceName,
        guest_port: Option<u16>,
        file: usize,
    ) -> Result<Option<Reach>, Error> {
        if let Some(bridge) = &self.bridge {
            let port = bridge.port()?;
            let (address, prefix, mac) = (port.address(), network::PREFIX, port.mac());
            // Where nothing serves, nobody asks at that port.
            let guest_port = guest_port.unwrap_or_default();
            let way = Way::Tap { file };
            let network = Network { way, guest_port, address, prefix, mac, device: None };
            return Ok(Some(Reach { network, tap: Some(port.tap()?), held: Held::Place { _place: port } }));
        }
        match (guest_port, self.kind) {
            (None, _) => Ok(None),
            (Some(_), Kind::None) => {
                Err(Error::Invalid("this workload is reached over a network, and there is none".into()))
            }
            (Some(guest_port), _) => {
                let forward = Forward::reserve()?;
                let network = Network::of(name.index, forward.host_port).leading_to(guest_port);
                Ok(Some(Reach { network, tap: None, held: Held::Forward { _forward: forward } }))
            }
        }
    }

    /// Whether a machine with this workload has an interface.
    pub(super) fn is_given(&self, workload: &Workload) -> bool {
        self.bridge.is_some() || recipe::service_port(workload).is_some()
    }

    /// A network of the kind machines get, that is nobody's: by it, templates are told apart.
    pub(super) fn example(&self) -> Network {
        let network = Network::of(0, 0);
        let way = if self.bridge.is_some() { Way::Tap { file: 0 } } else { network.way };
        Network { way, ..network }
    }

    /// For the record.
    pub(super) fn described(&self) -> &'static str {
        match self.kind {
            Kind::None => "none",
            Kind::Loopback => {
                "for http and services: virtio-net, user-mode, one port of the host's loopback forwarded"
            }
            Kind::Bridge => "virtio-net, a tap at the run's bridge, an address of its own",
        }
    }
}

impl Reach {
    /// The file its recipe names.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.tap.as_ref().map(AsFd::as_fd)
    }

    /// Where the host reaches the guest's service.
    pub(super) fn service(&self) -> SocketAddr {
        self.network.service()
    }

    /// What is to be held until the machine is gone.
    pub(super) fn into_held(self) -> Held {
        self.held
    }
}
