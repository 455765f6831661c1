//! What a run owns on this host, and how it is found again after a crash.
//!
//! Every run has a folder `<state root>/<run id>/` (state root: /run/bench for root, else
//! $XDG_RUNTIME_DIR/bench or a private folder in the temporary folder) with a lock file held by the
//! living run. A lock that can be taken belongs to a dead run: `clean` ends and removes what is left.
