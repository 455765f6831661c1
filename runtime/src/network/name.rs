//! Names of a run's interfaces: at most 15 bytes, with the run in each of them.

use sha2::{Digest, Sha256};

/// What all interface names of a run end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

/// Bytes of a tag at most.
const TAG: usize = 8;

impl Tag {
    /// The run's identifier where it is short enough, else a digest of it.
    pub(super) fn of(run_id: &str) -> Tag {
        if run_id.len() <= TAG {
            return Tag(run_id.to_owned());
        }
        let digest = Sha256::digest(run_id);
        Tag(digest.iter().take(TAG / 2).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The bridge with the host's address.
    pub(super) fn bridge(&self) -> String {
        format!("bench-{}", self.0)
    }

    /// One of several of a kind: `b` further bridge, `u` and `d` ends of the cable between it and
    /// the first, `v` the host's end of a container's cable, `t` a machine's tap.
    pub(super) fn numbered(&self, kind: char, number: u16) -> String {
        format!("{kind}{}-{}", base36(number), self.0)
    }

    /// Whether an interface is this run's.
    pub(super) fn is_in(&self, name: &str) -> bool {
        let Some(front) = name.strip_suffix(&self.0).and_then(|front| front.strip_suffix('-')) else {
            return false;
        };
        let is_number = |digits: &str| {
            !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        front == "bench" || front.strip_prefix(['b', 'u', 'd', 'v', 't']).is_some_and(is_number)
    }

    /// A number of the run's own, for hardware addresses and where to begin to look.
    pub(super) fn number(&self) -> u32 {
        let digest = Sha256::digest(&self.0);
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

/// A further name of a run's bridge, by which a run is found that has nothing else left.
pub(super) fn of_run(run_id: &str) -> String {
    format!("bench-run-{run_id}")
}

/// The run that [`of_run`] names.
pub(super) fn run_in(name: &str) -> Option<&str> {
    name.strip_prefix("bench-run-")
}

/// A further name of a run's bridge by which it holds its addresses: no two interfaces of a host
/// can have the same one.
pub(super) fn of_range(range: super::range::Range) -> String {
    format!("bench-net-{}", range.first)
}

fn base36(mut number: u16) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(number % 36)] as char);
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_known_again() {
        for run in ["1a2b3c4d", "a-very-long-run-name", "x"] {
            let tag = Tag::of(run);
            for name in [tag.bridge(), tag.numbered('v', 65_535), tag.numbered('b', 0)] {
                assert!(name.len() <= 15, "{name}");
                assert!(tag.is_in(&name), "{name}");
                assert!(!Tag::of("other").is_in(&name), "{name}");
            }
        }
        assert_eq!(Tag::of("1a2b3c4d").numbered('v', 65_535), "v1ekf-1a2b3c4d");
        for name in ["eth0", "vethab-1a2b3c4d0", "v-1a2b3c4d", "docker-1a2b3c4d", "-1a2b3c4d"] {
            assert!(!Tag::of("1a2b3c4d").is_in(name), "{name}");
        }
        assert_eq!(run_in(&of_run("a-b")), Some("a-b"));
    }
}
