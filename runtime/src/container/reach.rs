//! How one container is reached from outside.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use guest::Plan;

use crate::network::{Bridge, Kind, Port};
use crate::{Error, Workload};

/// A container's way to the outside.
pub(super) enum Reach {
    /// It serves nothing, or has no network.
    None,
    /// A socket of the host's loopback, listening already, which the container inherits.
    Listener(TcpListener, SocketAddr),
    /// An interface of its own at the run's bridge.
    Port(Port),
}

impl Reach {
    /// Of a container that carries out `plan`, which is told what it has.
    pub(super) fn new(kind: Kind, bridge: Option<&Arc<Bridge>>, plan: &mut Plan) -> Result<Reach, Error> {
        if let Some(bridge) = bridge {
            let port = bridge.port()?;
            plan.address = Some(port.address_with_prefix());
            return Ok(Reach::Port(port));
        }
        let serves = matches!(plan.workload, Workload::Http | Workload::Service { .. });
        if kind == Kind::None && serves {
            return Err(Error::Invalid("this workload is reached over a network, and there is none".into()));
        }
        if plan.workload != Workload::Http {
            return Ok(Reach::None);
        }
        let refused = || Error::system("listen on the host's loopback for a container");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(refused())?;
        let address = listener.local_addr().map_err(refused())?;
        plan.inherited_listener = true;
        Ok(Reach::Listener(listener, address))
    }

    /// What the program inherits behind its channel.
    pub(super) fn inherited(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Reach::Listener(listener, _) => Some(listener.as_fd()),
            Reach::None | Reach::Port(_) => None,
        }
    }

    /// Its interface at the run's bridge.
    pub(super) fn port(&self) -> Option<&Port> {
        match self {
            Reach::Port(port) => Some(port),
            Reach::None | Reach::Listener(..) => None,
        }
    }

    /// What is needed once the container runs: the host's own end of an inherited socket is not.
    pub(super) fn into_service(self) -> Service {
        match self {
            Reach::None => Service::None,
            Reach::Listener(_, address) => Service::At(address),
            Reach::Port(port) => Service::Port(port),
        }
    }
}

/// Where a running container is reached.
pub(super) enum Service {
    /// At the loopback of its own network namespace.
    None,
    /// At the host's, whatever its own port is.
    At(SocketAddr),
    /// Held until the container is gone: its address is nobody else's so long.
    Port(Port),
}

impl Service {
    pub(super) fn address(&self, guest_port: u16) -> Option<SocketAddr> {
        match self {
            Service::None => Some((Ipv4Addr::LOCALHOST, guest_port).into()),
            Service::At(address) => Some(*address),
            Service::Port(port) => Some((port.address(), guest_port).into()),
        }
    }
}
