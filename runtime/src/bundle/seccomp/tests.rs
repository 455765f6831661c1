use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const ARM: u32 = 0x4000_0028;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

fn profile(value: Value) -> LinuxSeccomp {
    serde_json::from_value(value).unwrap()
}

fn filter(value: Value) -> Vec<libc::sock_filter> {
    translate(&profile(value)).unwrap().program
}

/// What the kernel would do with the program: classic BPF, as seccomp restricts it.
fn decide(program: &[libc::sock_filter], audit: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(audit.to_ne_bytes());
    data.extend([0; 8]);
    args.iter().for_each(|arg| data.extend(arg.to_ne_bytes()));
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let one = program[at];
        at += 1;
        let branch = |holds: bool| usize::from(if holds { one.jt } else { one.jf });
        match u32::from(one.code) {
            0x20 => {
                let word = &data[one.k as usize..one.k as usize + 4];
                accumulator = u32::from_ne_bytes(word.try_into().unwrap());
            }
            0x54 => accumulator &= one.k,
            0x06 => return one.k,
            0x05 => at += one.k as usize,
            0x15 => at += branch(accumulator == one.k),
            0x25 => at += branch(accumulator > one.k),
            0x35 => at += branch(accumulator >= one.k),
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn number(name: &str) -> u32 {
    Architecture::X86_64.number(name).unwrap()
}

#[test]
fn numbers_are_the_kernels() {
    // arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/unistd.h.
    for (architecture, name, wanted) in [
        (Architecture::X86_64, "read", Some(0)),
        (Architecture::X86_64, "clone3", Some(435)),
        (Architecture::X86_64, "socketcall", None),
        (Architecture::X86, "read", Some(3)),
        (Architecture::X86, "socketcall", Some(102)),
        (Architecture::X86, "clock_gettime64", Some(403)),
        (Architecture::X32, "read", Some(0x4000_0000)),
        (Architecture::X32, "ioctl", Some(0x4000_0000 + 514)),
        (Architecture::X32, "pwritev2", Some(0x4000_0000 + 547)),
        (Architecture::Aarch64, "read", Some(63)),
        (Architecture::Arm, "read", Some(3)),
    ] {
        assert_eq!(architecture.number(name), wanted, "{architecture:?} {name}");
    }
    assert_eq!(Architecture::X86.multiplexed("accept4"), Some((102, 18)));
    assert_eq!(Architecture::X86.multiplexed("shmctl"), Some((117, 24)));
    assert_eq!(Architecture::X86_64.multiplexed("accept4"), None);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_and_architectures_are_told_apart() {
    let program = filter(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["read", "write", "clone3", "no_such_call"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
            { "names": ["ptrace"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
            { "names": ["reboot"], "action": "SCMP_ACT_KILL" },
        ],
    }));
    let of = |audit, number| decide(&program, audit, number, [0; 6]);
    assert_eq!(of(X86_64, number("read")), ALLOW);
    assert_eq!(of(X86_64, number("write")), ALLOW);
    assert_eq!(of(X86_64, number("open")), EPERM);
    assert_eq!(of(X86_64, number("clone3")), ALLOW);
    assert_eq!(of(X86_64, number("clone3") + 1), EPERM);
    assert_eq!(of(X86_64, number("chmod")), libc::SECCOMP_RET_ERRNO | 38);
    assert_eq!(of(X86_64, number("ptrace")), libc::SECCOMP_RET_TRACE | 7);
    assert_eq!(of(X86_64, number("reboot")), libc::SECCOMP_RET_KILL_THREAD);
    assert_eq!(of(I386, 3), ALLOW);
    assert_eq!(of(I386, 0), EPERM);
    assert_eq!(of(ARM, 3), KILL);
    // x32 is not among the architectures; -1 is what a tracer makes of a call it skips.
    assert_eq!(of(X86_64, 0x4000_0000), KILL);
    assert_eq!(of(X86_64, 0xffff_fffe), KILL);
    assert_eq!(of(X86_64, u32::MAX), EPERM);
    let with_x32 = filter(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X32"],
        "syscalls": [{ "names": ["read", "ioctl"], "action": "SCMP_ACT_ALLOW" }],
    }));
    assert_eq!(decide(&with_x32, X86_64, 0, [0; 6]), ALLOW);
    assert_eq!(decide(&with_x32, X86_64, 0x4000_0000, [0; 6]), ALLOW);
    assert_eq!(decide(&with_x32, X86_64, 0x4000_0000 + 16, [0; 6]), EPERM);
    assert_eq!(decide(&with_x32, X86_64, 0x4000_0000 + 514, [0; 6]), ALLOW);
}

#[test]
fn arguments_are_compared_with_all_their_bits() {
    type Holds = fn(u64, u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("SCMP_CMP_EQ", |a, b| a == b),
        ("SCMP_CMP_NE", |a, b| a != b),
        ("SCMP_CMP_LT", |a, b| a < b),
        ("SCMP_CMP_LE", |a, b| a <= b),
        ("SCMP_CMP_GT", |a, b| a > b),
        ("SCMP_CMP_GE", |a, b| a >= b),
    ];
    let edges = [0, 1, 5, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x2_0000_0000, u64::MAX - 1, u64::MAX];
    for (operator, holds) in operators {
        for value in edges {
            let program = filter(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{
                "names": ["personality"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 3, "value": value, "op": operator }],
            }] }));
            for actual in edges {
                let wanted = if holds(actual, value) { ALLOW } else { EPERM };
                let args = [9, 9, 9, actual, 9, 9];
                let found = decide(&program, X86_64, number("personality"), args);
                assert_eq!(found, wanted, "{actual:#x} {operator} {value:#x}");
            }
        }
    }
}

