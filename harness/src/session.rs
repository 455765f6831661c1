//! What one run holds on this host while it lives.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use runtime::RunContext;
use runtime::network::{Kind, Network};
use runtime::state::RunState;
use runtime::watch::Watch;

use crate::failure::Failure;

/// The run's identifier, its private folder and its stamper. Dropping it removes the folder and
/// the run's cgroups.
pub struct Session {
    /// What backends are told.
    pub context: RunContext,
    _state: RunState,
}

impl Session {
    /// Begins.
    ///
    /// # Errors
    /// Where the system refuses a folder or the stamper thread.
    pub fn begin(network: Kind) -> Result<Session, Failure> {
        let run_id = fresh_id();
        let state = RunState::create(&run_id)?;
        let cache_dir = runtime::cache_dir();
        make_private(&cache_dir)?;
        let watch = Watch::start().map_err(|error| {
            Failure::Cannot(format!("cannot start the thread that stamps events: {error}"))
        })?;
        let state_dir = state.dir().to_owned();
        let network = Arc::new(Network::new(network, &run_id));
        let context = RunContext { run_id, state_dir, cache_dir, watch: Arc::new(watch), network };
        Ok(Session { context, _state: state })
    }
}

/// An identifier nobody else has.
pub fn fresh_id() -> String {
    // The standard library's hasher keys come from the system's entropy.
    format!("{:08x}", RandomState::new().build_hasher().finish() as u32)
}

fn make_private(path: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::Cannot(format!("cannot make the folder {}: {error}", path.display())))
}
