//! What a check is: data, and the functions that differ from check to check.

use std::path::Path;

use std::sync::Arc;

use guest::probe::{Ending, Fact, Observation, Request};
use runtime::container::Mechanism;
use runtime::network::Bridge;
use runtime::{Instance, Limits};

use super::kind::Kind;
use super::layers::Member;
use super::nonce::Nonce;

/// One question.
pub struct Check {
    /// `topic-what`; also the name on the command line.
    pub id: &'static str,
    /// The claim it speaks to.
    pub claim: &'static str,
    /// The question, answered by "no" where the instance is apart.
    pub question: &'static str,
    /// Where it is written that the kernel behaves so.
    pub source: &'static str,
    /// What is right for a kind of backend.
    pub expect: fn(Kind) -> Expect,
    /// With whom it can share instances.
    pub company: Company,
    /// Limits of its instances; such a check shares them with nobody. A bare process has none, and
    /// where a backend cannot be asked for one, that is the outcome: `n/a`.
    pub limits: Option<fn(Role) -> Limits>,
    /// What the host plants before anything is started.
    pub on_host: Option<fn(&Nonce) -> HostPlant>,
    /// The same at a bridge, which the instances of such a check are at too: `--network bridge`, whatever the
    /// run's own network is. They are others than those of checks without.
    pub at_bridge: Option<fn(&Nonce, &Arc<Bridge>) -> HostPlant>,
    /// Whether an instance looks, and ends, before anything is planted inside.
    pub looks_before: bool,
    /// What instance A is asked.
    pub plant: Option<fn(&Nonce) -> Vec<Request>>,
    /// What instance B is asked; it can see what is planted.
    pub look: Option<fn(&Scene<'_>) -> Vec<Request>>,
    /// Proves that the plants are there, before and after the look.
    pub witness: fn(&Scene<'_>) -> Result<String, String>,
    /// What was found.
    pub judge: fn(&Scene<'_>) -> Result<Finding, Missing>,
    /// In place of `judge`, where something has to be done to instance B: it is paused, stopped, measured.
    /// Such a check shares it with nobody.
    pub act: Option<Act>,
    /// The image its instance is started from in place of the run's. Such a check has no plant and no look:
    /// whether an instance starts is for its backend to decide, what that does outside is what is found.
    pub image: Option<HostileImage>,
    /// What must leak.
    pub twin: Twin,
}

impl Check {
    /// A check that does nothing: the rest of a check's fields.
    pub const NOTHING: Check = Check {
        id: "",
        claim: "",
        question: "",
        source: "",
        expect: Expect::usual,
        company: Company::Together,
        limits: None,
        on_host: None,
        at_bridge: None,
        looks_before: false,
        plant: None,
        look: None,
        witness: |scene| scene.plants_stand(),
        judge: |_| Err(Missing("the check has no judge".into())),
        act: None,
        image: None,
        twin: Twin::Process,
    };
}

/// Does something to instance B and says what was found by it.
pub type Act = fn(&Scene<'_>, &mut dyn Instance) -> Result<Finding, Missing>;

/// What leads astray who sets up an instance of it.
#[derive(Clone, Copy)]
pub struct HostileImage {
    /// What it is made of.
    pub made_of: MadeOf,
    /// Where nothing may change.
    pub watched: Watched,
}

/// What a hostile image is made of, in each case given a folder of the host's where nothing may change.
#[derive(Clone, Copy)]
pub enum MadeOf {
    /// Files.
    Files {
        /// Makes them in the first folder.
        fill: fn(&Path, &Path) -> std::io::Result<()>,
        /// What to make in it, below the folder, as whoever follows its links does.
        careless: &'static str,
        /// Two of them that change places again and again while instances are started.
        exchanged: Option<[&'static str; 2]>,
    },
    /// Layers, which our own store has to unpack.
    Layers(fn(&str) -> Vec<Vec<Member>>),
}

/// What of the host an image's instance may not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A folder beside the image's files.
    Outside,
    /// The image's files, which an instance that must start changes; a sibling must not see it.
    Files,
}

/// What is right for a kind of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing is seen, reached or changed.
    Apart,
    /// Nothing keeps it from it, as of a bare process: the floor of the check.
    Open,
    /// It is so by design of this kind, and why.
    Shared(&'static str),
    /// The question makes no sense for this kind, and why.
    Pointless(&'static str),
}

impl Expect {
    /// A bare process is open, everything else apart.
    pub fn usual(kind: Kind) -> Expect {
        if kind == Kind::Process { Expect::Open } else { Expect::Apart }
    }

    /// What shares the host's kernel is open to it by design.
    pub fn of_kernel(kind: Kind, why: &'static str) -> Expect {
        match kind {
            Kind::Process => Expect::Open,
            _ if kind.shares_kernel() => Expect::Shared(why),
            _ => Expect::Apart,
        }
    }
}

/// With whom a check can share instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// With all others of this kind.
    Together,
    /// With nobody.
    Alone,
    /// With nobody, and nothing else runs meanwhile.
    Quiet,
}

/// Which instance of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It plants and stays.
    A,
    /// It looks, before or after.
    B,
}

/// The control of a check: what must be `Open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// Our own container without these mechanisms.
    Without(&'static [Mechanism]),
    /// A bare process.
    Process,
    /// The same image, and what is made in it made without a look at where its links lead.
    Careless,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Not seen, reached or changed; what happened instead.
    Apart(String),
    /// Seen, reached or changed.
    Open(String),
    /// Refused, but not as the mechanism refuses.
    Wrong(String),
    /// The precondition is missing on this host.
    Absent(String),
    /// Something of the check did not do its work.
    Broken(String),
}

/// The precondition of a plant is missing on this host, as measured.
pub struct Absent(pub String);

/// What the host has planted, if it could.
pub type HostPlant = Result<Box<dyn OnHost>, Absent>;

/// A fact that a judge needs is not there.
pub struct Missing(pub String);

/// Something the host has planted. Dropping it takes it away.
pub trait OnHost {
    /// Proves that it is there now.
    ///
    /// # Errors
    /// Why it is not.
    fn witness(&self) -> Result<String, String>;

    /// A number the look needs: a process id, a port, an inode.
    fn number(&self) -> i64 {
        0
    }

    /// A text the look needs.
    fn text(&self) -> String {
        String::new()
    }

    /// What has come to the host by now, each as a text.
    fn heard(&self) -> Vec<String> {
        Vec::new()
    }

    /// An instance's `address:port`, for who speaks to it; proves that it answers.
    ///
    /// # Errors
    /// Why it does not.
    fn meet(&self, address: &str) -> Result<String, String> {
        Err(format!("nothing of the host speaks to {address}"))
    }
}

/// What a check has to judge.
pub struct Scene<'a> {
    /// Of this check in this round.
    pub nonce: &'a Nonce,
    /// Of the backend.
    pub kind: Kind,
    /// What the host has planted.
    pub on_host: Option<&'a dyn OnHost>,
    /// What the instances are at, where the check wants one.
    pub bridge: Option<&'a Bridge>,
    /// What an instance saw before anything was planted inside.
    pub before: &'a [Observation],
    /// What became of the plants.
    pub planted: &'a [Observation],
    /// What was seen.
    pub looked: &'a [Observation],
    /// Process of the host that was started for instance A.
    pub planter: Option<i32>,
    /// Process of the host that was started for instance B.
    pub looker: Option<i32>,
}

impl Scene<'_> {
    /// The answer to the `at`th request of the look.
    ///
    /// # Errors
    /// Where there is none, or the probe did not end as it should.
    pub fn look(&self, at: usize) -> Result<Seen<'_>, Missing> {
        seen("look", self.looked, at)
    }

