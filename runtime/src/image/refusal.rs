//! Why an entry of a layer could not be placed.

use std::fmt::Display;
use std::io;

use super::error::is_full;

/// The reason, and whether it is the entry's fault.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    /// What the system said, where the disk or a quota is full.
    pub(crate) full: Option<io::Error>,
}

impl Refusal {
    /// For `map_err`: the system refused `doing`.
    pub(crate) fn system<E: Into<io::Error>>(doing: impl Display) -> impl FnOnce(E) -> Refusal {
        move |error| {
            let error = error.into();
            let why = format!("{doing}: {error}");
            Refusal { why, full: is_full(&error).then_some(error) }
        }
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Refusal {
        Refusal { why, full: None }
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Refusal {
        why.to_owned().into()
    }
}
