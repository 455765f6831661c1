//! Files of /proc that tell of the whole machine by values that go up and down.
//!
//! On a busy host two readings say little of what lies between them, so the host reads such a file all the
//! while, from before anything is started until it is judged. What an instance saw is then held against what
//! the host had: a level has to lie within what was read; the three averages of the load, of which the kernel
//! makes new ones every five seconds (LOAD_FREQ, include/linux/sched/loadavg.h), have to be a triple that was.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use guest::probe::Request;

use super::super::check::{Absent, Check, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::leak::{CLAIM, MOST, SOURCE, field, first_number, of_kernel, read, unread, words};

/// What is compared.
#[derive(Clone, Copy)]
enum Value {
    /// A number that lies within what the host has, and a tenth more to each side.
    Level(fn(&str) -> Option<u64>),
    /// A text that the host has had.
    Text(fn(&str) -> Option<String>),
}

/// How often a level is read.
const OFTEN: Duration = Duration::from_millis(50);
/// How often the averages are, which stay for five seconds.
const SELDOM: Duration = Duration::from_secs(1);
/// Of an idle machine, whichever it is.
const IDLE: &str = "0.00 0.00 0.00";

/// `id`, path, what is compared, how often.
macro_rules! levels {
    ($($id:literal $path:literal $value:expr, $every:expr;)*) => {
        &[$(Check {
            id: $id,
            claim: CLAIM,
            question: concat!("does ", $path, " tell of the host?"),
            source: SOURCE,
            expect: of_kernel,
            on_host: Some(|_| Followed::begin($path, $value, $every)),
            look: Some(|_| vec![Request::Read { path: $path.into(), most: MOST }]),
            judge: |scene| judge(scene, $path, $value),
            twin: Twin::Process,
            ..Check::NOTHING
        }),*]
    };
}

pub(super) const ALL: &[Check] = levels! {
    "leak-loadavg" "/proc/loadavg" Value::Text(averages), SELDOM;
    "leak-vmstat" "/proc/vmstat" Value::Level(|text| field(text, "nr_mapped")?.parse().ok()), OFTEN;
    "leak-buddyinfo" "/proc/buddyinfo" Value::Level(free_pages), OFTEN;
    "leak-file-nr" "/proc/sys/fs/file-nr" Value::Level(first_number), OFTEN;
    "leak-inode-nr" "/proc/sys/fs/inode-nr" Value::Level(first_number), OFTEN;
    "leak-dentry-state" "/proc/sys/fs/dentry-state" Value::Level(first_number), OFTEN;
};

/// Of one, five and fifteen minutes (proc_loadavg(5)).
fn averages(text: &str) -> Option<String> {
    let averages = words(text);
    averages.get(..3).map(|three| three.join(" "))
}

/// Free pages of all zones, from the number of free blocks of each order (proc(5), /proc/buddyinfo).
fn free_pages(text: &str) -> Option<u64> {
    let of_line = |line: &str| -> u64 {
        let counts = words(line).into_iter().skip(4).filter_map(|word| word.parse::<u64>().ok());
        counts.enumerate().map(|(order, count)| count << order).sum()
    };
    Some(text.lines().map(of_line).sum()).filter(|pages| *pages > 0)
}

/// A file of the host that is read again and again.
struct Followed {
    path: &'static str,
    seen: Arc<Mutex<Seen>>,
    /// Dropped first, which ends the thread.
    goes_on: Option<Sender<()>>,
    reader: Option<JoinHandle<()>>,
}

/// What it has said.
#[derive(Default)]
struct Seen {
    lowest: Option<u64>,
    highest: Option<u64>,
    texts: Vec<String>,
}

impl Seen {
    /// Whether the text has a value.
    fn take(&mut self, value: Value, text: &str) -> bool {
        match value {
            Value::Level(of) => {
                let Some(level) = of(text) else { return false };
                self.lowest = Some(self.lowest.map_or(level, |lowest| lowest.min(level)));
                self.highest = Some(self.highest.map_or(level, |highest| highest.max(level)));
            }
            Value::Text(of) => {
                let Some(text) = of(text) else { return false };
                if !self.texts.contains(&text) {
                    self.texts.push(text);
                }
            }
        }
        true
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.lowest, self.highest) {
            (Some(lowest), Some(highest)) => write!(f, "{lowest} to {highest}"),
            _ => f.write_str(&self.texts.join(", ")),
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Followed {
    fn begin(path: &'static str, value: Value, every: Duration) -> HostPlant {
        let mut first = Seen::default();
        if !first.take(value, &read(path).map_err(Absent)?) {
            return Err(Absent(format!("{path} of this host tells nothing to compare")));
        }
        let seen = Arc::new(Mutex::new(first));
        let (goes_on, ended) = channel();
        let theirs = seen.clone();
        let reader = std::thread::Builder::new().name("follow".into()).spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Ok(text) = read(path) {
                    lock(&theirs).take(value, &text);
                }
            }
        });
        let reader = reader.map_err(|error| Absent(format!("cannot follow {path}: {error}")))?;
        Ok(Box::new(Followed { path, seen, goes_on: Some(goes_on), reader: Some(reader) }))
    }
}

