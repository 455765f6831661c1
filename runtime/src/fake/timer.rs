//! One thread that tells scripted events when they are due.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::now_ns;
use crate::{Event, EventSink};

/// An event to be told at `due_ns` unless its instance is gone by then.
pub(super) struct Due {
    pub(super) due_ns: u64,
    pub(super) event: Event,
    pub(super) events: EventSink,
    pub(super) gone: Arc<AtomicBool>,
}

/// The thread's handle; the thread ends when the last clone is dropped.
pub(super) struct Timer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By due instant, then by order of arrival.
    queue: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    ended: bool,
}

impl Timer {
    pub(super) fn start() -> io::Result<Timer> {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("fake-timer".into()).spawn(move || thread.tell())?;
        Ok(Timer { shared })
    }

    pub(super) fn add(&self, due: Due) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sequence += 1;
        let key = (due.due_ns, state.sequence);
        state.queue.insert(key, due);
        self.shared.changed.notify_one();
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn tell(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.ended {
            let now = now_ns();
            match state.queue.first_key_value().map(|((due_ns, _), _)| *due_ns) {
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due_ns) if due_ns > now => {
                    let rest = Duration::from_nanos(due_ns - now);
                    state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => {
                    if let Some((_, due)) = state.queue.pop_first()
                        && !due.gone.load(Ordering::Acquire)
                    {
                        let late_ns = now_ns().saturating_sub(due.due_ns);
                        due.events.send_delayed(now_ns(), due.event, Some(late_ns));
                    }
                }
            }
        }
    }
}
