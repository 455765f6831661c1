//! What can go wrong with a scenario as a whole. What goes wrong with one attempt is a row instead.

/// Why a scenario could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan asks for something that makes no sense.
    #[error("{key}: {problem}")]
    Plan {
        /// Key of the plan.
        key: &'static str,
        /// What is wrong with its value, and what would be right.
        problem: String,
    },
    /// There is no such scenario.
    #[error("there is no scenario {0:?}")]
    NoScenario(String),
    /// The plan has a key that its scenario does not know.
    #[error("there is no key {key:?}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Those there are.
        known: Vec<&'static str>,
    },
    /// The plan cannot be written down.
    #[error("cannot write the plan as TOML: {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// The plan's text cannot be read.
    #[error("cannot read the plan: {0}")]
    Toml(#[from] toml::de::Error),
    /// No backend of the plan works on this host.
    #[error("no backend could be prepared: {0}")]
    NothingToRun(String),
    /// A row could not be written. What was written before stays.
    #[error("cannot write {what}: {source}; the rows written before it are kept")]
    Record {
        /// Which row or file.
        what: &'static str,
        /// What the run folder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system refused what the harness itself needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: the system refused `action`.
    pub(crate) fn system<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { action, source: source.into() }
    }
}
