//! Classic BPF over `struct seccomp_data` (include/uapi/linux/seccomp.h, bpf(4)).
//!
//! For every architecture the numbers of system calls are cut into ranges with one decision each, and
//! a binary search leads to the range: about eight comparisons for the profile of an engine, where a
//! list would take hundreds.

use std::collections::BTreeMap;
use std::ops::Range;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const AUDIT_ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;
const BYTES_OF_ARGUMENT: u32 = 8;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const IF_GREATER_OR_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
/// Stands for "the conditions do not hold" until the length of the rule is known; no rule is as long.
const FAIL: u8 = u8::MAX;

/// What is decided for the calls of one architecture.
pub(super) struct Section {
    /// AUDIT_ARCH_*.
    pub(super) audit: u32,
    /// Whether only the lower halves of arguments mean something.
    pub(super) is_32_bit: bool,
    pub(super) decisions: BTreeMap<u32, Decision>,
    /// Numbers that end the process.
    pub(super) forbidden: Option<Range<u32>>,
}

/// What is decided for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Whatever its arguments.
    Always(u32),
    /// The first rule that matches, else the default.
    ByArguments(Vec<Rule>, u32),
}

/// All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    /// SECCOMP_RET_* with its data.
    pub(super) verdict: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    Masked { mask: u64, value: u64 },
}

impl Decision {
    /// Rules behind one without conditions are never reached.
    pub(super) fn of(mut rules: Vec<Rule>, default: u32) -> Decision {
        match rules.iter().position(|rule| rule.conditions.is_empty()) {
            Some(0) => Decision::Always(rules[0].verdict),
            Some(last) => {
                let otherwise = rules[last].verdict;
                rules.truncate(last);
                Decision::ByArguments(rules, otherwise)
            }
            None => Decision::ByArguments(rules, default),
        }
    }
}

/// The whole program.
pub(super) fn assemble(sections: &[Section], default: u32) -> Vec<libc::sock_filter> {
    let mut program = vec![load(AUDIT_ARCH)];
    for section in sections {
        let mut body = vec![load(NUMBER)];
        body.extend(search(&ranges(section, default), section.is_32_bit));
        program.push(jump_if(IF_EQUAL, section.audit, 1, 0));
        program.push(jump(body.len()));
        program.extend(body);
    }
    program.push(verdict(libc::SECCOMP_RET_KILL_PROCESS));
    program
}

/// First numbers of ranges, in order from 0, with what is decided up to the next.
fn ranges(section: &Section, default: u32) -> Vec<(u32, Decision)> {
    let mut ranges: Vec<(u32, Decision)> = Vec::new();
    let mut push = |first: u32, decision: Decision| match ranges.last_mut() {
        Some((_, last)) if *last == decision && matches!(decision, Decision::Always(_)) => {}
        Some((begin, last)) if *begin == first => *last = decision,
        _ => ranges.push((first, decision)),
    };
    push(0, Decision::Always(default));
    let decided = section
        .decisions
        .iter()
        .map(|(number, decision)| (*number..number.saturating_add(1), decision.clone()));
    let forbidden = section.forbidden.clone();
    let forbidden = forbidden.map(|range| (range, Decision::Always(libc::SECCOMP_RET_KILL_PROCESS)));
    let mut all: Vec<_> = decided.chain(forbidden).collect();
    all.sort_by_key(|(range, _)| range.start);
    for (range, decision) in all {
        push(range.start, decision);
        push(range.end, Decision::Always(default));
    }
    ranges
}

/// The number is in the accumulator.
fn search(ranges: &[(u32, Decision)], is_32_bit: bool) -> Vec<libc::sock_filter> {
    match ranges {
        [] => Vec::new(),
        [(_, decision)] => leaf(decision, is_32_bit),
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let middle = right[0].0;
            let left = search(left, is_32_bit);
            let mut program = match u8::try_from(left.len()) {
                Ok(len) => vec![jump_if(IF_GREATER_OR_EQUAL, middle, len, 0)],
                Err(_) => vec![jump_if(IF_GREATER_OR_EQUAL, middle, 0, 1), jump(left.len())],
            };
            program.extend(left);
            program.extend(search(right, is_32_bit));
            program
        }
    }
}

