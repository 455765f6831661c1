//! What an instance does that wants to spoil the run: it costs its own rows, and no other's.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guest::Message;
use guest::probe::{Ending, Fact, MemoryKind, Observation, Request};
use runtime::container::ContainerBackend;
use runtime::image::Image;
use runtime::process::ProcessBackend;
use runtime::watch::Watch;
use runtime::{Backend, RunContext};

use super::check::{Check, Company, Finding, Scene};
use super::kind::Kind;
use super::list;
use super::nonce::Plots;
use super::run::{Field, Outcomes, Subject, jobs};
use crate::Stop;
use crate::testing::clear;

/// The most this program may come to hold, whatever it is told.
const MOST_HELD_BYTES: u64 = 700 << 20;

/// Asks something that has no answer anybody should believe.
const fn hostile(id: &'static str, look: fn(&Scene<'_>) -> Vec<Request>) -> Check {
    Check { id, claim: "ns-pid", question: "none", source: "none", look: Some(look), ..Check::NOTHING }
}

static HOSTILE: [Check; 8] = [
    hostile("bomb", |_| vec![Request::ForkBomb { most: 400 }]),
    hostile("memory", |_| vec![Request::Hog { kind: MemoryKind::Anonymous, bytes: 256 << 20 }]),
    hostile("descriptors", |_| vec![Request::OpenMany { count: 1_000_000 }]),
    hostile("crash", |_| vec![Request::Crash { signal: 11 }]),
    hostile("forged", |_| vec![Request::Shout { text: forged(), bytes: 1 << 20 }]),
    hostile("failure", |_| vec![shout(&Message::Failed { error: "all is lost".into() })]),
    hostile("flood", |_| vec![Request::Shout { text: format!("{}\n", "x".repeat(30_000)), bytes: 1 << 30 }]),
    hostile("silence", |_| vec![Request::Hang]),
];

/// A message as from the guest program itself.
fn shout(message: &Message) -> Request {
    Request::Shout { text: String::from_utf8_lossy(&message.encode()).into_owned(), bytes: 1 }
}

/// Answers to other runs, answers to nothing, halves of messages.
fn forged() -> String {
    let answer = |index| {
        let message = Message::Observation(Observation {
            nonce: "0123456789abcdef0123456789abcdef".into(),
            index,
            assertions: 2,
            ending: Ending::Done,
            facts: [("errno", 0), ("own", 1)]
                .map(|(name, value)| (name.to_owned(), Fact::Number(value)))
                .into(),
        });
        String::from_utf8_lossy(&message.encode()).into_owned()
    };
    let whole: String = [0, 1, 2, u32::MAX].into_iter().map(answer).collect();
    let half = &whole[..whole.len() / 7];
    format!("{whole}{half}\n\u{1e}{{\"observation\":\n\u{1e}[[[[\n{}", "[".repeat(5000))
}

/// All outcomes of `checks` on a backend.
fn outcomes(backend: &dyn Backend, checks: &[&'static Check]) -> Outcomes {
    let folder = tempfile::tempdir().expect("folder");
    let context = RunContext {
        run_id: format!("hostile-{}", std::process::id()),
        state_dir: folder.path().into(),
        cache_dir: folder.path().into(),
        watch: Arc::new(Watch::start().expect("watch")),
        network: Arc::default(),
    };
    let name = backend.id();
    let prepared = backend.prepare(&context, &Image::builtin()).expect("prepared");
    let subjects = [Subject { kind: Kind::of(&name), name, prepared, backend: None }];
    let field = Field {
        subjects: &subjects,
        checks,
        timeout: Duration::from_secs(60),
        plots: &Plots { folder: folder.path().into(), group: format!("bench/{}", context.run_id) },
        stop: &Stop::new(),
        rounds: AtomicU32::new(0),
        origin: None,
        troubles: Mutex::default(),
    };
    let outcomes = field.carry_out(jobs(0, checks, |_| true));
    drop(subjects);
    clear(&context);
    outcomes
}

fn held_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

#[test]
fn a_hostile_instance_costs_its_own_rows_only() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not running as root, so no world of its own can be made");
        return;
    }
    let good: Vec<&'static Check> = list::all()
        .into_iter()
        .filter(|check| ["ns-uts", "ns-ipc", "ns-pid"].contains(&check.claim))
        .collect();
    // The last two take until their deadlines: once is enough.
    for (backend, is_open, tried) in
        [(&ProcessBackend as &dyn Backend, true, &HOSTILE[..6]), (&ContainerBackend, false, &HOSTILE)]
    {
        let all: Vec<&'static Check> = tried.iter().chain(good.iter().copied()).collect();
        let found = outcomes(backend, &all);
        for (at, check) in all.iter().enumerate() {
            let outcome = found.get(&(0, at)).unwrap_or_else(|| panic!("{}: no outcome", check.id));
            let told = format!("{} on {}: {outcome:?}", check.id, backend.id());
            if at < tried.len() {
                assert!(matches!(outcome.finding, Finding::Broken(_)), "{told}");
                continue;
            }
            match &outcome.finding {
                Finding::Open(_) => assert!(is_open, "{told}"),
                Finding::Apart(_) => assert!(!is_open, "{told}"),
                _ => panic!("{told}"),
            }
            assert!(outcome.answered.is_ok() && outcome.witness.is_ok(), "{told}");
        }
    }
    assert!(good.len() >= 15 && good.iter().any(|check| check.company == Company::Together));
    assert!(held_bytes() < MOST_HELD_BYTES, "{} bytes were held", held_bytes());
}
