//! Which device, which access, allowed or not.

use std::fmt;

/// One rule (OCI: `linux.resources.devices`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allowed or denied.
    pub allow: bool,
    /// Kind of device.
    pub kind: DeviceKind,
    /// Major number; `None` = all.
    pub major: Option<u32>,
    /// Minor number; `None` = all.
    pub minor: Option<u32>,
    /// What is allowed or denied.
    pub access: DeviceAccess,
}

/// Kinds of device files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Both.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// A set of accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAccess(pub(super) u8);

// As in include/uapi/linux/bpf.h, BPF_DEVCG_ACC_*.
const LETTERS: [(char, u8); 3] = [('m', 1), ('r', 2), ('w', 4)];

impl DeviceAccess {
    /// Making, reading and writing.
    pub const ALL: DeviceAccess = DeviceAccess(7);

    /// Reads letters of `rwm`; none = all, as in OCI.
    ///
    /// # Errors
    /// The first character that is none of them.
    pub fn from_letters(text: &str) -> Result<DeviceAccess, char> {
        let mut bits = 0;
        for letter in text.chars() {
            bits |= LETTERS.iter().find(|(known, _)| *known == letter).ok_or(letter)?.1;
        }
        Ok(if bits == 0 { DeviceAccess::ALL } else { DeviceAccess(bits) })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0).try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

impl DeviceRule {
    /// What OCI runtimes allow beside what is asked for: making any device file (opening it is
    /// another matter), null, zero, full, random, urandom, tty, ptmx and pts.
    pub fn oci_defaults() -> Vec<DeviceRule> {
        let rule = |kind, major, minor, access| DeviceRule { allow: true, kind, major, minor, access };
        let make = DeviceAccess(1);
        let mut rules = vec![
            rule(DeviceKind::Char, None, None, make),
            rule(DeviceKind::Block, None, None, make),
            // /dev/pts/*
            rule(DeviceKind::Char, Some(136), None, DeviceAccess::ALL),
        ];
        let known = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
        rules.extend(
            known.map(|(major, minor)| rule(DeviceKind::Char, Some(major), Some(minor), DeviceAccess::ALL)),
        );
        rules
    }

    /// Whether it decides for every device and access.
    pub(super) fn is_whole(&self) -> bool {
        self.kind == DeviceKind::All
            && self.major.is_none()
            && self.minor.is_none()
            && self.access == DeviceAccess::ALL
    }

    /// Whether both can be about the same access to the same device.
    pub(super) fn overlaps(&self, other: &DeviceRule) -> bool {
        let meet = |one: Option<u32>, two: Option<u32>| one.is_none() || two.is_none() || one == two;
        let kinds = self.kind == DeviceKind::All || other.kind == DeviceKind::All || self.kind == other.kind;
        kinds
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access.0 & other.access.0 != 0
    }

    /// The line for `devices.allow` and `devices.deny`. There the letter `a` stands for all
    /// accesses to all devices, whatever follows it: what is meant otherwise takes two lines.
    pub(super) fn v1_line(&self) -> String {
        let kinds: &[char] = match self.kind {
            DeviceKind::All => &['b', 'c'],
            DeviceKind::Block => &['b'],
            DeviceKind::Char => &['c'],
        };
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let lines = kinds
            .iter()
            .map(|kind| format!("{kind} {}:{} {}", number(self.major), number(self.minor), self.access));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.allow { "allow" } else { "deny" };
        write!(f, "{word} {}", self.v1_line().replace('\n', ", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        assert_eq!(DeviceAccess::from_letters("rwm"), Ok(DeviceAccess::ALL));
        assert_eq!(DeviceAccess::from_letters(""), Ok(DeviceAccess::ALL));
        assert_eq!(DeviceAccess::from_letters("wm").map(|access| access.to_string()), Ok("mw".into()));
        assert_eq!(DeviceAccess::from_letters("rx"), Err('x'));
    }

    #[test]
    fn only_rules_about_the_same_thing_overlap() {
        let rule = |major, minor, access| DeviceRule {
            allow: true,
            kind: DeviceKind::Char,
            major,
            minor,
            access: DeviceAccess(access),
        };
        assert!(rule(Some(1), None, 7).overlaps(&rule(Some(1), Some(3), 2)));
        assert!(!rule(Some(1), None, 7).overlaps(&rule(Some(2), None, 7)));
        assert!(!rule(None, None, 1).overlaps(&rule(None, None, 6)));
        let block = DeviceRule { kind: DeviceKind::Block, ..rule(None, None, 7) };
        assert!(!block.overlaps(&rule(None, None, 7)));
        assert_eq!(block.v1_line(), "b *:* mrw");
    }
}
