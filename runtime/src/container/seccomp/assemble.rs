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
    let mut code = Backwards::default();
    let found = code.search(&joined);
    code.follow(found);
    let number = code.put(LOAD, 0, 0, NUMBER);
    let kill = code.answer(libc::SECCOMP_RET_KILL_PROCESS);
    code.decide(IF_EQUAL, ARCHITECTURE, number, kill);
    code.put(LOAD, 0, 0, ARCH);
    code.instructions.reverse();
    code.instructions
}

/// Instructions from the last to the first. Jumps lead onwards only, so what one leads to is there already,
/// and answers are there once for all who give them: the kernel compiles a program at each installation.
#[derive(Default)]
struct Backwards {
    instructions: Vec<u64>,
    /// What is answered, and where.
    answers: Vec<(u32, usize)>,
}

/// An instruction, counted from the program's end.
type Place = usize;

/// How far a conditional jump leads.
const REACH: usize = u8::MAX as usize;

impl Backwards {
    fn put(&mut self, operation: u16, then: usize, otherwise: usize, value: u32) -> Place {
        self.instructions.push(instruction(operation, then as u8, otherwise as u8, value));
        self.instructions.len() - 1
    }

    /// How many instructions the next one skips to get there.
    fn distance(&self, place: Place) -> usize {
        self.instructions.len() - 1 - place
    }

    /// Somewhere within `reach` from where `place` is gone on with.
    fn near(&mut self, place: Place, reach: usize) -> Place {
        match self.distance(place) {
            distance if distance <= reach => place,
            distance => self.put(JUMP, 0, 0, distance as u32),
        }
    }

    /// The next instruction to be put goes on at `place`.
    fn follow(&mut self, place: Place) {
        self.near(place, 0);
    }

    /// The next instruction goes to one or the other.
    fn decide(&mut self, operation: u16, value: u32, then: Place, otherwise: Place) -> Place {
        // One less, for the other may be brought near behind it.
        let then = self.near(then, REACH - 1);
        let otherwise = self.near(otherwise, REACH);
        self.put(operation, self.distance(then), self.distance(otherwise), value)
    }

    fn answer(&mut self, value: u32) -> Place {
        let known = self.answers.iter().rev().find(|(answer, _)| *answer == value);
        if let Some((_, place)) = known.filter(|(_, place)| self.distance(*place) < REACH) {
            return *place;
        }
        let place = self.put(RETURN, 0, 0, value);
        self.answers.push((value, place));
        place
    }

    /// A search for the range of the number in the accumulator.
    fn search(&mut self, ranges: &[(u32, Action)]) -> Place {
        let (below, above) = ranges.split_at(ranges.len() / 2);
        let Some((first, action)) = above.first() else { return self.answer(errno(libc::ENOSYS)) };
        if below.is_empty() {
            return self.act(*action);
        }
        let (above, below) = (self.search(above), self.search(below));
        self.decide(IF_AT_LEAST, *first, above, below)
    }

    fn act(&mut self, action: Action) -> Place {
        let (argument, tests): (u32, Vec<(u16, u32, bool)>) = match action {
            Action::Allow => return self.answer(ALLOW),
            Action::Errno(number) => return self.answer(errno(number)),
            Action::RefuseBits { argument, bits } => (argument, vec![(IF_BITS, bits, false)]),
            Action::RefuseValue { argument, value } => (argument, vec![(IF_EQUAL, value, false)]),
            Action::OnlyValues { argument, values } => {
                (argument, values.iter().map(|value| (IF_EQUAL, *value, true)).collect())
            }
        };
        let (refused, allowed) = (self.answer(errno(libc::EPERM)), self.answer(ALLOW));
        let meets_allowed = tests.iter().any(|(_, _, allows)| *allows);
        let mut next = if meets_allowed { refused } else { allowed };
        for (operation, value, allows) in tests.into_iter().rev() {
            let met = if allows { allowed } else { refused };
            next = self.decide(operation, value, met, next);
        }
        self.follow(next);
        self.put(LOAD, 0, 0, low_half(argument))
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
