//! A backend that starts nothing: scripted delays, failures and hangs, to test everybody else.
//!
//! `fake:ready=5ms,jitter=1ms,serving=2ms,fail=0.1,hang=0.05,die=0.02`: what becomes of an
//! instance depends on its name and the script alone. `+` separates like `,`, for use within
//! lists of backends.

mod script;
mod timer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::now_ns;
use crate::image::Image;
use crate::{
    Backend, Error, Event, EventSink, Exit, Footprint, Instance, LaunchSpec, Prepared, Requirement,
    RunContext,
};
use script::{Fate, Script};
use timer::{Due, Timer};

/// `fake` or `fake:SCRIPT`.
pub struct FakeBackend {
    /// The script.
    pub script: String,
}

impl Backend for FakeBackend {
    fn id(&self) -> String {
        if self.script.is_empty() { "fake".into() } else { format!("fake:{}", self.script) }
    }

    fn description(&self) -> &'static str {
        "starts nothing; scripted"
    }

    fn requirements(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn prepare(&self, _context: &RunContext, _image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let script = Script::parse(&self.script)?;
        let timer = Timer::start().map_err(Error::system("start the fake backend's timer thread"))?;
        Ok(Arc::new(PreparedFake { text: self.script.clone(), script, timer }))
    }
}

struct PreparedFake {
    text: String,
    script: Script,
    timer: Timer,
}

impl Prepared for PreparedFake {
    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "fake": self.text })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        let started_ns = now_ns();
        std::thread::sleep(self.script.launch);
        let fate = self.script.fate(&spec.name);
        if fate == Fate::Fail {
            return Err(Error::Invalid(format!("scripted to fail: {}", spec.name)));
        }
        let gone = Arc::new(AtomicBool::new(false));
        let add = |due_ns, event| {
            self.timer.add(Due { due_ns, event, events: events.clone(), gone: Arc::clone(&gone) });
        };
        events.send(now_ns(), Event::Mark("first-half"));
        let ready_after_ns = self.script.ready_after(&spec.name).as_nanos() as u64;
        let ready_ns = started_ns + ready_after_ns;
        add(started_ns + ready_after_ns / 2, Event::Mark("second-half"));
        match fate {
            Fate::Die => {
                add(ready_ns, Event::Log("scripted to die".into()));
                add(ready_ns, Event::Exited(Exit::Code(1)));
            }
            Fate::Hang => add(ready_ns, Event::Log("scripted to hang".into())),
            Fate::Live | Fate::Fail => {
                add(ready_ns, Event::Ready);
                add(ready_ns + self.script.serving.as_nanos() as u64, Event::Serving);
            }
        }
        Ok(Box::new(FakeInstance { gone, events, stop_takes: self.script.stop }))
    }
}

struct FakeInstance {
    gone: Arc<AtomicBool>,
    events: EventSink,
    stop_takes: std::time::Duration,
}

impl Instance for FakeInstance {
    fn service(&self, _guest_port: u16) -> Option<SocketAddr> {
        None
    }

    fn memory(&self) -> Result<Footprint, Error> {
        Ok(Footprint::default())
    }

    fn pause(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        if !self.gone.swap(true, Ordering::AcqRel) {
            std::thread::sleep(self.stop_takes);
            self.events.send(now_ns(), Event::Exited(Exit::Signal(9)));
        }
        Ok(Exit::Signal(9))
    }
}

impl Drop for FakeInstance {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
    }
}
