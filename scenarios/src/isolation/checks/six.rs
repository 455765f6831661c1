//! Which kinds of namespace there are, and which an instance got new (namespaces(7)).
//!
//! By inode numbers, which say nothing of a machine: the initial namespaces of every kernel have the
//! same. So these are for what runs on the host's kernel only.

use guest::probe::Request;
use runtime::container::Mechanism;

use super::super::check::{Check, Expect, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::kind::Kind;

const CLAIM: &str = "ns-six";

macro_rules! kinds {
    ($($id:literal $kind:literal $expect:expr, $without:expr;)*) => {
        pub(super) const ALL: &[Check] = &[$(Check {
            id: $id,
            claim: CLAIM,
            question: concat!("is an instance in the host's ", $kind, " namespace?"),
            source: "namespaces(7): /proc/self/ns; ioctl_nsfs(2)",
            expect: $expect,
            on_host: Some(|_| Own::plant(concat!("/proc/thread-self/ns/", $kind))),
            look: Some(|_| vec![Request::Stat { path: concat!("/proc/self/ns/", $kind).into() }]),
            judge: compare,
            twin: Twin::Without($without),
            ..Check::NOTHING
        }),*];
    };
}

kinds! {
    "six-pid" "pid" new, &[Mechanism::PidNamespace];
    "six-net" "net" new, &[Mechanism::NetworkNamespace];
    "six-uts" "uts" new, &[Mechanism::UtsNamespace];
    "six-mnt" "mnt" new, &[Mechanism::MountNamespace, Mechanism::UserNamespace];
    "six-ipc" "ipc" new, &[Mechanism::IpcNamespace];
    "six-user" "user" new, &[Mechanism::UserNamespace];
    "six-cgroup" "cgroup" new_or_engines, &[Mechanism::CgroupNamespace];
    "six-time" "time" new_or_engines, &[Mechanism::TimeNamespace];
}

fn new(kind: Kind) -> Expect {
    match kind {
        Kind::Process => Expect::Open,
        Kind::Machine | Kind::Sandbox => Expect::Pointless("inode numbers of another kernel say nothing"),
        _ => Expect::Apart,
    }
}

/// Younger than most bundles: what these ask for decides.
fn new_or_engines(kind: Kind) -> Expect {
    match kind {
        Kind::Runtime | Kind::Engine => {
            Expect::Shared("the bundle need not ask for one, and usually does not")
        }
        _ => new(kind),
    }
}

fn compare(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let (inside, host) = (scene.look(0)?.text("link")?, scene.host()?.text());
    Ok(match inside == host {
        true => Finding::Open(format!("{inside} on both sides")),
        false => Finding::Apart(format!("{inside} inside, {host} outside")),
    })
}

/// The namespace of the host.
struct Own {
    path: &'static str,
    text: String,
}

impl Own {
    fn plant(path: &'static str) -> HostPlant {
        match std::fs::read_link(path) {
            Ok(link) => Ok(Box::new(Own { path, text: link.display().to_string() })),
            Err(error) => Err(super::super::check::Absent(format!("{path}: {error}"))),
        }
    }
}

impl OnHost for Own {
    fn witness(&self) -> Result<String, String> {
        match std::fs::read_link(self.path) {
            Ok(link) if link.display().to_string() == self.text => {
                Ok(format!("the host is in {}", self.text))
            }
            other => Err(format!("{}: {other:?}", self.path)),
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}
