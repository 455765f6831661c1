//! A backend that takes part in a scenario, prepared.

use std::sync::Arc;

use results::record::Run;
use runtime::image::Image;
use runtime::{Backend, Limits, Prepared, RunContext, Workload};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stage::warn;
use crate::{Error, Launch, Progress};

/// A backend that takes part.
pub(crate) struct Contender {
    pub(crate) name: String,
    /// Hash of the full launch configuration, spelled out in `run.json`.
    pub(crate) config: String,
    pub(crate) prepared: Arc<dyn Prepared>,
}

impl Contender {
    /// The launch configuration of one instance that differs from the others by what it does and what
    /// it may have; it is spelled out in `run`.
    pub(crate) fn config_with(&self, run: &mut Run, workload: &Workload, limits: &Limits) -> String {
        let full =
            json!({ "like": self.config, "workload": workload.to_string(), "limits": format!("{limits:?}") });
        let config = hash(&full);
        run.configs.entry(config.clone()).or_insert(full);
        config
    }
}

/// Prepares `backends`; those that cannot be are recorded in `run` with the reason.
///
/// # Errors
/// Where none is left.
pub(crate) fn prepare(
    launch: &Launch,
    backends: &[Box<dyn Backend>],
    context: &RunContext,
    image: &Image,
    run: &mut Run,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Contender>, Error> {
    let mut contenders = Vec::new();
    for backend in backends {
        let name = backend.id();
        progress(Progress::Preparing { backend: name.clone() });
        let plan = launch.guest_plan(image)?;
        let prepared = backend.prepare(context, image).and_then(|prepared| {
            prepared.get_ready(&plan, &launch.limits())?;
            Ok(prepared)
        });
        match prepared {
            Ok(prepared) => {
                if let Some(remark) = prepared.remark() {
                    warn(run, progress, format!("{name}: {remark}"));
                }
                let full = json!({
                    "backend": name,
                    "launch": prepared.config(),
                    "image": image.digest,
                    "workload": launch.workload,
                    "command": launch.command,
                    "memory_bytes": launch.memory_bytes,
                    "cpus": launch.cpus,
                    "pids": launch.pids,
                });
                let config = hash(&full);
                run.configs.insert(config.clone(), full);
                contenders.push(Contender { name, config, prepared });
            }
            Err(error) => {
                let reason = error.to_string();
                run.unavailable.insert(name.clone(), reason.clone());
                progress(Progress::Unavailable { backend: name, reason });
            }
        }
    }
    if contenders.is_empty() {
        let reasons: Vec<String> =
            run.unavailable.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        return Err(Error::NothingToRun(reasons.join("; ")));
    }
    Ok(contenders)
}

/// SHA-256 over the JSON text, whose keys serde_json sorts; 16 digits tell configurations of a run apart.
fn hash(config: &Value) -> String {
    let digest = Sha256::digest(config.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
