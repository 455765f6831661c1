//! A dossier: several runs, one verdict a claim, one page.

mod fixture;

use results::claims::Verdict;
use results::dossier::{self, DOSSIER_JSON, DOSSIER_SCHEMA_VERSION, Dossier, LoadedDossier, Part};

fn dossier(parts: &[(&str, &str, &str)]) -> Dossier {
    let part = |(name, scenario, reason): &(&str, &str, &str)| Part {
        name: (*name).into(),
        scenario: (*scenario).into(),
        question: format!("what of {name} <&>"),
        reason: (*reason).into(),
    };
    Dossier {
        schema_version: DOSSIER_SCHEMA_VERSION,
        id: "abc".into(),
        began_at: "2026-01-02T03:04:05Z".into(),
        argv: vec!["bench".into(), "run".into(), "claims".into()],
        parts: parts.iter().map(part).collect(),
        complete: true,
    }
}

#[test]
fn a_page_has_every_claim_its_evidence_and_what_was_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let parts = [("01-burst", "boot-storm", ""), ("02-isolation", "isolation", "needs root <here>")];
    results::write_json(&path.join(DOSSIER_JSON), &dossier(&parts)).unwrap();
    fixture::write(&path.join("01-burst"), &fixture::run()).unwrap();
    let loaded = dossier::write_all(path).unwrap();
    assert_eq!(loaded.decisions.claims.len(), results::claims::CLAIMS.len());
    let of = |id: &str| &loaded.decisions.claims.iter().find(|one| one.finding.id == id).unwrap().finding;
    assert_eq!(of("no-boot-time").verdict, Verdict::Refuted);
    assert!(of("no-boot-time").because.contains("longer"));
    assert!(matches!(&of("ns-pid").verdict, Verdict::Undetermined(why) if why.contains("needs root")));
    assert!(
        matches!(&of("vm-density").verdict, Verdict::Undetermined(why) if why.contains("bench run density"))
    );

    let html = std::fs::read_to_string(path.join("report.html")).unwrap();
    for claim in results::claims::CLAIMS {
        assert!(html.contains(&format!("id=\"claim-{}\"", claim.id)), "{}", claim.id);
    }
    // Every link within the page leads somewhere, every other to a file that is there.
    for link in html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        match link.strip_prefix('#') {
            Some(id) => assert!(html.contains(&format!("id=\"{id}\"")), "{link}"),
            None => assert!(path.join(link.split('#').next().unwrap()).exists(), "{link}"),
        }
    }
    assert!(html.contains("needs root &lt;here&gt;") && !html.contains("<here>"));
    assert!(!html.contains("<script>alert"), "a hostile text got through");
    assert!(path.join("claims.json").exists() && path.join("01-burst/report.html").exists());
}

#[test]
fn what_is_no_dossier_or_wants_out_of_its_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |text: &str| {
        std::fs::write(path.join(DOSSIER_JSON), text).unwrap();
        match LoadedDossier::load(path) {
            Ok(_) => panic!("{text} is taken"),
            Err(error) => error.to_string(),
        }
    };
    assert!(refused("{").contains("no description of a dossier"));
    assert!(refused("{\"schema_version\": 99}").contains("99"));
    let outside = serde_json::to_string(&dossier(&[("../01", "boot-storm", "")])).unwrap();
    assert!(refused(&outside).contains("\"../01\""), "{outside}");
}