    /// The answer to the `at`th request of the plant.
    ///
    /// # Errors
    /// As [`Scene::look`].
    pub fn plant(&self, at: usize) -> Result<Seen<'_>, Missing> {
        seen("plant", self.planted, at)
    }

    /// The answer to the `at`th request of the look before the plant.
    ///
    /// # Errors
    /// As [`Scene::look`].
    pub fn before(&self, at: usize) -> Result<Seen<'_>, Missing> {
        seen("look before", self.before, at)
    }

    /// What the host has planted.
    ///
    /// # Errors
    /// Where it has nothing.
    pub fn host(&self) -> Result<&dyn OnHost, Missing> {
        self.on_host.ok_or_else(|| Missing("the host has planted nothing".into()))
    }

    /// The usual witness: the host's plant says so itself; those inside were made without error, and the
    /// instance that holds them lives.
    ///
    /// # Errors
    /// What does not stand.
    pub fn plants_stand(&self) -> Result<String, String> {
        let mut said = Vec::new();
        if let Some(plant) = self.on_host {
            said.push(plant.witness()?);
        }
        for (at, observation) in self.planted.iter().enumerate() {
            let errno = match observation.facts.get("errno") {
                Some(Fact::Number(errno)) => *errno,
                _ => 0,
            };
            if observation.ending != Ending::Done || errno != 0 {
                return Err(format!("plant {at}: {:?}, errno {errno}", observation.ending));
            }
        }
        if let Some(pid) = self.planter {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            if !state.is_ok_and(|state| !state.contains(") Z ")) {
                return Err(format!("instance A (process {pid}) is gone"));
            }
            said.push(format!("{} plants made, instance A lives", self.planted.len()));
        }
        Ok(said.join("; "))
    }
}

fn seen<'a>(what: &str, observations: &'a [Observation], at: usize) -> Result<Seen<'a>, Missing> {
    match observations.get(at) {
        None => Err(Missing(format!("{what} {at} has no answer"))),
        Some(observation) if observation.ending != Ending::Done => {
            Err(Missing(format!("{what} {at}: {:?}", observation.ending)))
        }
        Some(observation) => Ok(Seen(observation)),
    }
}

/// The facts of an answer.
#[derive(Clone, Copy)]
pub struct Seen<'a>(pub &'a Observation);

impl<'a> Seen<'a> {
    /// A number.
    ///
    /// # Errors
    /// Where the answer has none of this name.
    pub fn number(self, name: &str) -> Result<i64, Missing> {
        match self.0.facts.get(name) {
            Some(Fact::Number(number)) => Ok(*number),
            other => Err(Missing(format!("fact {name} is {other:?}"))),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// As [`Seen::number`].
    pub fn text(self, name: &str) -> Result<&'a str, Missing> {
        match self.0.facts.get(name) {
            Some(Fact::Text(text)) => Ok(text),
            other => Err(Missing(format!("fact {name} is {other:?}"))),
        }
    }

    /// A list of names.
    ///
    /// # Errors
    /// As [`Seen::number`].
    pub fn list(self, name: &str) -> Result<&'a [String], Missing> {
        match self.0.facts.get(name) {
            Some(Fact::List(list)) => Ok(list),
            other => Err(Missing(format!("fact {name} is {other:?}"))),
        }
    }
}
