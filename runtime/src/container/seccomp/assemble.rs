//! From rules to instructions.

use super::Action;

/// AUDIT_ARCH_* of this program (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

// Offsets in struct seccomp_data (seccomp(2)).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

// Operations (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// Filters by `rules`; calls above `last_known` do not exist, others are allowed.
pub(super) fn assemble(rules: &[(u32, Action)], last_known: u32) -> Vec<u64> {
    let mut rules = rules.to_vec();
    rules.sort_by_key(|(number, _)| *number);
    rules.dedup_by_key(|(number, _)| *number);
    // The first number of each range, and what holds from there to the next.
    let mut ranges = vec![(0, Action::Allow)];
    for (number, action) in rules.into_iter().filter(|(number, _)| *number <= last_known) {
        ranges.push((number, action));
        ranges.push((number + 1, Action::Allow));
    }
    // The number of another call table (x32) is above too.
    ranges.push((last_known + 1, Action::Errno(libc::ENOSYS)));
    // A later range that begins where one begins replaces it: two refused numbers in a row.
    let mut joined: Vec<(u32, Action)> = Vec::new();
    for (first, action) in ranges {
        match joined.last_mut() {
            Some(last) if last.0 == first => last.1 = action,
            Some(last) if last.1 == action => {}
            _ => joined.push((first, action)),
        }
    }
    let mut program = vec![
        instruction(LOAD, 0, 0, ARCH),
        instruction(IF_EQUAL, 1, 0, ARCHITECTURE),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD, 0, 0, NUMBER),
    ];
    program.extend(tree(&joined));
    program
}

/// A search for the range of the number in the accumulator.
fn tree(ranges: &[(u32, Action)]) -> Vec<u64> {
    if let [(_, action)] = ranges {
        return leaf(*action);
    }
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let Some((first, _)) = above.first() else { return Vec::new() };
    let (below, above) = (tree(below), tree(above));
    // Conditional jumps reach 255 instructions; the unconditional one any number.
    let mut program =
        vec![instruction(IF_AT_LEAST, 0, 1, *first), instruction(JUMP, 0, 0, below.len() as u32)];
    program.extend(below);
    program.extend(above);
    program
}

fn leaf(action: Action) -> Vec<u64> {
    let refuse = instruction(RETURN, 0, 0, errno(libc::EPERM));
    let allow = instruction(RETURN, 0, 0, ALLOW);
    let load = |argument: u32| instruction(LOAD, 0, 0, low_half(argument));
    match action {
        Action::Allow => vec![allow],
        Action::Errno(number) => vec![instruction(RETURN, 0, 0, errno(number))],
        Action::RefuseBits { argument, bits } => {
            vec![load(argument), instruction(IF_BITS, 0, 1, bits), refuse, allow]
        }
        Action::RefuseValue { argument, value } => {
            vec![load(argument), instruction(IF_EQUAL, 0, 1, value), refuse, allow]
        }
        Action::OnlyValues { argument, values } => {
            let mut program = vec![load(argument)];
            for (number, value) in values.iter().enumerate() {
                let left = (values.len() - 1 - number) as u8;
                program.push(instruction(IF_EQUAL, left + 1, 0, *value));
            }
            program.extend([refuse, allow]);
            program
        }
    }
}

/// The lower 32 bits of an argument: all the kernel itself looks at of those tested here.
fn low_half(argument: u32) -> u32 {
    ARGUMENTS + 8 * argument + if cfg!(target_endian = "big") { 4 } else { 0 }
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number as u32
}

/// struct sock_filter (linux/filter.h) as the kernel has it in memory.
fn instruction(operation: u16, then: u8, otherwise: u8, value: u32) -> u64 {
    let [a, b] = operation.to_ne_bytes();
    let [c, d, e, f] = value.to_ne_bytes();
    u64::from_ne_bytes([a, b, then, otherwise, c, d, e, f])
}
