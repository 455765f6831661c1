//! Tasks: workloads that load one resource by a known amount and say how far they got.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{ParseWorkloadError, parse_size};

/// Names and one-line descriptions of the tasks, as in [`crate::WORKLOADS`].
pub const TASKS: [(&str, &str); 5] = [
    ("burn=SECONDS[:THREADS]", "computes until it has used so much processor time, and tells its own count"),
    ("hoard=SIZE", "a child touches memory until it has SIZE or is killed, and how far it got is told"),
    ("write=SIZE", "writes SIZE to a file past the page cache"),
    ("fork=N", "makes processes until there are N more or one is refused"),
    ("pulse=N", "N times, every 5 ms, a small piece of work: tells the latencies"),
];

/// What a task tells, each with its unit.
pub const MEASURES: [&str; 11] = [
    "burn_rounds",
    "burn_cpu_ns",
    "hoard_bytes",
    "hoard_signal",
    "written_bytes",
    "forked",
    "fork_errno",
    "pulse_p50_ns",
    "pulse_p99_ns",
    "pulse_max_ns",
    "pulses",
];

/// A measure by its name; `None` where no task tells such a thing.
pub fn measure(name: &str) -> Option<&'static str> {
    MEASURES.into_iter().find(|known| *known == name)
}

/// A load of known size. All of them hold what they have when they are done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Compute.
    Burn {
        /// Processor time over all threads, in milliseconds.
        cpu_ms: u64,
        /// Threads.
        threads: u32,
    },
    /// Touch memory, in a child that may be killed for it.
    Hoard {
        /// Bytes.
        bytes: u64,
    },
    /// Write to storage.
    Write {
        /// Bytes.
        bytes: u64,
    },
    /// Make processes that wait.
    Fork {
        /// At most so many.
        most: u32,
    },
    /// Do a little at even times.
    Pulse {
        /// So often.
        count: u32,
    },
}

impl Task {
    /// `name=value`; `None` where no task has that name.
    pub(crate) fn parse(name: &str, value: &str) -> Option<Result<Task, ParseWorkloadError>> {
        let number = |least: u32| {
            let parsed = value.parse::<u32>().ok().filter(|number| (least..=100_000).contains(number));
            parsed.ok_or_else(|| {
                ParseWorkloadError(format!("{name}={value}: the number must be {least} to 100000"))
            })
        };
        Some(match name {
            "burn" => burn(value),
            "hoard" => parse_size(value).map(|bytes| Task::Hoard { bytes }),
            "write" => parse_size(value).map(|bytes| Task::Write { bytes }),
            "fork" => number(1).map(|most| Task::Fork { most }),
            "pulse" => number(1).map(|count| Task::Pulse { count }),
            _ => return None,
        })
    }
}

fn burn(value: &str) -> Result<Task, ParseWorkloadError> {
    let bad =
        || ParseWorkloadError(format!("burn={value}: write seconds up to 86400, as in burn=2.5 or burn=2:4"));
    let (seconds, threads) = value.split_once(':').unwrap_or((value, "1"));
    let seconds = seconds.parse::<f64>().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    let threads = threads.parse::<u32>().ok().filter(|threads| (1..=1024).contains(threads));
    let (seconds, threads) = seconds.zip(threads).ok_or_else(bad)?;
    Ok(Task::Burn { cpu_ms: (seconds * 1e3).round() as u64, threads })
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Burn { cpu_ms, threads } => {
                write!(f, "burn={}.{:03}:{threads}", cpu_ms / 1000, cpu_ms % 1000)
            }
            Task::Hoard { bytes } => write!(f, "hoard={bytes}"),
            Task::Write { bytes } => write!(f, "write={bytes}"),
            Task::Fork { most } => write!(f, "fork={most}"),
            Task::Pulse { count } => write!(f, "pulse={count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Workload;

    #[test]
    fn tasks_are_read_as_they_are_shown() {
        for task in [
            Task::Burn { cpu_ms: 2_050, threads: 3 },
            Task::Hoard { bytes: 64 << 20 },
            Task::Write { bytes: 1 },
            Task::Fork { most: 7 },
            Task::Pulse { count: 400 },
        ] {
            let text = Workload::Task(task.clone()).to_string();
            assert_eq!(text.parse(), Ok(Workload::Task(task)), "{text}");
        }
        assert_eq!("burn=2".parse(), Ok(Workload::Task(Task::Burn { cpu_ms: 2_000, threads: 1 })));
        for bad in [
            "burn=",
            "burn=0",
            "burn=1:0",
            "burn=nan",
            "hoard=x",
            "fork=0",
            "pulse=-1",
            "pulse",
            "fork=9999999",
        ] {
            assert!(bad.parse::<Workload>().is_err(), "{bad}");
        }
    }
}
