//! `engine:NAME`: the same image through a container engine's interface.
//!
//! What an engine adds to its runtime shows beside `oci:NAME` of the same runtime, and as the
//! difference between two runtimes under one engine (`engine:docker+RUNTIME`).

mod archive;
mod container;
mod cri;
mod docker;
mod grpc;
mod http;
mod ledger;
mod message;
mod rendezvous;
mod runtimes;
#[cfg(test)]
mod tests;

pub use cri::CriBackend;
pub use docker::{DockerBackend, Engine};
pub(crate) use ledger::clean;

use crate::Backend;

/// The backend called `engine:docker+RUNTIME` or `engine:podman+RUNTIME`: the engine with one of its
/// runtimes by name, so that the same engine can be tried with two.
pub fn with_runtime(name: &str) -> Option<Box<dyn Backend>> {
    let (engine, runtime) = name.strip_prefix("engine:")?.split_once('+')?;
    let engine = match engine {
        "docker" => Engine::Docker,
        "podman" => Engine::Podman,
        _ => return None,
    };
    (!runtime.is_empty()).then(|| Box::new(DockerBackend::new(engine, Some(runtime))) as Box<dyn Backend>)
}

/// The engines there are.
pub fn backends() -> Vec<Box<dyn Backend>> {
    [Engine::Docker, Engine::Podman]
        .into_iter()
        .map(|engine| Box::new(DockerBackend::new(engine, None)) as Box<dyn Backend>)
        .chain([Box::new(CriBackend) as Box<dyn Backend>])
        .collect()
}
