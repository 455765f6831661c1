//! One mechanism a file. Each returns its questions with their answers, case by case: what one case
//! cannot tell takes nothing from the others.

mod accounting;
mod checkpoint;
pub(crate) mod cpu_quota;
mod cpu_weight;
mod freeze;
mod hog;
pub(crate) mod io_limit;
pub(crate) mod memory_limit;
pub(crate) mod pids_limit;

use guest::Task;
use runtime::Workload;

use super::Mechanism;
use super::plan::Plan;
use super::question::{Answers, Question};
use super::scene::Scene;

/// Questions with their answers, a case each.
pub(crate) type Answered = Vec<(Vec<Question>, Answers)>;

/// Longer than any of this takes.
const PATIENCE_NS: u64 = 60_000_000_000;

/// Tries `mechanism` once.
pub(crate) async fn measure(mechanism: Mechanism, scene: &mut Scene<'_, '_>, plan: &Plan) -> Answered {
    match mechanism {
        Mechanism::CpuQuota => cpu_quota::measure(scene, plan).await,
        Mechanism::CpuWeight => cpu_weight::measure(scene, plan).await,
        Mechanism::MemoryLimit => memory_limit::measure(scene).await,
        Mechanism::PidsLimit => pids_limit::measure(scene).await,
        Mechanism::IoLimit => io_limit::measure(scene).await,
        Mechanism::Freeze => freeze::measure(scene).await,
        Mechanism::Accounting => accounting::measure(scene, plan).await,
        Mechanism::Hog => hog::measure(scene, plan).await,
        Mechanism::Checkpoint => checkpoint::measure(scene).await,
    }
}

/// Computes on `threads` threads for longer than anybody looks.
fn burn(threads: u32) -> Workload {
    Workload::Task(Task::Burn { cpu_ms: 3_600_000, threads })
}

/// A processor that everybody may use and that the harness does not prefer.
fn one_processor() -> String {
    (crate::cores() - 1).to_string()
}
