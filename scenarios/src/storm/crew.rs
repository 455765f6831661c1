//! The threads that launch and stop instances.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use runtime::clock::now_ns;
use runtime::{Error, EventSink, Exit, Instance, LaunchSpec, Prepared};
use tokio::sync::mpsc::UnboundedSender;

use super::affinity::Affinity;
use crate::clock::sleep_until_ns;

/// Longest sleep of the scheduler before it looks whether its storm was called off.
const LOOK_UP_NS: u64 = 100_000_000;

/// What the crew tells of an attempt.
pub(super) enum Note {
    /// A launcher begins with it now.
    Begun { index: u32, at_ns: u64 },
    /// The launch returned.
    Launched { index: u32, at_ns: u64, result: Result<Box<dyn Instance>, Error> },
    /// It was called off before anybody began with it.
    CalledOff { index: u32 },
    /// Stopping it returned; it is gone.
    Stopped { index: u32, at_ns: u64, result: Result<Exit, Error> },
}

/// One launch to be made.
pub(super) struct Job {
    pub(crate) prepared: Arc<dyn Prepared>,
    pub(crate) spec: LaunchSpec,
    pub(crate) events: EventSink,
    pub(crate) called_off: Arc<AtomicBool>,
    pub(crate) notes: UnboundedSender<Note>,
}

struct StopJob {
    index: u32,
    instance: Box<dyn Instance>,
    notes: UnboundedSender<Note>,
}

/// Launchers and stoppers. The launchers live as long as this does: the kernel sends the
/// parent-death signal when the thread that made a child ends (prctl(2)).
pub(crate) struct Crew {
    jobs: Sender<Job>,
    stops: Sender<StopJob>,
    live: Arc<AtomicU64>,
    cores: Arc<AtomicU32>,
}

impl Crew {
    /// As many launchers as this host's processors can keep busy; see [`Crew::start`].
    pub(crate) fn for_host(live: Arc<AtomicU64>) -> io::Result<Crew> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Crew::start((2 * cores).clamp(4, 32), live)
    }

    /// Starts `launchers` threads for launching and as many for stopping; `live` counts what was
    /// started and is not yet stopped.
    pub(crate) fn start(launchers: usize, live: Arc<AtomicU64>) -> io::Result<Crew> {
        let (jobs, received) = channel::<Job>();
        let received = Arc::new(Mutex::new(received));
        let (stops, to_stop) = channel::<StopJob>();
        let to_stop = Arc::new(Mutex::new(to_stop));
        let cores = Arc::new(AtomicU32::new(crate::cores()));
        for number in 0..launchers {
            let (received, counter) = (Arc::clone(&received), Arc::clone(&live));
            let cores = Arc::clone(&cores);
            std::thread::Builder::new().name(format!("launcher-{number}")).spawn(move || {
                let mut affinity = Affinity::of_this_thread();
                while let Some(job) = next(&received) {
                    affinity.narrow_to(cores.load(Ordering::Relaxed));
                    launch(job, &counter);
                }
            })?;
            let to_stop = Arc::clone(&to_stop);
            let counter = Arc::clone(&live);
            std::thread::Builder::new().name(format!("stopper-{number}")).spawn(move || {
                while let Some(mut job) = next(&to_stop) {
                    let result = job.instance.stop();
                    let at_ns = now_ns();
                    drop(job.instance);
                    counter.fetch_sub(1, Ordering::Relaxed);
                    let _ = job.notes.send(Note::Stopped { index: job.index, at_ns, result });
                }
            })?;
        }
        Ok(Crew { jobs, stops, live, cores })
    }

    /// From the next launch on, launchers run on the first `cores` processors this program may use,
    /// and so does what they start: a child inherits the affinity of the thread that makes it
    /// (sched_setaffinity(2)).
    pub(crate) fn pin(&self, cores: u32) {
        self.cores.store(cores, Ordering::Relaxed);
    }

    /// Launches as soon as a launcher is free.
    pub(super) fn launch(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Stops as soon as a stopper is free.
    pub(super) fn stop(&self, index: u32, instance: Box<dyn Instance>, notes: UnboundedSender<Note>) {
        let _ = self.stops.send(StopJob { index, instance, notes });
    }

    /// Hands each job on when it is due, on a thread of its own: open loop, however long the
    /// launches take. After half of them it stands still for `stall_ns` (a test's knob).
    pub(super) fn schedule(&self, jobs: Vec<(u64, Job)>, stall_ns: u64) -> io::Result<()> {
        let launchers = self.jobs.clone();
        std::thread::Builder::new().name("scheduler".into()).spawn(move || {
            let half = jobs.len() / 2;
            for (number, (due_ns, job)) in jobs.into_iter().enumerate() {
                while !job.called_off.load(Ordering::Relaxed) {
                    let now = now_ns();
                    if now >= due_ns {
                        break;
                    }
                    sleep_until_ns(due_ns.min(now + LOOK_UP_NS));
                }
                if number == half && stall_ns > 0 {
                    sleep_until_ns(now_ns() + stall_ns);
                }
                let _ = launchers.send(job);
            }
        })?;
        Ok(())
    }

    /// Instances started and not yet stopped.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

fn next<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn launch(job: Job, live: &AtomicU64) {
    let index = job.spec.name.index;
    if job.called_off.load(Ordering::Relaxed) {
        let _ = job.notes.send(Note::CalledOff { index });
        return;
    }
    live.fetch_add(1, Ordering::Relaxed);
    let at_ns = now_ns();
    let _ = job.notes.send(Note::Begun { index, at_ns });
    let result = job.prepared.launch(&job.spec, job.events);
    if result.is_err() {
        live.fetch_sub(1, Ordering::Relaxed);
    }
    // Where nobody listens any more the instance comes back in the error and ends by being dropped.
    let _ = job.notes.send(Note::Launched { index, at_ns: now_ns(), result });
}
