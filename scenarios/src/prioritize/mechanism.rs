//! What is tried.

use serde::{Deserialize, Serialize};

/// Something that limits, shares out, counts or stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// A part of a processor, and no more.
    CpuQuota,
    /// Parts in proportion where there is competition, and no effect where there is none.
    CpuWeight,
    /// Memory, and the end of who takes more, inside only.
    MemoryLimit,
    /// Processes, exactly.
    PidsLimit,
    /// Bytes a second to a block device.
    IoLimit,
    /// Standing still, and going on.
    Freeze,
    /// Processor time, memory and bytes written, against the truth.
    Accounting,
    /// What a victim feels of a hog, with limits on it and without.
    Hog,
    /// Saved and gone on with elsewhere: downtime and bytes.
    Checkpoint,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 9] = [
        Mechanism::CpuQuota,
        Mechanism::CpuWeight,
        Mechanism::MemoryLimit,
        Mechanism::PidsLimit,
        Mechanism::IoLimit,
        Mechanism::Freeze,
        Mechanism::Accounting,
        Mechanism::Hog,
        Mechanism::Checkpoint,
    ];

    /// As in plan and rows.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::CpuQuota => "cpu-quota",
            Mechanism::CpuWeight => "cpu-weight",
            Mechanism::MemoryLimit => "memory-limit",
            Mechanism::PidsLimit => "pids-limit",
            Mechanism::IoLimit => "io-limit",
            Mechanism::Freeze => "freeze",
            Mechanism::Accounting => "accounting",
            Mechanism::Hog => "hog",
            Mechanism::Checkpoint => "checkpoint",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_plan() {
        for mechanism in Mechanism::ALL {
            let word = serde_json::to_value(mechanism).expect("a word");
            assert_eq!(word, mechanism.name());
        }
    }
}
