//! Waiting between storms until the host is quiet again.
//!
//! Network namespaces, for one, are taken down by the kernel long after their last process has
//! gone, and the next storm would pay for it.

use std::path::Path;
use std::time::Duration;

use runtime::clock::now_ns;

use super::ledger::Ledger;
use crate::Stop;
use crate::stress::Counters;

/// How long the host is looked at each time.
const LOOK: Duration = Duration::from_millis(50);

/// Looks in a row that must find it quiet.
const QUIET_LOOKS: u32 = 2;

/// CPU use above the baseline's that still counts as quiet.
const TOLERANCE: f64 = 0.15;

/// How a wait went.
pub(crate) struct Settled {
    pub(crate) waited_ns: u64,
    pub(crate) quiet: bool,
}

/// Waits until CPU use is near `baseline_ratio` again, for `most_ns` at the longest.
pub(crate) async fn settle(
    baseline_ratio: f64,
    most_ns: u64,
    ledger: &mut Ledger<'_>,
    stop: &Stop,
) -> Settled {
    let began_ns = now_ns();
    let mut quiet_looks = 0;
    while now_ns() - began_ns < most_ns && quiet_looks < QUIET_LOOKS && !stop.requested() {
        match look(LOOK, ledger, stop).await {
            // Without /proc/stat there is nothing to look at but the clock.
            Some(used) if used > baseline_ratio + TOLERANCE => quiet_looks = 0,
            _ => quiet_looks += 1,
        }
    }
    Settled { waited_ns: now_ns() - began_ns, quiet: quiet_looks >= QUIET_LOOKS }
}

/// CPU use of the host during `lasting`.
pub(crate) async fn look(lasting: Duration, ledger: &mut Ledger<'_>, stop: &Stop) -> Option<f64> {
    let before = Counters::read(Path::new("/"));
    tokio::select! {
        () = tokio::time::sleep(lasting) => {}
        () = stop.asked(1) => {}
    }
    ledger.drain();
    Counters::read(Path::new("/")).cpu_used_ratio(&before)
}
