//! A saved machine offered to another kind of machine, to see that it is turned away: by the store,
//! which knows it under the digest of all that went in, and by QEMU, where it is asked all the same.

use std::os::fd::AsFd;
use std::time::Duration;

use guest::{Plan, Workload};
use rustix::fs::{Mode, OFlags};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::unbounded_channel;

use super::super::floor;
use super::super::hypervisor::Start;
use super::super::instance::Firmware;
use super::super::{file, recipe};
use super::template::{self, Given};
use super::{PreparedRestore, RestoreBackend, identity};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::vm::options::Options;
use crate::{Error, Instance, InstanceName, Limits, RunContext};

/// How long QEMU may think about it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long its last words may take to arrive behind its end.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// No run has so many storms.
const STORM: u32 = u32::MAX - 1;

/// What became of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether the store would have handed it out: only to a machine of the same digest.
    pub store_offers: bool,
    /// What QEMU said to it; `Ok` where it went on from there.
    pub qemu: Result<(), String>,
}

impl RestoreBackend {
    /// Saves a machine of this configuration, or takes it from the cache, and has QEMU restore it in one of
    /// the configuration `to`, with the processor model `cpu` where it is given.
    ///
    /// # Errors
    /// Where the machine could not be saved, or the other kind not even be prepared.
    pub fn offer(
        &self,
        context: &RunContext,
        image: &Image,
        to: &Options,
        cpu: Option<&str>,
    ) -> Result<Offer, Error> {
        let here = self.make(context, image)?;
        let there = RestoreBackend::new(to.clone()).make(context, image)?;
        let plan = Plan::new(Workload::Ready);
        let (shape, template) = here.template(&plan, &Limits::default())?;
        let words = |prepared: &PreparedRestore, [memory, identity, dummy]: [&str; 3]| {
            let given = Given { memory, identity, root_disk: None, network: None };
            shape.copy_arguments(&prepared.hypervisor, dummy, given)
        };
        // They are part of the digest (`store::key`).
        let store_offers = cpu.is_none() && words(&here, [""; 3]) == words(&there, [""; 3]);
        let [dummy, memory, identity_path] = [0, 1, 2].map(recipe::file_path);
        let mut arguments = words(&there, [&memory, &identity_path, &dummy]);
        if let Some(cpu) = cpu
            && let Some(at) = arguments.iter().position(|word| word == "-cpu")
        {
            arguments[at + 1] = cpu.into();
        }
        let name = InstanceName { storm: STORM, index: 0 };
        let identity = identity::of(&context.run_id, &name, None, None)?;
        let identity = serde_json::to_vec(&identity).map_err(|error| Error::Invalid(error.to_string()))?;
        let identity = file::sealed("identity", &identity)
            .map_err(Error::system("make a sealed memory file for the identity"))?;
        let state = file::path_of(template.state.as_fd());
        let state = rustix::fs::open(state, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::system("open the template's state"))?;
        let start = Start {
            name: &name,
            limits: &Limits::default(),
            arguments: &arguments,
            files: &[floor::payload()?, template.memory.as_fd(), identity.as_fd(), state.as_fd()],
            service: None,
            firmware: Firmware::Restored,
        };
        let (sender, mut events) = unbounded_channel();
        let sink = EventSink::new(name.clone(), sender);
        let mut vm = there.hypervisor.start(&start, &sink, |monitor| {
            monitor.queue(template::shared_memory())?;
            let uri = Some(format!("fd:{}", recipe::file_fd(3)));
            monitor.queue(qapi::qmp::migrate_incoming { uri, channels: None, exit_on_error: None })
        })?;
        let mut deadline_ns = now_ns() + PATIENCE.as_nanos() as u64;
        let mut said: Vec<String> = Vec::new();
        let qemu = loop {
            match events.try_recv().map(|stamped| stamped.event) {
                Ok(Event::Ready) => break Ok(()),
                // Events of the course of things say nothing.
                Ok(Event::Log(line)) if line.starts_with("QEMU: event ") => {}
                Ok(Event::Log(line)) => said.push(line),
                Ok(Event::Failed(line)) => {
                    said.push(line);
                    deadline_ns = now_ns() + LAST_WORDS.as_nanos() as u64;
                }
                Ok(Event::Exited(_)) => deadline_ns = now_ns() + LAST_WORDS.as_nanos() as u64,
                Ok(_) => {}
                Err(TryRecvError::Empty) if now_ns() < deadline_ns => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) if said.is_empty() => break Err(format!("nothing came of it within {PATIENCE:?}")),
                Err(_) => break Err(said.join("; ")),
            }
        };
        vm.stop()?;
        Ok(Offer { store_offers, qemu })
    }
}
