//! What makes a plant of this round unlike any other.

use std::path::PathBuf;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Random numbers of one check in one round.
#[derive(Clone, Debug)]
pub struct Nonce {
    number: u64,
    plots: Arc<Plots>,
}

/// Where on the host plants stand, so that `bench clean` finds what a killed run has left.
#[derive(Clone, Debug)]
pub struct Plots {
    /// A folder where every user may enter.
    pub folder: PathBuf,
    /// The run's cgroup, below the root of each hierarchy.
    pub group: String,
}

impl Nonce {
    /// A new one, from the system's entropy.
    pub fn new(plots: &Plots) -> Nonce {
        Nonce { number: StdRng::from_os_rng().random(), plots: Arc::new(plots.clone()) }
    }

    /// A file of the host, where every user may enter, called by [`Nonce::word`].
    pub fn path(&self) -> PathBuf {
        self.plots.folder.join(self.word())
    }

    /// A cgroup of the host, below the root of each hierarchy, called by it too.
    pub fn group(&self) -> String {
        format!("{}/{}", self.plots.group, self.word())
    }

    /// Twelve characters of `a-z0-9` that begin with a letter: fits a process, an interface, a host.
    pub fn word(&self) -> String {
        format!("p{:011x}", self.number & 0xfff_ffff_ffff)
    }

    /// A positive even number: a System V key, whose neighbour is free for a probe of its own.
    pub fn key(&self) -> i32 {
        ((self.number >> 8) as i32 & 0x7fff_fffe) | 0x0100_0000
    }

    /// A number within `from..to`: the amplitude of a plant in a counter.
    pub fn amplitude(&self, from: u64, to: u64) -> u64 {
        from + (self.number >> 20) % (to - from)
    }

    /// 32 digits that nobody can guess: what the answers to a plan have to repeat.
    pub fn secret() -> String {
        let mut random = StdRng::from_os_rng();
        format!("{:016x}{:016x}", random.random::<u64>(), random.random::<u64>())
    }
}
