//! “A complete OS per VM costs memory a container does not pay.” Decided by what one more instance
//! costs. A VM that costs *less* is admissible under any accelerator; one that costs more is not
//! under TCG, whose translated code is memory that hardware virtualization does not need.

use super::{Accelerator, Finding, Verdict, Weighed, found, is_container, is_vm, weigh};
use crate::density::{BackendDensity, Method};
use crate::statistics::Estimate;
use crate::text::size;

/// The most comprehensive method first; the next ones where the ones before say nothing.
const METHODS: [Method; 3] = [Method::Cgroup, Method::Available, Method::Pss];

pub(super) fn judge(all: &[BackendDensity], accelerator: Accelerator) -> Finding {
    let mut all_pairs = Vec::new();
    for vm in all.iter().filter(|one| is_vm(&one.backend) && one.backend != "vm:floor") {
        for container in all.iter().filter(|one| is_container(&one.backend)) {
            let both = METHODS.into_iter().find_map(|method| {
                Some((method, vm.slopes_bytes.get(&method)?, container.slopes_bytes.get(&method)?))
            });
            let Some((method, of_vm, of_container)) = both else { continue };
            let sentence = format!(
                "{}: {} for one more, {}: {} ({})",
                vm.backend,
                words(of_vm),
                container.backend,
                words(of_container),
                method.words()
            );
            all_pairs.push(Weighed { sentence, verdict: Some(part(of_vm, of_container, accelerator)) });
        }
    }
    let (verdict, evidence) =
        weigh(all_pairs, "no VM and container were grown side by side (bench run density)");
    let because = match &verdict {
        Verdict::Supported => {
            "one more VM costs the host more memory than one more container of the same workload"
        }
        Verdict::Refuted => {
            "one more VM costs the host less memory than one more container of the same workload"
        }
        Verdict::Mixed => "some VMs cost more memory than some containers of the same workload, others less",
        Verdict::Undetermined(_) => "",
    };
    found("vm-density", verdict, because, evidence)
}

fn part(vm: &Estimate, container: &Estimate, accelerator: Accelerator) -> Verdict {
    match (vm.low, vm.high, container.low, container.high) {
        (Some(vm_low), _, _, Some(container_high)) if vm_low > container_high => {
            accelerator.admit_against_vms(Verdict::Supported)
        }
        (_, Some(vm_high), Some(container_low), _) if vm_high < container_low => Verdict::Refuted,
        (Some(_), Some(_), Some(_), Some(_)) => Verdict::Undetermined(
            "the intervals of VM and container overlap: more steps or repetitions".into(),
        ),
        _ => Verdict::Undetermined("at least 2 repetitions are needed for an interval".into()),
    }
}

fn words(estimate: &Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{} (95 % interval {} to {})", size(value), size(low), size(high))
        }
        (Some(value), ..) => size(value),
        _ => estimate.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn grown(backend: &str, bytes: f64) -> BackendDensity {
        let estimate = Estimate {
            value: Some(bytes),
            low: Some(bytes * 0.98),
            high: Some(bytes * 1.02),
            reason: String::new(),
        };
        BackendDensity {
            backend: backend.into(),
            most_alive: 8,
            repetitions: 3,
            slopes_bytes: BTreeMap::from([(Method::Available, estimate)]),
            repetition_slopes_bytes: BTreeMap::new(),
            work_adds_bytes: BTreeMap::new(),
            balloon_frees_bytes: BTreeMap::new(),
            merging_frees_bytes: BTreeMap::new(),
        }
    }

    #[test]
    fn against_vms_only_with_hardware_and_for_them_always() {
        let heavy = [grown("vm:direct", 5e7), grown("container", 1e6), grown("vm:floor", 1.0)];
        assert_eq!(judge(&heavy, Accelerator::Hardware).verdict, Verdict::Supported);
        assert!(matches!(judge(&heavy, Accelerator::Interpreted).verdict, Verdict::Undetermined(_)));
        let light = [grown("vm:restore", 1e5), grown("container", 1e6)];
        assert_eq!(judge(&light, Accelerator::Interpreted).verdict, Verdict::Refuted);
        let equal = [grown("vm:restore", 1e6), grown("container", 1e6)];
        assert!(
            matches!(judge(&equal, Accelerator::Hardware).verdict, Verdict::Undetermined(why) if why.contains("overlap"))
        );
        assert!(matches!(judge(&[], Accelerator::Hardware).verdict, Verdict::Undetermined(_)));
    }
}
