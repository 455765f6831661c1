//! The user's wish to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// A flag shared by whoever hears the user and whoever works. Clones are the same flag.
#[derive(Clone, Debug)]
pub struct Stop {
    requests: Arc<watch::Sender<u32>>,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop::new()
    }
}

impl Stop {
    /// Nobody has asked yet.
    pub fn new() -> Stop {
        Stop { requests: Arc::new(watch::Sender::new(0)) }
    }

    /// Asks to stop. The first time: launch nothing more, finish the rows, tear down. From the
    /// second on: do not wait for it. Not for use inside a signal handler, only on a thread that
    /// was told of the signal.
    pub fn request(&self) {
        self.requests.send_modify(|requests| *requests = requests.saturating_add(1));
    }

    /// Whether somebody asked.
    pub fn requested(&self) -> bool {
        *self.requests.borrow() > 0
    }

    /// Whether somebody asked twice.
    pub fn hurry(&self) -> bool {
        *self.requests.borrow() > 1
    }

    /// Waits until somebody has asked at least `times` times.
    pub(crate) async fn asked(&self, times: u32) {
        let mut requests = self.requests.subscribe();
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = requests.wait_for(|requests| *requests >= times).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_hurries() {
        let stop = Stop::new();
        let clone = stop.clone();
        assert!(!stop.requested());
        clone.request();
        assert!(stop.requested() && !stop.hurry());
        clone.request();
        assert!(stop.hurry());
    }
}
