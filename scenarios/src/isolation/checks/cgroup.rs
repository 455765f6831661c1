//! Cgroup namespace (cgroup_namespaces(7)). What the controllers do is in the files `cg_*`.

use guest::probe::Request;
use runtime::container::Mechanism;

use super::super::check::{Check, Finding, Missing, Scene, Twin};
use super::super::processes;

const CLAIM: &str = "ns-unaware";

pub(super) const ALL: &[Check] = &[Check {
    id: "cgroup-path",
    claim: CLAIM,
    question: "does an instance see where in the host's hierarchy it is?",
    source: "cgroup_namespaces(7): /proc/self/cgroup shows paths from the namespace's root",
    look: Some(|_| vec![Request::Read { path: "/proc/self/cgroup".into(), most: 16_384 }]),
    judge: |scene| {
        let (inside, outside) = (scene.look(0)?.text("text")?, outside(scene)?);
        let shown = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| Some(line.splitn(3, ':').nth(2)?.to_owned())).collect()
        };
        let deep = |paths: &[String]| paths.iter().filter(|path| path.len() > 1).count();
        let (inside_paths, outside_paths) = (shown(inside), shown(&outside));
        Ok(match inside_paths.iter().any(|path| path.len() > 1 && outside_paths.contains(path)) {
            true => Finding::Open(format!("{} paths of the host are shown", deep(&inside_paths))),
            // Without a path outside there is nothing to hide.
            false if deep(&outside_paths) == 0 && !scene.kind.is_namespaced() => match inside == outside {
                true => Finding::Open("what the host shows is shown".into()),
                false => Finding::Apart("another list than the host's".into()),
            },
            false if deep(&outside_paths) == 0 => Finding::Absent("it is in no cgroup but the root's".into()),
            false => Finding::Apart(format!("{} paths outside, none of them inside", deep(&outside_paths))),
        })
    },
    twin: Twin::Without(&[Mechanism::CgroupNamespace]),
    ..Check::NOTHING
}];

fn outside(scene: &Scene<'_>) -> Result<String, Missing> {
    let root = scene.looker.ok_or_else(|| Missing("the instance has no process on the host".into()))?;
    let pid = processes::init(root);
    std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .map_err(|error| Missing(format!("/proc/{pid}/cgroup: {error}")))
}