fn leaf(decision: &Decision, is_32_bit: bool) -> Vec<libc::sock_filter> {
    match decision {
        Decision::Always(value) => vec![verdict(*value)],
        Decision::ByArguments(rules, otherwise) => {
            let mut program: Vec<_> = rules.iter().flat_map(|rule| one_rule(rule, is_32_bit)).collect();
            program.push(verdict(*otherwise));
            program
        }
    }
}

fn one_rule(rule: &Rule, is_32_bit: bool) -> Vec<libc::sock_filter> {
    let mut program: Vec<_> =
        rule.conditions.iter().flat_map(|condition| compare(condition, is_32_bit)).collect();
    program.push(verdict(rule.verdict));
    let len = program.len();
    for (index, instruction) in program.iter_mut().enumerate() {
        // At most six conditions of seven instructions: it fits.
        let to_next = (len - index - 1) as u8;
        let is_branch = instruction.code != JUMP && instruction.code & 7 == libc::BPF_JMP as u16;
        if is_branch && instruction.jt == FAIL {
            instruction.jt = to_next;
        }
        if is_branch && instruction.jf == FAIL {
            instruction.jf = to_next;
        }
    }
    program
}

/// Falls through where the condition holds. BPF compares 32 bits: the upper half first.
fn compare(condition: &Condition, is_32_bit: bool) -> Vec<libc::sock_filter> {
    let argument = ARGUMENTS + BYTES_OF_ARGUMENT * u32::from(condition.argument);
    let (low_at, high_at) =
        if cfg!(target_endian = "little") { (argument, argument + 4) } else { (argument + 4, argument) };
    let halves = |value: u64| (value as u32, (value >> 32) as u32);
    let (low, high) = (load(low_at), load(high_at));
    // Above: what to do where the upper halves differ in that direction.
    let ordered = |value: u64, last: u16, is_greater_wanted: bool| {
        let (value_low, value_high) = halves(value);
        let (jt, jf) = if is_greater_wanted { (0, FAIL) } else { (FAIL, 0) };
        if is_32_bit {
            return vec![low, jump_if(last, value_low, jt, jf)];
        }
        let upper = match is_greater_wanted {
            true => [jump_if(IF_GREATER, value_high, 3, 0), jump_if(IF_EQUAL, value_high, 0, FAIL)],
            false => [jump_if(IF_GREATER, value_high, FAIL, 0), jump_if(IF_EQUAL, value_high, 0, 2)],
        };
        vec![high, upper[0], upper[1], low, jump_if(last, value_low, jt, jf)]
    };
    match condition.comparison {
        Comparison::Greater(value) => ordered(value, IF_GREATER, true),
        Comparison::GreaterOrEqual(value) => ordered(value, IF_GREATER_OR_EQUAL, true),
        Comparison::Less(value) => ordered(value, IF_GREATER_OR_EQUAL, false),
        Comparison::LessOrEqual(value) => ordered(value, IF_GREATER, false),
        Comparison::Equal(value) => {
            let (value_low, value_high) = halves(value);
            let lower = vec![low, jump_if(IF_EQUAL, value_low, 0, FAIL)];
            if is_32_bit {
                return lower;
            }
            [vec![high, jump_if(IF_EQUAL, value_high, 0, FAIL)], lower].concat()
        }
        Comparison::NotEqual(value) => {
            let (value_low, value_high) = halves(value);
            let lower = vec![low, jump_if(IF_EQUAL, value_low, FAIL, 0)];
            if is_32_bit {
                return lower;
            }
            [vec![high, jump_if(IF_EQUAL, value_high, 0, 2)], lower].concat()
        }
        Comparison::Masked { mask, value } => {
            let ((mask_low, mask_high), (value_low, value_high)) = (halves(mask), halves(value));
            let lower = vec![low, and(mask_low), jump_if(IF_EQUAL, value_low, 0, FAIL)];
            if is_32_bit {
                return lower;
            }
            [vec![high, and(mask_high), jump_if(IF_EQUAL, value_high, 0, FAIL)], lower].concat()
        }
    }
}

fn load(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

fn and(mask: u32) -> libc::sock_filter {
    libc::sock_filter { code: AND, jt: 0, jf: 0, k: mask }
}

fn verdict(value: u32) -> libc::sock_filter {
    libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: value }
}

fn jump(over: usize) -> libc::sock_filter {
    libc::sock_filter { code: JUMP, jt: 0, jf: 0, k: over as u32 }
}

fn jump_if(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}
