//! In which order the backends get their storms.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

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

/// Random blocks: in each, every backend has one storm, in an order that depends on `seed` only.
pub(crate) fn blocks(backends: usize, warmup: u32, storms: u32, seed: u64) -> Vec<Turn> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut turns = Vec::new();
    for block in 0..warmup + storms {
        let mut order: Vec<usize> = (0..backends).collect();
        order.shuffle(&mut random);
        for backend in order {
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
        let turns = blocks(3, 1, 20, 7);
        assert_eq!(turns.len(), 63);
        for block in turns.chunks(3) {
            let mut backends: Vec<usize> = block.iter().map(|turn| turn.backend).collect();
            backends.sort_unstable();
            assert_eq!(backends, [0, 1, 2]);
        }
        assert_eq!(turns.iter().filter(|turn| turn.warmup).count(), 3);
        assert_eq!(turns, blocks(3, 1, 20, 7));
        assert_ne!(turns, blocks(3, 1, 20, 8));
    }
}
