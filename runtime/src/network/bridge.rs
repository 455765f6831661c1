//! A run's bridge, on which host and instances meet.
//!
//! A bridge has at most 1,023 ports (BR_MAX_PORTS, net/bridge/br_private.h). A run that needs more
//! gets further bridges, each hanging off the first by a cable: still one network, in which nothing
//! is routed and the host's forwarding plays no part.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::link::{End, Mac, index_of, list};
use super::message::Request;
use super::name::{self, Tag};
use super::port::Port;
use super::range::{self, PREFIX, Range};
use super::socket::{Socket, errno};
use crate::Error;

/// Instances at one bridge; the rest of its ports is for cables to further ones.
const PORTS: usize = 1_000;
/// Bridges at most, the first included.
const BRIDGES: usize = 24;
/// Number of the host's own address within the range.
const HOST: u16 = 1;
/// Sides of hardware addresses.
const NEAR: u8 = 1;
const FAR: u8 = 2;

/// A bridge of this host with addresses of its own. Dropping it removes it with all its ports.
#[derive(Debug)]
pub struct Bridge {
    pub(super) socket: Socket,
    tag: Tag,
    pub(super) range: Range,
    state: Mutex<State>,
    /// Instances at one bridge.
    ports: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Each bridge's interface and how many instances are at it.
    bridges: Vec<(u32, usize)>,
    next: u16,
    /// Numbers given back. The kernel takes a dead instance's interface away some time later, so the
    /// one that was given back first is the first to be given again, and only when all were used.
    free: VecDeque<u16>,
}

impl Bridge {
    /// Makes the bridge of the run `run_id` in the namespace of the calling thread.
    ///
    /// # Errors
    /// Where this program may not, the run has one already, or the host has routes to all private
    /// addresses. Nothing is left then.
    pub fn create(run_id: &str) -> Result<Arc<Bridge>, Error> {
        Bridge::create_with(run_id, PORTS)
    }

    pub(super) fn create_with(run_id: &str, ports: usize) -> Result<Arc<Bridge>, Error> {
        let tag = Tag::of(run_id);
        let named = tag.bridge();
        let refused = |what: &'static str| Error::system(format!("{what} the bridge {named}"));
        let socket = Socket::open().map_err(Error::system("open a netlink socket"))?;
        let mut request = Request::default();
        request.bridge(&named, mac(&tag, 0, HOST));
        socket.execute(&request).map_err(refused("make"))?;
        let index = index_of(&named).map_err(refused("find"))?;
        // From here on it is owned: an error below drops and thereby removes it.
        let state = State { bridges: vec![(index, 0)], next: HOST + 1, free: VecDeque::new() };
        let range = Range { first: Ipv4Addr::UNSPECIFIED, prefix: PREFIX };
        let mut bridge = Bridge { socket, tag, range, state: state.into(), ports };
        let mut request = Request::default();
        request.further_names(index, &[&name::of_run(run_id)]);
        bridge.socket.execute(&request).map_err(refused("name"))?;
        bridge.range = bridge.claim(index)?;
        let mut request = Request::default();
        request.quiet(index);
        request.answer_for_own_addresses(index);
        request.address(index, bridge.range.address(HOST), PREFIX);
        request.up(index);
        bridge.socket.execute(&request).map_err(refused("bring up"))?;
        Ok(Arc::new(bridge))
    }

    /// Takes a range that is neither routed by the host nor held by another run.
    fn claim(&self, index: u32) -> Result<Range, Error> {
        let taken = || range::taken(&self.socket).map_err(Error::system("read the host's routes"));
        let taken_before = taken()?;
        let candidates = range::candidates(self.tag.number());
        for candidate in candidates.filter(|candidate| range::is_free(*candidate, &taken_before)) {
            let mut request = Request::default();
            request.further_names(index, &[&name::of_range(candidate)]);
            match self.socket.execute(&request) {
                // Nobody of ours can take it from here on; somebody else may have before.
                Ok(()) if range::is_free(candidate, &taken()?) => return Ok(candidate),
                Ok(()) => {}
                // Another run's; of two at once the kernel takes one.
                Err(error) if errno(&error) == Some(libc::EEXIST) => {}
                Err(error) => return Err(Error::system(format!("hold the addresses {candidate}"))(error)),
            }
        }
        Err(Error::Missing {
            what: "this host has routes to every block of private addresses, so a bridge would be in somebody's way"
                .into(),
            fix: Some("--network loopback".into()),
        })
    }

    /// A place for one instance.
    ///
    /// # Errors
    /// Where all places or addresses are in use, or a further bridge is refused.
    pub fn port(self: &Arc<Bridge>) -> Result<Port, Error> {
        let mut state = self.state();
        let free = state.bridges.iter().position(|(_, used)| *used < self.ports);
        let at = match free {
            Some(at) => at,
            None => self.extend(&mut state)?,
        };
        let number = if state.next < u16::MAX {
            state.next += 1;
            state.next - 1
        } else {
            state
                .free
                .pop_front()
                .ok_or_else(|| Error::Invalid(format!("all addresses of {} are in use", self.range)))?
        };
        state.bridges[at].1 += 1;
        let index = state.bridges[at].0;
        drop(state);
        Ok(Port::new(self.clone(), at, index, number))
    }

