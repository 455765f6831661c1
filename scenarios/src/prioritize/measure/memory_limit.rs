//! Memory: who takes more than is allowed ends, and nobody else does.

use guest::Task;
use runtime::{Limits, Workload};

use super::{Answered, PATIENCE_NS};
use crate::prioritize::question::{Answers, HOST, Question, Refusal, WORK, ask};
use crate::prioritize::scene::Scene;

/// What an instance may have; for a machine the size of its RAM.
const ALLOWED_BYTES: u64 = 96 << 20;
/// What it tries to take.
const WANTED_BYTES: u64 = 512 << 20;
/// What the control takes, which is allowed it.
const CONTROL_BYTES: u64 = 64 << 20;

pub(super) async fn measure(scene: &mut Scene<'_, '_>) -> Answered {
    let allowed = ALLOWED_BYTES as f64;
    let case = "96 MiB allowed, 512 MiB wanted";
    let (inside, outside) = (held(case, ALLOWED_BYTES), ask(case, HOST, "bytes", None));
    let (inside, outside) = match scene.is_vm() {
        // Much of a machine's RAM is its own kernel's, and all of a machine is more than its RAM.
        true => (inside, outside),
        false => {
            (inside.at_least(0.9 * allowed), Question { asked: Some(allowed), ..outside }.at_most(allowed))
        }
    };
    let questions = vec![
        inside,
        outside,
        ask("killed inside", WORK, "kills", Some(1.0)).exactly(),
        ask("killed outside", HOST, "kills", Some(0.0)).exactly(),
        ask("a sibling lives on", HOST, "times", Some(1.0)).exactly(),
    ];
    let control = ask("64 MiB wanted, no limit", WORK, "bytes", Some(CONTROL_BYTES as f64));
    let control = vec![control.exactly().control()];
    vec![(questions, limited(scene).await), (control, unlimited(scene).await)]
}

/// What is asked of a limit: no more than it is had by who wants more.
pub(crate) fn held(case: &str, allowed_bytes: u64) -> Question {
    let allowed = allowed_bytes as f64;
    ask(case, WORK, "bytes", Some(allowed)).at_most(allowed)
}

async fn limited(scene: &mut Scene<'_, '_>) -> Answers {
    let limits = Limits { memory_bytes: Some(ALLOWED_BYTES), ..Limits::default() };
    let sibling = scene.start(Workload::Ready, limits.clone()).await?;
    let kills_before = oom_kills()?;
    let actor = scene.start(Workload::Task(Task::Hoard { bytes: WANTED_BYTES }), limits).await?;
    scene.done(actor, PATIENCE_NS).await?;
    let touched = scene.last(actor, "hoard_bytes")?;
    let inside = f64::from(scene.last(actor, "hoard_signal")? as i32 == nix::libc::SIGKILL);
    // A machine's kernel kills on its own account; the host's count knows only the host's kills.
    let of_host = if scene.is_vm() { 0.0 } else { inside };
    let outside = oom_kills()? - kills_before - of_host;
    let memory = scene.statistics(actor)?.memory;
    let peak = memory.and_then(|memory| memory.peak_bytes);
    let peak =
        peak.ok_or_else(|| Refusal::NotHere("this kernel keeps no peak of a group's memory".into()))?;
    let lives = f64::from(scene.lives(sibling));
    scene.end(actor).await;
    scene.end(sibling).await;
    Ok(vec![touched, peak as f64, inside, outside, lives])
}

async fn unlimited(scene: &mut Scene<'_, '_>) -> Answers {
    let actor = scene.start(Workload::Task(Task::Hoard { bytes: CONTROL_BYTES }), Limits::default()).await?;
    scene.done(actor, PATIENCE_NS).await?;
    let touched = scene.last(actor, "hoard_bytes")?;
    scene.end(actor).await;
    Ok(vec![touched])
}

/// Processes the kernel has killed for want of memory since boot, in groups or not (/proc/vmstat).
fn oom_kills() -> Result<f64, Refusal> {
    let text = std::fs::read_to_string("/proc/vmstat")
        .map_err(|error| Refusal::Failed(format!("cannot read /proc/vmstat: {error}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| {
        Refusal::NotHere("this kernel does not count its kills (oom_kill in /proc/vmstat)".into())
    })
}
