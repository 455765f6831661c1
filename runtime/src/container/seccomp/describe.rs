//! The default profile as others take it: the `linux.seccomp` of a bundle (OCI runtime specification,
//! config-linux.md), which is also what Docker, Podman and containerd read from a profile's file.

use serde_json::{Value, json};

use super::Action;
use super::profile::{LAST_KNOWN, rules};

/// The profile; `None` where the names of this architecture's calls are not known.
pub(crate) fn described() -> Option<Value> {
    let mut allowed = Vec::new();
    let mut calls = Vec::new();
    let rules = rules();
    for number in 0..=LAST_KNOWN {
        let Some(name) = name(number) else { continue };
        match rules.iter().find(|(ruled, _)| *ruled == number) {
            None | Some((_, Action::Allow)) => allowed.push(name),
            Some((_, action)) => calls.extend(entries(name, *action)),
        }
    }
    calls.insert(0, json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" }));
    Some(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::ENOSYS,
        "architectures": [architecture()?],
        "syscalls": calls,
    }))
}

/// What a rule is in entries of which at most one matches: to libseccomp (seccomp_rule_add(3)) two that
/// do contradict each other. None is left to the default, whose error is another one than our filter's.
fn entries(name: &str, action: Action) -> Vec<Value> {
    let entry = |action: &str, errno: Option<i32>, args: Value| {
        let mut entry = json!({ "names": [name], "action": action });
        if let Some(errno) = errno {
            entry["errnoRet"] = errno.into();
        }
        if !args.is_null() {
            entry["args"] = json!([args]);
        }
        entry
    };
    let argument = |index: u32, op: &str, value: u32, two: u32| json!({ "index": index, "value": value, "valueTwo": two, "op": op });
    let allowed = |args| entry("SCMP_ACT_ALLOW", None, args);
    let refused = |args| entry("SCMP_ACT_ERRNO", Some(libc::EPERM), args);
    let masked = |index: u32, mask: u32, value: u32| argument(index, "SCMP_CMP_MASKED_EQ", mask, value);
    match action {
        Action::Allow => vec![allowed(Value::Null)],
        Action::Errno(errno) => vec![entry("SCMP_ACT_ERRNO", Some(errno), Value::Null)],
        Action::RefuseBits { argument: index, bits } => {
            let each = (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| bits & bit != 0);
            let mut entries = vec![allowed(masked(index, bits, 0))];
            entries.extend(each.map(|bit| refused(masked(index, bit, bit))));
            entries
        }
        Action::RefuseValue { argument: index, value } => vec![
            allowed(argument(index, "SCMP_CMP_NE", value, 0)),
            refused(argument(index, "SCMP_CMP_EQ", value, 0)),
        ],
        Action::OnlyValues { argument: index, values } => {
            let mut entries: Vec<Value> =
                values.iter().map(|value| allowed(argument(index, "SCMP_CMP_EQ", *value, 0))).collect();
            entries
                .extend(others(values).into_iter().map(|(mask, value)| refused(masked(index, mask, value))));
            entries
        }
    }
}

/// All values but these, as masks and what is left of each below its mask: a value that differs does so
/// from the nearest of these first in one bit, and all that begin as it does up to there differ too. No
/// two overlap.
fn others(values: &[u32]) -> Vec<(u32, u32)> {
    let mut others = Vec::new();
    for value in values {
        for bit in 0..u32::BITS {
            let mask = u32::MAX << bit;
            let prefix = (value ^ (1 << bit)) & mask;
            if values.iter().all(|other| other & mask != prefix) && !others.contains(&(mask, prefix)) {
                others.push((mask, prefix));
            }
        }
    }
    others
}

#[cfg(target_arch = "x86_64")]
fn name(number: u32) -> Option<&'static str> {
    syscalls::x86_64::Sysno::new(number as usize).map(|call| call.name())
}

#[cfg(target_arch = "aarch64")]
fn name(number: u32) -> Option<&'static str> {
    syscalls::aarch64::Sysno::new(number as usize).map(|call| call.name())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn name(_number: u32) -> Option<&'static str> {
    None
}

fn architecture() -> Option<&'static str> {
    if cfg!(target_arch = "x86_64") {
        Some("SCMP_ARCH_X86_64")
    } else if cfg!(target_arch = "aarch64") {
        Some("SCMP_ARCH_AARCH64")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_what_our_own_filter_does() {
        let Some(profile) = described() else { return };
        let calls = profile["syscalls"].as_array().expect("calls");
        let of = |name: &str| -> Vec<&Value> {
            let names =
                |call: &&Value| call["names"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
            calls.iter().filter(names).collect()
        };
        assert_eq!(of("execve")[0]["action"], "SCMP_ACT_ALLOW");
        assert_eq!(of("mount")[0]["errnoRet"], libc::EPERM);
        assert_eq!(of("clone3")[0]["errnoRet"], libc::ENOSYS);
        assert_eq!(of("clone")[0]["args"][0]["op"], "SCMP_CMP_MASKED_EQ");
        for (name, value, errno) in [
            ("clone", 0x11, None),
            ("clone", 0x1000_0000, Some(libc::EPERM)),
            ("clone", 0x2000_0080, Some(libc::EPERM)),
            ("personality", 0xffff_ffff, None),
            ("personality", 0x2_0008, None),
            ("personality", 0x4_0000, Some(libc::EPERM)),
            ("personality", 0xffff_fffe, Some(libc::EPERM)),
            ("personality", 9, Some(libc::EPERM)),
            ("socket", 1, None),
            ("socket", 40, Some(libc::EPERM)),
        ] {
            let errnos: Vec<Option<i64>> = of(name)
                .into_iter()
                .filter(|call| holds(&call["args"][0], value))
                .map(|call| call["errnoRet"].as_i64())
                .collect();
            let expected = errno.map(i64::from);
            assert!(
                !errnos.is_empty() && errnos.iter().all(|errno| *errno == expected),
                "{name} {value:x}: {errnos:?}"
            );
        }
        // Every call has one entry, or several that exclude each other.
        for name in ["read", "mount"] {
            assert_eq!(of(name).len(), 1, "{name}");
        }
    }

    #[test]
    fn the_others_are_all_but_those_that_are_named() {
        let values = [0u32, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
        let others = others(&values);
        let covered: u64 = others.iter().map(|(mask, _)| u64::from(!mask) + 1).sum();
        // Each other value once: as many as there are, and none of those named.
        assert_eq!(covered, (1 << 32) - values.len() as u64);
        assert!(values.iter().all(|value| others.iter().all(|(mask, prefix)| value & mask != *prefix)));
    }

    /// seccomp_rule_add(3).
    fn holds(argument: &Value, given: u64) -> bool {
        let (value, two) =
            (argument["value"].as_u64().expect("value"), argument["valueTwo"].as_u64().expect("two"));
        match argument["op"].as_str().expect("op") {
            "SCMP_CMP_NE" => given != value,
            "SCMP_CMP_EQ" => given == value,
            "SCMP_CMP_MASKED_EQ" => given & value == two,
            other => panic!("{other}"),
        }
    }
}
