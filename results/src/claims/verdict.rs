//! Verdicts, and which of them a handicap bars.

use serde::{Deserialize, Serialize};

/// What the evidence says of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "verdict", content = "why", rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Supported,
    /// It does not hold.
    Refuted,
    /// It holds for some of what was tried and not for the rest.
    Mixed,
    /// This run cannot tell, and why.
    Undetermined(String),
}

impl Default for Verdict {
    fn default() -> Verdict {
        Verdict::Undetermined("nothing was tried".into())
    }
}

impl Verdict {
    /// The word alone.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::Refuted => "refuted",
            Verdict::Mixed => "mixed",
            Verdict::Undetermined(_) => "undetermined",
        }
    }

    /// Whether it says anything of the claim.
    pub fn tells(&self) -> bool {
        !matches!(self, Verdict::Undetermined(_))
    }

    /// One verdict from those on the parts: agreement keeps it, disagreement is `mixed`, and
    /// parts that cannot tell count only where none can.
    pub fn combine(parts: Vec<Verdict>) -> Verdict {
        let told: Vec<&Verdict> = parts.iter().filter(|part| part.tells()).collect();
        match told.first() {
            Some(first) if told.iter().all(|verdict| verdict == first) => (*first).clone(),
            Some(_) => Verdict::Mixed,
            None => {
                parts.into_iter().next().unwrap_or_else(|| Verdict::Undetermined("nothing was tried".into()))
            }
        }
    }
}

/// Which way VM figures are off on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// Hardware virtualization: no handicap.
    Hardware,
    /// Guests are interpreted (TCG): VM figures are too slow and cost too much host CPU.
    Interpreted,
    /// Not recorded: nothing about a VM's speed can be said.
    Unknown,
}

impl Accelerator {
    /// From the host's property `accelerator` in `run.json`.
    pub fn from_property(value: Option<&serde_json::Value>) -> Accelerator {
        match value.and_then(serde_json::Value::as_str) {
            Some("kvm") => Accelerator::Hardware,
            Some("tcg") => Accelerator::Interpreted,
            _ => Accelerator::Unknown,
        }
    }

    /// Lets a verdict that speaks against VMs' speed or cost pass only where VMs had no handicap.
    /// Evidence in their favour is not given to this: it holds a fortiori.
    pub fn admit_against_vms(self, verdict: Verdict) -> Verdict {
        match self {
            Accelerator::Hardware => verdict,
            Accelerator::Interpreted => Verdict::Undetermined(
                "accelerator: guests were interpreted (TCG), which makes VMs slower than they are".into(),
            ),
            Accelerator::Unknown => Verdict::Undetermined("accelerator: not recorded".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handicap_bars_only_what_it_could_have_made() {
        let unknown = Accelerator::from_property(None);
        let tcg = Accelerator::from_property(Some(&"tcg".into()));
        let kvm = Accelerator::from_property(Some(&"kvm".into()));
        assert!(
            matches!(tcg.admit_against_vms(Verdict::Supported), Verdict::Undetermined(why) if why.starts_with("accelerator"))
        );
        assert!(matches!(unknown.admit_against_vms(Verdict::Supported), Verdict::Undetermined(_)));
        assert_eq!(kvm.admit_against_vms(Verdict::Supported), Verdict::Supported);
    }

    #[test]
    fn parts_that_disagree_are_mixed_and_silence_gives_way() {
        let silent = Verdict::Undetermined("why".into());
        assert_eq!(Verdict::combine(vec![Verdict::Refuted, Verdict::Supported]), Verdict::Mixed);
        assert_eq!(Verdict::combine(vec![silent.clone(), Verdict::Refuted]), Verdict::Refuted);
        assert_eq!(Verdict::combine(vec![silent.clone()]), silent);
    }
}
