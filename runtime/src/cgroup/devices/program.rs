//! Rules as a program of the kernel's virtual machine (bpf(2); Documentation/bpf/standardization/
//! instruction-set.rst; type BPF_PROG_TYPE_CGROUP_DEVICE).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::rule::{DeviceKind, DeviceRule};
use crate::Error;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Beside those of the groups above: all of them must allow an access.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// Most programs at one group (BPF_CGROUP_MAX_PROGS).
const MAX_PROGRAMS: usize = 64;

/// Attaches the rules to the group in place of what was attached to it before.
pub(super) fn attach(group: &Path, rules: &[DeviceRule]) -> Result<(), Error> {
    let refused = |action: &str| Error::system(format!("{action} the device rules of {}", group.display()));
    let folder = File::open(group).map_err(refused("open the cgroup for"))?;
    let program = load(&assemble(rules)).map_err(refused("load"))?;
    let before = attached(&folder).map_err(refused("look for"))?;
    // The new ones first: at no time is there none.
    change(BPF_PROG_ATTACH, &folder, &program, BPF_F_ALLOW_MULTI).map_err(refused("attach"))?;
    for program in before {
        change(BPF_PROG_DETACH, &folder, &program, 0).map_err(refused("detach"))?;
    }
    Ok(())
}

// Registers of the program.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Opcodes: class, operation and source.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_ANY: u8 = 0x45;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// One instruction (struct bpf_insn).
fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    let registers = from << 4 | to;
    u64::from(code)
        | u64::from(registers) << 8
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

/// The last rule that is about an access decides it, so they are asked from the last to the first.
/// `ACCESS` holds what is still undecided; what is left in the end is denied.
fn assemble(rules: &[DeviceRule]) -> Vec<u64> {
    // struct bpf_cgroup_dev_ctx: access << 16 | kind, major, minor.
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    let answer = |value| [instruction(MOVE, RESULT, 0, 0, value), instruction(EXIT, 0, 0, 0, 0)];
    for rule in rules.iter().rev() {
        if rule.is_whole() {
            // The verifier refuses instructions that can never be reached.
            program.extend(answer(rule.allow.into()));
            return program;
        }
        let access = i32::from(rule.access.0);
        let decision = if rule.allow {
            vec![instruction(AND, ACCESS, 0, 0, !access), instruction(JUMP_UNLESS_EQUAL, ACCESS, 0, 2, 0)]
        } else {
            vec![instruction(JUMP_IF_ANY, ACCESS, 0, 1, access), instruction(JUMP, 0, 0, 2, 0)]
        };
        let kind = match rule.kind {
            DeviceKind::All => None,
            DeviceKind::Block => Some(1),
            DeviceKind::Char => Some(2),
        };
        let conditions = [(KIND, kind), (MAJOR, rule.major), (MINOR, rule.minor)];
        let conditions: Vec<_> = conditions.iter().filter_map(|(on, value)| Some((*on, (*value)?))).collect();
        for (at, (register, value)) in conditions.iter().enumerate() {
            let behind = conditions.len() - at - 1 + decision.len() + 2;
            program.push(instruction(JUMP_UNLESS_EQUAL, *register, 0, behind as i16, *value as i32));
        }
        program.extend(decision);
        program.extend(answer(rule.allow.into()));
    }
    program.extend(answer(0));
    program
}

#[derive(Default)]
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

#[derive(Default)]
#[repr(C)]
struct Attach {
    group: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
    padding: u32,
}

#[derive(Default)]
#[repr(C)]
struct Query {
    group: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

#[derive(Default)]
#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
    padding: u32,
}

fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut attributes = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"MIT OR Apache-2.0".as_ptr() as u64,
        name: *b"bench_devices\0\0\0",
        attach_type: BPF_CGROUP_DEVICE,
        ..Load::default()
    };
    // SAFETY: the instructions and the licence outlive the call.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attributes) }?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn change(command: libc::c_int, group: &File, program: &OwnedFd, flags: u32) -> io::Result<()> {
    let mut attributes = Attach {
        group: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        flags,
        ..Attach::default()
    };
    // SAFETY: both descriptors are open; there are no pointers.
    unsafe { bpf(command, &mut attributes) }.map(drop)
}

/// The programs attached to this very group.
fn attached(group: &File) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut query = Query {
        group: group.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_PROGRAMS as u32,
        ..Query::default()
    };
    // SAFETY: `ids` has room for `count` and outlives the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut query) }?;
    let found = ids.iter().take(query.count as usize).map(|id| {
        let mut attributes = ById { id: *id, ..ById::default() };
        // SAFETY: there are no pointers.
        let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes) }?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    });
    found.collect()
}

/// # Safety
/// What the attributes point to must be valid for the command.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are as large as said; the rest is the caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[cfg(test)]
mod tests {
    use super::super::DeviceAccess;
    use super::*;

    /// Carries the program out as the instruction set says.
    fn run(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 6];
        let mut at = 0usize;
        for _ in 0..10_000 {
            let word = program[at];
            let (code, to, from) = (word as u8, (word >> 8 & 0xf) as usize, (word >> 12 & 0xf) as usize);
            let (offset, immediate) = ((word >> 16) as u16 as i16, (word >> 32) as u32 as i32);
            at += 1;
            let jump = match code {
                LOAD_WORD => {
                    registers[to] = context[offset as usize / 4].into();
                    false
                }
                MOVE => {
                    registers[to] = immediate as u64;
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                AND => {
                    registers[to] &= i64::from(immediate) as u64;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= immediate;
                    false
                }
                JUMP_UNLESS_EQUAL => registers[to] != i64::from(immediate) as u64,
                JUMP_IF_ANY => registers[to] & i64::from(immediate) as u64 != 0,
                JUMP => true,
                EXIT => return registers[0],
                other => panic!("opcode {other:#x}"),
            };
            if jump {
                at = (at as i64 + i64::from(offset)) as usize;
            }
        }
        panic!("no end");
    }

    /// What the rules mean, access by access.
    fn meaning(rules: &[DeviceRule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        [1, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let about = |rule: &&DeviceRule| {
                let kinds = match rule.kind {
                    DeviceKind::All => true,
                    DeviceKind::Block => kind == 1,
                    DeviceKind::Char => kind == 2,
                };
                let fits = |asked: Option<u32>, is| asked.is_none_or(|asked| asked == is);
                kinds
                    && fits(rule.major, major)
                    && fits(rule.minor, minor)
                    && u32::from(rule.access.0) & bit != 0
            };
            rules.iter().rev().find(about).is_some_and(|rule| rule.allow)
        })
    }

    proptest::proptest! {
        #[test]
        fn the_program_means_what_the_rules_mean(
            raw in proptest::collection::vec((0u8..2, 0u8..3, 0u32..4, 0u32..4, 1u8..8), 0..8)
        ) {
            let number = |value: u32| (value > 0).then_some(value);
            let rules: Vec<_> = raw.iter().map(|(allow, kind, major, minor, access)| DeviceRule {
                allow: *allow == 1,
                kind: [DeviceKind::All, DeviceKind::Block, DeviceKind::Char][usize::from(*kind)],
                major: number(*major),
                minor: number(*minor),
                access: DeviceAccess(*access),
            }).collect();
            let program = assemble(&rules);
            for kind in 1..3 { for access in 1..8 { for major in 1..4 { for minor in 1..4 {
                let answer = run(&program, kind, access, major, minor);
                proptest::prop_assert_eq!(answer == 1, meaning(&rules, kind, access, major, minor));
            }}}}
        }
    }
}
