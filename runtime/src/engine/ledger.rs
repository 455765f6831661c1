//! Which engines a run has containers in, so that those of a killed run are found again.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::grpc::Grpc;
use super::http::Client;
use super::{cri, docker};
use crate::Error;

/// An interface and a socket a line, in the run's folder.
const FILE: &str = "engines";

/// Notes that the engine at `socket`, which speaks `interface` (`docker` or `cri`), is about to get containers.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn note(state_dir: &Path, interface: &str, socket: &Path) -> Result<(), Error> {
    let path = state_dir.join(FILE);
    fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{interface} {}", socket.display()))
        .map_err(Error::system(format!("write {}", path.display())))
}

/// Removes the run's containers from the engines it noted, and says so.
///
/// # Errors
/// Where an engine that is there refuses. One that is gone has taken its containers along, or has them
/// when it comes back: nothing of them runs now.
pub(crate) fn clean(state_dir: &Path, run: &str) -> Result<Vec<String>, Error> {
    let Ok(list) = fs::read_to_string(state_dir.join(FILE)) else { return Ok(Vec::new()) };
    let mut engines: Vec<(&str, &Path)> = list
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, path)| (kind, Path::new(path)))
        .collect();
    engines.sort();
    engines.dedup();
    let mut removed = Vec::new();
    for (interface, socket) in engines {
        if std::os::unix::net::UnixStream::connect(socket).is_err() {
            continue;
        }
        let place = socket.display();
        if interface == "cri" {
            let grpc = Grpc::connect(socket)?;
            for id in cri::of_run(&grpc, run)? {
                cri::remove(&grpc, &id)?;
                removed.push(format!("removed the pod {id} of the engine at {place}"));
            }
        } else {
            let client = Client::new(socket)?;
            for id in docker::of_run(&client, run)? {
                docker::remove(&client, &id)?;
                removed.push(format!("removed the container {id} of the engine at {place}"));
            }
        }
    }
    Ok(removed)
}
