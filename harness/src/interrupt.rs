//! Ctrl-C and its like.

use scenarios::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::terminal;

/// From now on SIGINT, SIGTERM and SIGHUP ask `stop`, the second time to hurry.
///
/// # Errors
/// Where the system refuses the signal handlers or the thread.
pub fn listen(stop: &Stop) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::Cannot(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let stop = stop.clone();
    let listener = move || {
        for (count, _) in signals.forever().enumerate() {
            stop.request();
            match count {
                0 => terminal::say("interrupted: finishing rows and tearing down (once more: hurry)"),
                1 => terminal::say("hurrying: not waiting for instances to end"),
                _ => {}
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listener).map_err(cannot)?;
    Ok(())
}
