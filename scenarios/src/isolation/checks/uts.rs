//! UTS namespace: host and domain name (uts_namespaces(7)).
//!
//! The right to set a name may be missing inside, rightly; then the canary is the name the instance has
//! from its start. So a plant is [SetNames, Names], and what counts is what Names says.

use guest::probe::Request;
use nix::unistd::{gethostname, sethostname};
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Company, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::nonce::Nonce;

const CLAIM: &str = "ns-uts";
const SOURCE: &str = "uts_namespaces(7), uname(2)";
const TWIN: Twin = Twin::Without(&[Mechanism::UtsNamespace]);

pub(super) const ALL: &[Check] = &[
    Check {
        id: "uts-sibling",
        claim: CLAIM,
        question: "does a sibling have the host name of another instance?",
        source: SOURCE,
        company: Company::Alone,
        plant: Some(set),
        look: Some(|_| vec![Request::Names]),
        witness: has_name,
        judge: |scene| {
            Ok(judge::differs("host name", scene.look(0)?.text("host")?, scene.plant(1)?.text("host")?))
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "uts-host-in",
        claim: CLAIM,
        question: "is the host's own name seen inside?",
        source: SOURCE,
        company: Company::Alone,
        on_host: Some(HostName::plant),
        look: Some(|_| vec![Request::Names]),
        judge: |scene| Ok(judge::differs("host name", scene.look(0)?.text("host")?, &scene.host()?.text())),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "uts-inside-out",
        claim: CLAIM,
        question: "does the host have the name of an instance?",
        source: SOURCE,
        company: Company::Alone,
        plant: Some(set),
        witness: has_name,
        judge: |scene| {
            let host = gethostname().map_err(|error| Missing(format!("the host's name: {error}")))?;
            Ok(judge::differs("host name", &host.to_string_lossy(), scene.plant(1)?.text("host")?))
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "uts-domain-sibling",
        claim: CLAIM,
        question: "does a sibling have the domain name another instance has set?",
        source: "uts_namespaces(7), setdomainname(2)",
        company: Company::Alone,
        plant: Some(set),
        look: Some(|_| vec![Request::Names]),
        witness: has_name,
        judge: |scene| {
            let (plant, look) = (scene.plant(1)?, scene.look(0)?);
            if plant.text("domain")? != scene.nonce.word() {
                return Ok(match look.text("host")? == plant.text("host")? {
                    true => Finding::Open("setting is refused, and both have the same host name".into()),
                    false => Finding::Apart("setting is refused, and the host names differ".into()),
                });
            }
            Ok(judge::differs("domain name", look.text("domain")?, plant.text("domain")?))
        },
        twin: TWIN,
        ..Check::NOTHING
    },
];

fn set(nonce: &Nonce) -> Vec<Request> {
    vec![Request::SetNames { host: nonce.word(), domain: nonce.word() }, Request::Names]
}

/// The canary is a name at all.
fn has_name(scene: &Scene<'_>) -> Result<String, String> {
    let name = scene.plant(1).and_then(|seen| seen.text("host")).map_err(|Missing(what)| what)?;
    match name {
        "" | "(none)" => Err(format!("the instance's name is {name:?}, no canary")),
        _ => Ok(format!("the instance is called {name}")),
    }
}

/// The name of the world's host, set to a nonce.
struct HostName(String);

impl HostName {
    fn plant(nonce: &Nonce) -> HostPlant {
        sethostname(nonce.word())
            .map_err(|error| Absent(format!("the host's name cannot be set: {error}")))?;
        Ok(Box::new(HostName(nonce.word())))
    }
}

impl OnHost for HostName {
    fn witness(&self) -> Result<String, String> {
        match gethostname() {
            Ok(name) if name.to_string_lossy() == self.0 => Ok(format!("the host is called {}", self.0)),
            other => Err(format!("the host is called {other:?}, not {}", self.0)),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
