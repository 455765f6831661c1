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

/// What a rule is in entries; of several that match, the allowing ones and the refusing ones exclude
/// each other.
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
    match action {
        Action::Allow => vec![allowed(Value::Null)],
        Action::Errno(errno) => vec![entry("SCMP_ACT_ERRNO", Some(errno), Value::Null)],
        // Allowed where none of the bits is set. Refused is then by the default, whose error is another
        // one than our own filter's: two entries for one call would contradict each other to libseccomp.
        Action::RefuseBits { argument: index, bits } => {
            vec![allowed(argument(index, "SCMP_CMP_MASKED_EQ", bits, 0))]
        }
        Action::RefuseValue { argument: index, value } => {
            vec![allowed(argument(index, "SCMP_CMP_NE", value, 0))]
        }
        Action::OnlyValues { argument: index, values } => {
            values.iter().map(|value| allowed(argument(index, "SCMP_CMP_EQ", *value, 0))).collect()
        }
    }
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
        assert_eq!(of("personality").len(), 5);
        // Every call has one entry, or several that exclude each other.
        for name in ["read", "mount", "clone", "socket", "ioctl"] {
            assert_eq!(of(name).len(), 1, "{name}");
        }
    }
}