    pub(super) fn give_back(&self, at: usize, number: u16) {
        let mut state = self.state();
        state.bridges[at].1 -= 1;
        state.free.push_back(number);
    }

    fn extend(&self, state: &mut State) -> Result<usize, Error> {
        let at = state.bridges.len();
        let (Some((first, _)), true) = (state.bridges.first().copied(), at < BRIDGES) else {
            return Err(Error::Invalid(format!(
                "all {} places at the run's bridges are in use",
                self.ports * BRIDGES
            )));
        };
        let number = at as u16;
        let named = self.tag.numbered('b', number);
        let refused = |error: io::Error| Error::system(format!("make the further bridge {named}"))(error);
        let mut request = Request::default();
        request.bridge(&named, mac(&self.tag, 0, u16::MAX - number));
        self.socket.execute(&request).map_err(refused)?;
        let index = index_of(&named).map_err(refused)?;
        let (up, down) = (self.tag.numbered('u', number), self.tag.numbered('d', number));
        let mut request = Request::default();
        request.quiet(index);
        request.up(index);
        let ends = [(&up, NEAR), (&down, FAR)]
            .map(|(name, side)| End { name, mac: mac(&self.tag, side, u16::MAX - number) });
        request.veth(&ends[0], first, &ends[1], None);
        self.socket.execute(&request).map_err(refused)?;
        let down = index_of(&down).map_err(refused)?;
        let mut request = Request::default();
        request.quiet(down);
        request.up_at(down, index);
        self.socket.execute(&request).map_err(refused)?;
        state.bridges.push((index, 0));
        Ok(at)
    }

    /// The host's own address, at which instances reach it.
    pub fn host_address(&self) -> Ipv4Addr {
        self.range.address(HOST)
    }

    /// What is plugged into the run's bridges: the host's ends of cables, and taps.
    ///
    /// # Errors
    /// Where the kernel refuses to tell.
    pub fn plugged(&self) -> Result<Vec<String>, Error> {
        let links = list(&self.socket).map_err(Error::system("list the bridge's ports"))?;
        let names = links.into_iter().map(|link| link.name);
        Ok(names.filter(|name| self.tag.is_in(name) && name.starts_with(['v', 't'])).collect())
    }

    pub(super) fn address(&self, number: u16) -> Ipv4Addr {
        self.range.address(number)
    }

    /// Hardware address of an instance.
    pub(super) fn far_mac(&self, number: u16) -> Mac {
        mac(&self.tag, FAR, number)
    }

    /// Hardware address of what the host has of an instance's cable.
    pub(super) fn near_mac(&self, number: u16) -> Mac {
        mac(&self.tag, NEAR, number)
    }

    pub(super) fn name(&self, kind: char, number: u16) -> String {
        self.tag.numbered(kind, number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = remove_tagged(&self.socket, &self.tag);
    }
}

/// Locally administered, the run's own, and the same for the same instance of the same run.
fn mac(tag: &Tag, side: u8, number: u16) -> Mac {
    let [one, two, _, _] = tag.number().to_be_bytes();
    let [high, low] = number.to_be_bytes();
    [0x02, one, two, side, high, low]
}

fn remove_tagged(socket: &Socket, tag: &Tag) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    // The bridges last: as long as one is there, the run is found by it.
    let mut links = list(socket)?;
    links.retain(|link| tag.is_in(&link.name));
    links.sort_by_key(|link| (link.name == tag.bridge(), link.name.starts_with('b')));
    for link in links {
        let mut request = Request::default();
        request.remove(link.index);
        match socket.execute(&request) {
            Ok(()) => removed.push(link.name),
            // Gone meanwhile: with the other end of its cable, or with its namespace.
            Err(error) if errno(&error) == Some(libc::ENODEV) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Removes what a run has left of interfaces in this namespace, and names it.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn remove(run_id: &str) -> Result<Vec<String>, Error> {
    let socket = Socket::open().map_err(Error::system("open a netlink socket"))?;
    remove_tagged(&socket, &Tag::of(run_id))
        .map_err(Error::system(format!("remove the interfaces of the run {run_id}")))
}

/// The runs that have a bridge in this namespace.
///
/// # Errors
/// Where the kernel refuses to tell.
pub(crate) fn runs() -> Result<Vec<String>, Error> {
    let links = Socket::open().and_then(|socket| list(&socket));
    let links = links.map_err(Error::system("list this host's interfaces"))?;
    let names = links.iter().flat_map(|link| &link.further_names);
    Ok(names.filter_map(|name| name::run_in(name)).map(str::to_owned).collect())
}
