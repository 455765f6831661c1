//! Which addresses a run may take without being in anybody's way.

use std::io;
use std::net::Ipv4Addr;

use super::message::{Request, attributes};
use super::socket::Socket;

/// Bits of a run's own prefix: room for 65,533 instances.
pub(crate) const PREFIX: u8 = 16;

/// A block of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: Ipv4Addr,
    pub(super) prefix: u8,
}

impl Range {
    fn new(first: [u8; 4], prefix: u8) -> Range {
        Range { first: first.into(), prefix }
    }

    /// The `number`th address, 0 being the network's own.
    pub(super) fn address(self, number: u16) -> Ipv4Addr {
        (u32::from(self.first) + u32::from(number)).into()
    }

    fn overlaps(self, other: Range) -> bool {
        let shorter = self.prefix.min(other.prefix);
        let kept = u32::MAX.checked_shl(32 - u32::from(shorter)).unwrap_or(0);
        u32::from(self.first) & kept == u32::from(other.first) & kept
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Private blocks (RFC 1918, then the shared one of RFC 6598) in an order that begins elsewhere for
/// each seed, so that runs seldom try the same.
pub(super) fn candidates(seed: u32) -> impl Iterator<Item = Range> {
    let tens = (0..=255u8).map(move |at| Range::new([10, at.wrapping_add(seed as u8), 0, 0], PREFIX));
    let others = (16..32u8).map(|at| Range::new([172, at, 0, 0], PREFIX));
    let shared = (64..128u8).map(|at| Range::new([100, at, 0, 0], PREFIX));
    tens.chain(others).chain(shared)
}

/// What this host has routes to or addresses in, the default route left out.
pub(super) fn taken(socket: &Socket) -> io::Result<Vec<Range>> {
    let mut request = Request::default();
    let mut fixed = [0; 12];
    fixed[0] = libc::AF_INET as u8;
    request.message(libc::RTM_GETROUTE, (libc::NLM_F_ROOT | libc::NLM_F_MATCH) as u16, &fixed);
    let mut found = Vec::new();
    socket.dump(&request, |body| {
        let Some(prefix) = body.get(1).copied().filter(|prefix| *prefix > 0) else { return };
        let destination =
            attributes(body.get(12..).unwrap_or_default()).find(|(kind, _)| *kind == libc::RTA_DST);
        if let Some(first) = destination.and_then(|(_, value)| <[u8; 4]>::try_from(value).ok()) {
            found.push(Range::new(first, prefix));
        }
    })?;
    Ok(found)
}

/// Whether the range is nobody's.
pub(super) fn is_free(range: Range, taken: &[Range]) -> bool {
    !taken.iter().any(|other| range.overlaps(*other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_within_or_around_another_is_taken() {
        let range = Range::new([10, 7, 0, 0], 16);
        for (first, prefix) in [([10, 7, 3, 0], 24), ([10, 0, 0, 0], 8), ([10, 7, 255, 255], 32)] {
            assert!(!is_free(range, &[Range::new(first, prefix)]), "{first:?}");
        }
        for (first, prefix) in [([10, 8, 0, 0], 16), ([192, 168, 0, 0], 16), ([10, 6, 255, 255], 32)] {
            assert!(is_free(range, &[Range::new(first, prefix)]), "{first:?}");
        }
    }

    #[test]
    fn a_host_with_routes_to_all_of_ten_gets_another_block() {
        let tens = [Range::new([10, 0, 0, 0], 8)];
        let found = candidates(9).find(|range| is_free(*range, &tens)).expect("one is free");
        assert_eq!(found.to_string(), "172.16.0.0/16");
        assert_eq!(candidates(9).next().map(|range| range.to_string()), Some("10.9.0.0/16".into()));
        assert_eq!(candidates(0).count(), 256 + 16 + 64);
    }
}
