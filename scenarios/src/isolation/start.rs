//! Starting an instance with requests, and hearing what became of them.

use std::time::Duration;

use guest::Plan;
use guest::probe::{Observation, Request};
use runtime::{Event, EventSink, Instance, InstanceName, LaunchSpec, Limits, Prepared, Workload};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout_at};

use super::nonce::Nonce;
use crate::Stop;

/// How often it is looked whether the user wants to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(200);

/// An instance that has been asked.
pub(super) struct Started {
    /// Lives until dropped.
    instance: Box<dyn Instance>,
    /// By request; `None` where no answer came.
    pub(super) observations: Vec<Option<Observation>>,
    /// Why answers are missing.
    pub(super) trouble: String,
}

impl Started {
    pub(super) fn instance(&mut self) -> &mut dyn Instance {
        self.instance.as_mut()
    }

    pub(super) fn root_pid(&self) -> Option<i32> {
        self.instance.root_pid()
    }

    /// Ends it; what cannot be removed is told.
    pub(super) fn stop(mut self) -> Option<String> {
        self.instance.stop().err().map(|error| error.to_string())
    }
}

/// Why there is no instance.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// The backend refuses what it was asked for.
    Refused(String),
    /// It could not be started.
    Failed(String),
}

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (NotStarted::Refused(why) | NotStarted::Failed(why)) = self;
        f.write_str(why)
    }
}

impl From<runtime::Error> for NotStarted {
    fn from(error: runtime::Error) -> NotStarted {
        match error {
            runtime::Error::Invalid(_) | runtime::Error::Missing { .. } => {
                NotStarted::Refused(error.to_string())
            }
            runtime::Error::System { .. } => NotStarted::Failed(error.to_string()),
        }
    }
}

/// Starts an instance and waits until all requests are answered, it has ended, or time is out.
pub(super) fn start(
    prepared: &dyn Prepared,
    name: InstanceName,
    requests: &[Request],
    limits: Limits,
    timeout: Duration,
    stop: &Stop,
) -> Result<Started, NotStarted> {
    let nonce = Nonce::secret();
    let workload = Workload::Probe { nonce: nonce.clone(), requests: requests.to_vec() };
    let spec = LaunchSpec { name: name.clone(), plan: Plan::new(workload), limits };
    let (sender, mut events) = unbounded_channel();
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| NotStarted::Failed(format!("cannot start the event loop: {error}")))?;
    let instance = prepared.launch(&spec, EventSink::new(name, sender))?;
    let deadline = Instant::now() + timeout;
    let mut observations = vec![None; requests.len()];
    let mut last_words = String::new();
    let ended = executor.block_on(async {
        while observations.iter().any(Option::is_none) {
            if stop.requested() {
                return "interrupted".to_owned();
            }
            if Instant::now() >= deadline {
                return format!("no answer within {} s", timeout.as_secs_f64());
            }
            let event = match timeout_at(deadline.min(Instant::now() + STOP_INTERVAL), events.recv()).await {
                Err(_) => continue,
                Ok(None) => return "the instance went away".to_owned(),
                Ok(Some(stamped)) => stamped.event,
            };
            match event {
                Event::Observed(observation) => take(observation, &nonce, &mut observations),
                Event::Log(line) => last_words = line,
                Event::Failed(why) => return why,
                Event::Exited(exit) => return format!("the instance ended: {exit}"),
                _ => {}
            }
        }
        String::new()
    });
    let trouble = match (ended.is_empty(), last_words.is_empty()) {
        (true, _) | (false, true) => ended,
        (false, false) => format!("{ended}; its last words: {last_words}"),
    };
    // What it says from here on is not listened to: a flood is dropped where it arrives.
    Ok(Started { instance, observations, trouble })
}

/// Keeps an answer, if it is one: to this plan, whole, and the first to its request.
fn take(observation: Observation, nonce: &str, observations: &mut [Option<Observation>]) {
    let is_whole = observation.assertions as usize == observation.facts.len();
    if observation.nonce != nonce || !is_whole {
        return;
    }
    if let Some(place @ None) = observations.get_mut(observation.index as usize) {
        *place = Some(observation);
    }
}