impl OnHost for Followed {
    fn witness(&self) -> Result<String, String> {
        match self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) {
            true => Ok(format!("the host reads {}", lock(&self.seen))),
            false => Err(format!("nobody reads {} any more", self.path)),
        }
    }

    /// One line a text; for a level the lowest and the highest.
    fn text(&self) -> String {
        let seen = lock(&self.seen);
        match (seen.lowest, seen.highest) {
            (Some(lowest), Some(highest)) => format!("{lowest}\n{highest}"),
            _ => seen.texts.join("\n"),
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.goes_on.take();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn judge(scene: &Scene<'_>, path: &str, value: Value) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    if let Some(finding) = unread(scene, path)? {
        return Ok(finding);
    }
    let mut seen = Seen::default();
    // What it reads now closes what the thread has read before.
    if !seen.take(value, &read(path).map_err(Missing)?) {
        return Err(Missing(format!("{path} of the host tells nothing now")));
    }
    for line in scene.host()?.text().lines() {
        match value {
            Value::Level(_) => drop(seen.take(Value::Level(first_number), line)),
            Value::Text(_) => drop(seen.take(Value::Text(|text| Some(text.to_owned())), line)),
        }
    }
    compare(value, look.text("text")?, &seen)
}

fn compare(value: Value, inside: &str, host: &Seen) -> Result<Finding, Missing> {
    let nothing = || Finding::Apart("nothing of the kind is told".into());
    Ok(match value {
        Value::Level(of) => {
            let (Some(low), Some(high)) = (host.lowest, host.highest) else {
                return Err(Missing("the host's own reading is gone".into()));
            };
            match of(inside) {
                None => nothing(),
                Some(level) if level >= low - low / 10 && level <= high.saturating_add(high / 10) => {
                    Finding::Open(format!("{level}, the host reads {host}"))
                }
                Some(level) => Finding::Apart(format!("{level}, the host reads {host}")),
            }
        }
        Value::Text(of) => match of(inside) {
            None => nothing(),
            Some(text) if text == IDLE && host.texts.contains(&text) => {
                return Err(Missing(format!("{IDLE} is what every idle machine reads")));
            }
            Some(text) if host.texts.contains(&text) => {
                Finding::Open(format!("{text}, which the host had too"))
            }
            Some(text) => Finding::Apart(format!("{text}, the host had {host}")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_from_the_kernels_texts() {
        assert_eq!(free_pages("Node 0, zone      DMA      1      1      2\n"), Some(1 + 2 + 8));
        assert_eq!(free_pages(""), None);
        assert_eq!(averages("1.22 0.80 0.44 3/300 77\n").as_deref(), Some("1.22 0.80 0.44"));
    }

    #[test]
    fn a_level_is_the_hosts_within_all_it_had() {
        let value = Value::Level(first_number);
        let mut host = Seen::default();
        for text in ["1000 0", "nothing", "3000 0", "2000 0"] {
            host.take(value, text);
        }
        assert_eq!(host.to_string(), "1000 to 3000");
        for inside in ["900", "2500", "3300"] {
            assert!(matches!(compare(value, inside, &host), Ok(Finding::Open(_))), "{inside}");
        }
        for inside in ["899", "3301", "none"] {
            assert!(matches!(compare(value, inside, &host), Ok(Finding::Apart(_))), "{inside}");
        }
        assert!(compare(value, "1000", &Seen::default()).is_err());
    }

    #[test]
    fn averages_are_the_hosts_where_it_had_them() {
        let value = Value::Text(averages);
        let mut host = Seen::default();
        assert!(host.take(value, "1.22 0.80 0.44 3/300 77\n") && host.take(value, "0.00 0.00 0.00 1/1 1"));
        assert!(!host.take(value, ""));
        let found = |inside| compare(value, inside, &host);
        assert!(matches!(found("1.22 0.80 0.44 1/9 5\n"), Ok(Finding::Open(_))));
        assert!(matches!(found("1.22 0.80 0.45 1/9 5\n"), Ok(Finding::Apart(_))));
        assert!(found("0.00 0.00 0.00 1/9 5\n").is_err());
        host.texts.pop();
        assert!(matches!(compare(value, "0.00 0.00 0.00 1/9 5", &host), Ok(Finding::Apart(_))));
    }

    #[test]
    fn a_file_is_followed_until_it_is_dropped() {
        let value = Value::Level(|text| text.split('.').next()?.parse().ok());
        let plant = Followed::begin("/proc/uptime", value, Duration::from_millis(10));
        let Ok(plant) = plant else { panic!("/proc/uptime cannot be followed") };
        let range = || -> Vec<u64> { plant.text().lines().filter_map(|line| line.parse().ok()).collect() };
        let first = range()[0];
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while range()[1] == first && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(range()[1] > first && range()[0] == first && plant.witness().is_ok());
    }
}
