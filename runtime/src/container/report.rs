//! What parent and child tell each other before the child executes: words of shared memory.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::syscall::raw;
use crate::clock::now_ns;

/// Steps of the child, in order. Each is stamped when it begins; the last one begun is the one that failed.
pub(super) const STEPS: [&str; 7] =
    ["cgroup-join", "namespaces", "identity", "rootfs", "filesystems", "privileges", "exec"];

/// One of [`STEPS`].
#[derive(Clone, Copy)]
pub(super) enum Step {
    Join,
    Namespaces,
    Identity,
    Root,
    FileSystems,
    Privileges,
    Exec,
}

/// The words. All zeroes is the state before the child.
#[repr(C)]
pub(super) struct Report {
    begun_ns: [AtomicU64; STEPS.len()],
    errno: AtomicI32,
    /// Which of the compiled labels the child is at; 0: none.
    label: AtomicU32,
    /// The child's id, as the parent sees it (CLONE_PARENT_SETTID).
    pid: AtomicI32,
    /// How often a child has called for its parent's part.
    calls: AtomicU32,
    /// Its maps are written.
    pub(super) mapped: Signal,
    /// It stands before the change of root.
    pub(super) held: Signal,
    /// It may go on.
    pub(super) resumed: Signal,
    /// It stands before the program.
    pub(super) gated: Signal,
}

impl Report {
    /// As before a child.
    pub(super) fn clear(&self) {
        self.begun_ns.iter().for_each(|time| time.store(0, Ordering::Relaxed));
        self.errno.store(0, Ordering::Relaxed);
        self.label.store(0, Ordering::Relaxed);
        for signal in [&self.mapped, &self.held, &self.resumed, &self.gated] {
            signal.reset();
        }
    }

    /// Where the kernel puts the child's id before the child runs.
    pub(super) fn pid_address(&self) -> *mut i32 {
        self.pid.as_ptr()
    }

    /// The child's id.
    pub(super) fn pid(&self) -> i32 {
        self.pid.load(Ordering::Acquire)
    }

    /// The child calls for its parent's part.
    pub(super) fn call(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
        wake(&self.calls);
    }

    /// How often that has happened, however many children ago.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Acquire)
    }

    /// Waits for a call after the `seen`th and gives its number.
    pub(super) fn await_call(&self, seen: u32) -> u32 {
        loop {
            let calls = self.calls();
            if calls != seen {
                return calls;
            }
            sleep(&self.calls, seen, None);
        }
    }

    /// The child begins a step. Safe between clone and exec: a store and a clock reading.
    pub(super) fn begin(&self, step: Step) {
        if let Some(time) = self.begun_ns.get(step as usize) {
            time.store(now_ns(), Ordering::Release);
        }
        self.label.store(0, Ordering::Release);
    }

    /// The child is at the part of its step that `label` stands for.
    pub(super) fn at(&self, label: Label) {
        self.label.store(label.0, Ordering::Release);
    }

    /// The child's current step failed.
    pub(super) fn fail(&self, errno: i32) {
        self.errno.store(errno, Ordering::Release);
    }

    /// The steps that were begun, with their times.
    pub(super) fn marks(&self) -> Vec<(&'static str, u64)> {
        let times = self.begun_ns.iter().map(|time| time.load(Ordering::Acquire));
        STEPS.into_iter().zip(times).filter(|(_, at_ns)| *at_ns > 0).collect()
    }

    /// What failed and why.
    pub(super) fn failure(&self, labels: &Labels) -> Option<(String, std::io::Error)> {
        let errno = self.errno.load(Ordering::Acquire);
        let step = self.marks().last().map_or("clone", |(step, _)| step);
        let what = match labels.text(Label(self.label.load(Ordering::Acquire))) {
            Some(text) => text.to_owned(),
            None => format!("start a container (step {step})"),
        };
        (errno != 0).then(|| (what, std::io::Error::from_raw_os_error(errno)))
    }
}

/// Something that happens once: a word somebody may sleep on (futex(2)).
#[derive(Default)]
#[repr(transparent)]
pub(super) struct Signal(AtomicU32);

/// How often who waits looks whether the other still lives.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// It has not happened yet.
const OPEN: u32 = 0;
/// It has happened.
const SET: u32 = 1;
/// It will not happen any more.
const NEVER: u32 = 2;

impl Signal {
    /// It happens: who waits goes on.
    pub(super) fn set(&self) {
        self.0.store(SET, Ordering::Release);
        wake(&self.0);
    }

    /// It will not happen: who waits goes on and is told so.
    pub(super) fn give_up(&self) {
        let _ = self.0.compare_exchange(OPEN, NEVER, Ordering::AcqRel, Ordering::Acquire);
        wake(&self.0);
    }

    /// As before.
    pub(super) fn reset(&self) {
        self.0.store(OPEN, Ordering::Release);
    }

    /// Whether it has happened.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) == SET
    }

    /// Whether it has happened or will not.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) != OPEN
    }

    /// Waits until it happens; `false` where it will not.
    pub(super) fn wait(&self) -> bool {
        self.wait_while(|| true)
    }

    /// The same while somebody `lives`, who is looked after now and then.
    pub(super) fn wait_while(&self, lives: impl Fn() -> bool) -> bool {
        while !self.is_over() {
            sleep(&self.0, OPEN, Some(LOOK_AFTER));
            if !self.is_over() && !lives() {
                return false;
            }
        }
        self.is_set()
    }

    /// Waits at most this long.
    pub(super) fn wait_for(&self, timeout: Duration) {
        sleep(&self.0, OPEN, Some(timeout));
    }
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word outlives the call; waking touches nothing else.
    let _ = unsafe { raw!(SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Sleeps while the word has this value. Not FUTEX_PRIVATE_FLAG: the child may be another process.
fn sleep(word: &AtomicU32, value: u32, timeout: Option<Duration>) {
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word and the time outlive the call.
    let _ = unsafe { raw!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, time) };
}

/// A part of a step, by number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Label(u32);

/// The texts of all labels: what is being done, to what.
#[derive(Debug, Default)]
pub(super) struct Labels(Vec<String>);

impl Labels {
    pub(super) fn add(&mut self, text: impl Into<String>) -> Label {
        self.0.push(text.into());
        Label(self.0.len() as u32)
    }

    fn text(&self, label: Label) -> Option<&str> {
        self.0.get((label.0 as usize).checked_sub(1)?).map(String::as_str)
    }
}
