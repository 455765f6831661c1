//! “There are six kinds of namespace.” Decided by the kernel's own list, /proc/self/ns
//! (namespaces(7)), which `run.json` holds.

use super::{Finding, Verdict, found};
use crate::record::Run;

/// Key of `run.json`'s host with the kinds of namespace this kernel has.
const KINDS: &str = "namespaces";

pub(super) fn judge(run: &Run) -> Finding {
    let kinds: Vec<&str> = run
        .host
        .get(KINDS)
        .and_then(serde_json::Value::as_array)
        .map(|kinds| kinds.iter().filter_map(serde_json::Value::as_str).collect())
        .unwrap_or_default();
    let (verdict, because) = match kinds.len() {
        0 => (Verdict::Undetermined("what kinds of namespace the kernel has was not recorded".into()), ""),
        6 => (Verdict::Supported, "this kernel has six kinds of namespace"),
        _ => (Verdict::Refuted, "this kernel has another number of kinds of namespace than six"),
    };
    let evidence = match kinds.len() {
        0 => Vec::new(),
        number => vec![format!("the kernel lists {number} kinds: {}", kinds.join(", "))],
    };
    found("ns-six", verdict, because, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kinds: &[&str]) -> Finding {
        let mut run = Run::new("x", "isolation");
        run.host.insert(KINDS.into(), kinds.into());
        judge(&run)
    }

    #[test]
    fn the_kernels_list_is_counted() {
        let six = ["ipc", "mnt", "net", "pid", "user", "uts"];
        assert_eq!(verdict(&six).verdict, Verdict::Supported);
        let eight = verdict(&["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]);
        assert_eq!(eight.verdict, Verdict::Refuted);
        assert!(eight.evidence[0].contains("8 kinds") && eight.evidence[0].contains("time"));
        assert!(matches!(judge(&Run::new("x", "isolation")).verdict, Verdict::Undetermined(_)));
    }
}