#[test]
fn rules_of_one_call_are_taken_in_order() {
    let program = filter(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        // As the engines' profiles forbid new namespaces: (flags & mask) == 0.
        { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
        // Both must hold.
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
            { "index": 0, "value": 2, "op": "SCMP_CMP_EQ" }, { "index": 1, "value": 1, "op": "SCMP_CMP_EQ" } ] },
        { "names": ["socket"], "action": "SCMP_ACT_LOG" },
        // Two about one argument: either.
        { "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
            { "index": 0, "value": 0, "op": "SCMP_CMP_EQ" }, { "index": 0, "value": 8, "op": "SCMP_CMP_EQ" } ] },
    ] }));
    let of = |name, args: [u64; 2]| decide(&program, X86_64, number(name), [args[0], args[1], 0, 0, 0, 0]);
    assert_eq!(of("clone", [0x11, 0]), ALLOW);
    assert_eq!(of("clone", [0x1000_0011, 0]), EPERM);
    assert_eq!(of("socket", [2, 1]), ALLOW);
    assert_eq!(of("socket", [2, 2]), libc::SECCOMP_RET_LOG);
    assert_eq!(of("personality", [0, 0]), ALLOW);
    assert_eq!(of("personality", [8, 0]), ALLOW);
    assert_eq!(of("personality", [9, 0]), EPERM);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_forbidden_call_has_no_second_door() {
    let program = filter(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["socket"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_EQ" }] }],
    }));
    let socketcall = |call: u64| decide(&program, I386, 102, [call, 0, 0, 0, 0, 0]);
    assert_eq!(socketcall(1), EPERM);
    assert_eq!(socketcall(2), ALLOW);
    // 32-bit arguments have no upper half.
    assert_eq!(decide(&program, I386, 359, [0xff_0000_0028, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let rule = |rule: Value| json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
    for (value, wanted) in [
        (json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "linux.seccomp: SCMP_ACT_NOTIFY"),
        (json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1 }), "linux.seccomp.defaultErrnoRet"),
        (json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000 }), "5000 is more than 4095"),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"] }),
            "linux.seccomp.architectures[0]: SCMP_ARCH_S390X cannot run",
        ),
        (
            rule(json!({ "names": [], "action": "SCMP_ACT_ALLOW" })),
            "linux.seccomp.syscalls[0].names: is empty",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["read", "raed"], "action": "SCMP_ACT_KILL" } ] }),
            "syscalls[0].names[1]: \"raed\" is no known",
        ),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] })),
            "syscalls[0].args[0].index",
        ),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": 0, "valueTwo": 1, "op": "SCMP_CMP_EQ" }] })),
            "syscalls[0].args[0].valueTwo",
        ),
    ] {
        let error = translate(&profile(value.clone())).expect_err(&value.to_string()).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// The kernel itself takes the program and does what it says.
#[test]
fn the_kernel_takes_it() {
    let filter = translate(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "architectures": if cfg!(target_arch = "x86_64") { json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]) } else { json!([]) },
        "syscalls": [{ "names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42 }],
    })))
    .unwrap();
    // Filters are a thread's own.
    let errno = std::thread::spawn(move || {
        let program =
            libc::sock_fprog { len: filter.program.len() as u16, filter: filter.program.as_ptr().cast_mut() };
        // SAFETY: the program outlives the call; concerns this thread only.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let mode = libc::SECCOMP_SET_MODE_FILTER;
            assert_eq!(libc::syscall(libc::SYS_seccomp, mode, filter.flags, &program), 0);
        }
        std::env::current_dir().unwrap_err().raw_os_error()
    });
    assert_eq!(errno.join().unwrap(), Some(42));
}
