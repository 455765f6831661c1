//! What is kept of a container between two commands: a folder `<root>/<id>` with
//!
//! - `state.json`: the [`Record`], replaced as a whole;
//! - `lock`: held by whoever changes the container; `create` holds it to its end;
//! - `gate`: a named pipe that init reads from until `start` writes to it.
//!
//! Whether a container is created, running or stopped is nowhere written: it follows from what the
//! kernel knows (is init alive, has it the pipe open), so that no crash makes it wrong.

mod folder;
mod process;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

pub use folder::{Folder, Root};
pub use process::InitProcess;

/// What is known of a container, for the commands after `create`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// Name, unique in its root.
    pub id: String,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The folder that is its root.
    pub rootfs: PathBuf,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// User who made it.
    pub owner_uid: u32,
    /// Whether `create` has come to its end.
    pub is_created: bool,
    /// Its init, once there is one.
    pub init: Option<InitProcess>,
    /// The command that stays with it and deletes it, if there is one.
    pub master: Option<InitProcess>,
    /// Its own group, relative to the root of each hierarchy, whether it has been made yet or not.
    pub cgroup: Option<PathBuf>,
    /// config.json as it was at `create`: later changes to the file have no effect (runtime.md, "Lifecycle").
    pub config: Spec,
}

/// The status of a container (runtime.md, "State").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is under way.
    Creating,
    /// Waits for `start`.
    Created,
    /// The program has been executed.
    Running,
    /// The program has ended, or `create` did before it was done.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Stopped => "stopped",
        })
    }
}

/// The state as the specification defines it, for hooks and for `state`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: &'static str,
    /// Name.
    pub id: String,
    /// Status.
    pub status: Status,
    /// Process id of init; 0 where it is stopped, as engines expect it.
    pub pid: i32,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The folder that is its root.
    pub rootfs: PathBuf,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// User id of who made it; empty for root.
    pub owner: String,
    /// Those of the configuration.
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub annotations: HashMap<String, String>,
}

impl Record {
    /// The state with `status`.
    pub fn state(&self, status: Status) -> State {
        let pid = self.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid);
        State {
            oci_version: super::config::VERSION_MAX,
            id: self.id.clone(),
            status,
            pid,
            bundle: self.bundle.clone(),
            rootfs: self.rootfs.clone(),
            created: self.created.clone(),
            owner: if self.owner_uid == 0 { String::new() } else { self.owner_uid.to_string() },
            annotations: self.config.annotations().clone().unwrap_or_default(),
        }
    }
}
