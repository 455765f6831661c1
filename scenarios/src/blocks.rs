//! In which order the backends get their storms.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// How storms of the backends alternate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interleave {
    /// Random blocks: in each, every backend has one storm.
    #[default]
    Random,
    /// Blocks in pairs, the second in the reverse order of the first (ABBA for two backends): a
    /// drift of the host that is linear falls on all alike.
    Abba,
}

/// A storm to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Number within the run.
    pub(crate) storm: u32,
    /// Which repetition; the backends of one block see the same arrival times.
    pub(crate) block: u32,
    /// Index of the backend.
    pub(crate) backend: usize,
    /// Kept but not counted.
    pub(crate) warmup: bool,
}

/// Blocks: in each, every backend has one storm, in an order that depends on `seed` only.
pub(crate) fn blocks(
    backends: usize,
    warmup: u32,
    storms: u32,
    seed: u64,
    interleave: Interleave,
) -> Vec<Turn> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut turns = Vec::new();
    let mut order: Vec<usize> = (0..backends).collect();
    for block in 0..warmup + storms {
        let second_of_pair = block > warmup && (block - warmup) % 2 == 1;
        match interleave {
            Interleave::Abba if second_of_pair => order.reverse(),
            _ => order.shuffle(&mut random),
        }
        for backend in order.iter().copied() {
            turns.push(Turn { storm: turns.len() as u32, block, backend, warmup: block < warmup });
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_has_one_storm_a_block_and_the_seed_decides() {
        let turns = blocks(3, 1, 20, 7, Interleave::Random);
        assert_eq!(turns.len(), 63);
        for block in turns.chunks(3) {
            let mut backends: Vec<usize> = block.iter().map(|turn| turn.backend).collect();
            backends.sort_unstable();
            assert_eq!(backends, [0, 1, 2]);
        }
        assert_eq!(turns.iter().filter(|turn| turn.warmup).count(), 3);
        assert_eq!(turns, blocks(3, 1, 20, 7, Interleave::Random));
        assert_ne!(turns, blocks(3, 1, 20, 8, Interleave::Random));
    }

    #[test]
    fn abba_turns_every_second_block_round() {
        for seed in 0..20 {
            let turns = blocks(2, 1, 8, seed, Interleave::Abba);
            assert!(turns[..2].iter().all(|turn| turn.warmup));
            for pair in turns[2..].chunks(4) {
                let sides: Vec<usize> = pair.iter().map(|turn| turn.backend).collect();
                assert!(sides == [0, 1, 1, 0] || sides == [1, 0, 0, 1], "{sides:?}");
            }
        }
    }
}
