//! One verdict a claim from what the parts of a dossier say of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Dossier, LoadedPart};
use crate::claims::{CLAIMS, Claim, Finding, Verdict};

/// What was decided of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// The verdict of all parts together. Its evidence is that of the parts, headed by those that tell.
    #[serde(flatten)]
    pub finding: Finding,
    /// What each part says.
    pub parts: Vec<PartFinding>,
}

/// What one part says of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartFinding {
    /// Name of the part.
    pub part: String,
    /// What it says.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Decides every claim of the catalogue.
pub fn decide(dossier: &Dossier, parts: &[LoadedPart]) -> Vec<Decided> {
    let decided = |claim: &Claim| {
        let mut of_claim: Vec<PartFinding> = Vec::new();
        for part in parts {
            let findings = part.summary.claims.iter().filter(|finding| finding.id == claim.id);
            of_claim.extend(
                findings
                    .map(|finding| PartFinding { part: part.part.name.clone(), finding: finding.clone() }),
            );
        }
        together(claim, of_claim, dossier)
    };
    CLAIMS.iter().map(decided).collect()
}

fn together(claim: &Claim, mut parts: Vec<PartFinding>, dossier: &Dossier) -> Decided {
    let mut finding = claim.unjudged();
    if parts.is_empty() {
        let missing = dossier
            .parts
            .iter()
            .find(|part| claim.scenarios.contains(&part.scenario.as_str()) && !part.reason.is_empty());
        if let Some(part) = missing {
            finding.verdict = Verdict::Undetermined(format!("{}: {}", part.name, part.reason));
        }
        return Decided { finding, parts };
    }
    // Where none tells: what no further run on this host would change is the reason worth knowing.
    let barred = |part: &PartFinding| matches!(&part.finding.verdict, Verdict::Undetermined(why) if why.starts_with("accelerator"));
    parts.sort_by_key(|part| (!part.finding.verdict.tells(), !barred(part)));
    finding.verdict = Verdict::combine(parts.iter().map(|part| part.finding.verdict.clone()).collect());
    let agreeing = parts.iter().find(|part| part.finding.verdict == finding.verdict);
    finding.because = match agreeing {
        Some(part) => part.finding.because.clone(),
        None => {
            let said = parts.iter().filter(|part| part.finding.verdict.tells());
            let said = said.map(|part| format!("{} by {}", part.finding.verdict.word(), part.part));
            said.collect::<Vec<_>>().join(", ")
        }
    };
    finding.evidence = parts.iter().flat_map(|part| part.finding.evidence.iter().cloned()).collect();
    Decided { finding, parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::claim;
    use crate::dossier::{DOSSIER_SCHEMA_VERSION, Part};

    fn dossier(reason: &str) -> Dossier {
        Dossier {
            schema_version: DOSSIER_SCHEMA_VERSION,
            id: "x".into(),
            began_at: String::new(),
            argv: Vec::new(),
            parts: vec![Part {
                name: "08-isolation".into(),
                scenario: "isolation".into(),
                question: String::new(),
                reason: reason.into(),
            }],
            complete: true,
        }
    }

    fn said(part: &str, verdict: Verdict) -> PartFinding {
        let finding = Finding {
            id: "no-boot-time".into(),
            because: format!("because of {part}"),
            evidence: vec![format!("evidence of {part}")],
            verdict,
            ..Finding::default()
        };
        PartFinding { part: part.into(), finding }
    }

    #[test]
    fn parts_that_tell_come_first_and_those_that_disagree_are_mixed() {
        let claim = claim("no-boot-time").unwrap();
        let silent = said("a", Verdict::Undetermined("too few".into()));
        let agreed = together(claim, vec![silent.clone(), said("b", Verdict::Refuted)], &dossier(""));
        assert_eq!(agreed.finding.verdict, Verdict::Refuted);
        assert_eq!((agreed.finding.because.as_str(), agreed.parts.len()), ("because of b", 2));
        assert_eq!(agreed.finding.evidence, ["evidence of b", "evidence of a"]);
        let barred = said("d", Verdict::Undetermined("accelerator: interpreted".into()));
        let untold =
            together(claim, vec![said("a", Verdict::Undetermined("too few".into())), barred], &dossier(""));
        assert_eq!(untold.finding.verdict, Verdict::Undetermined("accelerator: interpreted".into()));
        let torn = [said("b", Verdict::Refuted), said("c", Verdict::Supported)];
        let torn = together(claim, torn.to_vec(), &dossier(""));
        assert_eq!(torn.finding.verdict, Verdict::Mixed);
        assert_eq!(torn.finding.because, "refuted by b, supported by c");
    }

    #[test]
    fn a_part_that_could_not_be_carried_out_says_why() {
        let of_checks = claim("ns-pid").unwrap();
        let skipped = together(of_checks, Vec::new(), &dossier("needs root"));
        assert_eq!(skipped.finding.verdict, Verdict::Undetermined("08-isolation: needs root".into()));
        let absent = together(claim("vm-density").unwrap(), Vec::new(), &dossier("needs root"));
        assert!(
            matches!(absent.finding.verdict, Verdict::Undetermined(why) if why.contains("bench run density"))
        );
    }
}
