//! “Every VM goes through a full boot before it serves, also clones of one template.” Decided by
//! what the VMs' phases show and by whether one that was restored from a running template serves
//! without a boot, and sooner than a container engine's container. A VM being *quicker* is
//! admissible under any accelerator: a handicap works against it.

use std::collections::{BTreeMap, HashSet};

use super::{Finding, Verdict, found, is_vm};
use crate::folder::LoadedRun;
use crate::record::Outcome;
use crate::summary::{Metric, Storms, Summary};
use crate::text::duration;

/// Phases that only a booting operating system has.
const BOOT_PHASES: [&str; 3] = ["firmware", "kernel", "init"];

pub(super) fn judge(run: &LoadedRun, summary: &Summary, storms: &BTreeMap<&str, Storms>) -> Finding {
    let booted: HashSet<(u32, &str, u32)> = run
        .phases
        .iter()
        .filter(|phase| BOOT_PHASES.contains(&phase.phase.as_str()))
        .map(|phase| (phase.storm, phase.backend.as_str(), phase.instance))
        .collect();
    let described: HashSet<(u32, &str, u32)> =
        run.phases.iter().map(|phase| (phase.storm, phase.backend.as_str(), phase.instance)).collect();
    let (mut with_boot, mut without_boot) = (Vec::new(), Vec::new());
    let mut evidence = Vec::new();
    for (backend, of_backend) in storms.iter().filter(|(backend, _)| is_vm(backend)) {
        // The bare hypervisor has no operating system: it says nothing of VMs that have one.
        if *backend == "vm:floor" {
            continue;
        }
        let ready = of_backend.counted.values().flatten().filter(|one| one.outcome == Outcome::Ready);
        let keys: Vec<_> = ready.map(|one| (one.storm, *backend, one.instance)).collect();
        let told = keys.iter().filter(|key| described.contains(*key)).count();
        let boots = keys.iter().filter(|key| booted.contains(*key)).count();
        evidence.push(format!("{backend}: {boots} of {told} ready attempts with phases booted a guest"));
        if told > 0 && boots == told {
            with_boot.push(*backend);
        } else if told > 0 && boots == 0 {
            without_boot.push(*backend);
        }
    }
    evidence.extend(without_boot.iter().filter_map(|backend| against_engines(summary, backend)));
    let verdict = verdict(&with_boot, &without_boot);
    let because = match &verdict {
        Verdict::Refuted => "a VM restored from a running template got ready without booting anything",
        Verdict::Mixed => {
            "VMs on a disk booted every time; those restored from a running template got ready without a boot"
        }
        _ => "",
    };
    found("boot-every-vm", verdict, because, evidence)
}

fn verdict(with_boot: &[&str], without_boot: &[&str]) -> Verdict {
    match (with_boot, without_boot) {
        ([], []) => Verdict::Undetermined("no VM got ready in this run".into()),
        (_, []) => Verdict::Undetermined(
            "the VMs tried here all booted, but a restore from a running template (vm:restore), which need \
             not, is not in this run"
                .into(),
        ),
        ([], _) => Verdict::Refuted,
        (_, _) => Verdict::Mixed,
    }
}

/// How a VM without a boot compares with containers that an engine or OCI runtime starts.
fn against_engines(summary: &Summary, vm: &str) -> Option<String> {
    let median = |name: &str| {
        let backend = summary.backends.iter().find(|backend| backend.backend == name)?;
        backend.metrics.get(&Metric::ReadyFromStarted)?.storm_median.value
    };
    let vm_median = median(vm)?;
    let engines = summary.backends.iter().map(|backend| backend.backend.as_str());
    let slower: Vec<String> = engines
        .filter(|name| name.starts_with("engine:") || name.starts_with("oci:"))
        .filter_map(|name| Some((name, median(name)?)))
        .filter(|(_, engine)| *engine > vm_median)
        .map(|(name, engine)| format!("{name} ({})", duration(engine)))
        .collect();
    (!slower.is_empty())
        .then(|| format!("{vm} was ready in {}, sooner than {}", duration(vm_median), slower.join(", ")))
}
