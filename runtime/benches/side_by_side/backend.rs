//! Our own containers, crun and runc, each through the same door as a run, from the same overlaid image within
//! the same limits.

use std::path::Path;
use std::sync::Arc;

use runtime::clock::now_ns;
use runtime::image::Image;
use runtime::state::RunState;
use runtime::watch::Watch;
use runtime::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits, Prepared, RunContext};
use tokio::sync::mpsc::unbounded_channel;

/// Rounds that do not count.
const WARM_UP: u32 = 3;

pub struct Backed {
    name: &'static str,
    prepared: Arc<dyn Prepared>,
    count: u32,
    phases: Vec<(&'static str, Vec<u64>)>,
    /// Behind what is in it: its cgroups go with it, and `bench clean` beside it leaves it alone.
    _state: RunState,
}

impl Backed {
    /// A backend made ready for the image at `rootfs`, which keeps what it makes in `folder`.
    ///
    /// # Errors
    /// Why it cannot be, as a sentence.
    pub fn new(
        name: &'static str,
        backend: &dyn Backend,
        folder: &Path,
        rootfs: &Path,
        watch: Arc<Watch>,
    ) -> Result<Backed, String> {
        if let Some(missing) = backend.requirements().into_iter().find_map(|needed| needed.state.err()) {
            return Err(missing);
        }
        let run_id = format!("side-{}-{name}", std::process::id());
        let state = RunState::create(&run_id).map_err(|error| error.to_string())?;
        let context = RunContext {
            run_id,
            cache_dir: folder.join("cache").join(name),
            state_dir: state.dir().into(),
            watch,
            network: std::sync::Arc::default(),
        };
        let mut image = Image::builtin();
        image.rootfs = Some(rootfs.to_owned());
        let prepared = backend.prepare(&context, &image).map_err(|error| error.to_string())?;
        Ok(Backed { name, prepared, count: 0, phases: Vec::new(), _state: state })
    }
}

impl Backed {
    fn take(&mut self, marks: &[(u64, &'static str)], ready_ns: u64) {
        let ends = marks.iter().skip(1).map(|(at_ns, _)| *at_ns).chain([ready_ns]);
        for ((at_ns, phase), end_ns) in marks.iter().zip(ends) {
            let time_ns = end_ns.saturating_sub(*at_ns);
            match self.phases.iter_mut().find(|(name, _)| name == phase) {
                Some((_, times)) => times.push(time_ns),
                None => self.phases.push((phase, vec![time_ns])),
            }
        }
    }
}

impl crate::Contestant for Backed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, _watch: &Watch) -> Result<u64, String> {
        let name = InstanceName { storm: 0, index: self.count };
        self.count += 1;
        let limits =
            Limits { memory_bytes: Some(256 << 20), cpus: Some(2.0), pids: Some(100), ..Limits::default() };
        let plan = guest::Plan::new(guest::Workload::Ready);
        let spec = LaunchSpec { name: name.clone(), plan, limits };
        let (sender, mut events) = unbounded_channel();
        let began_ns = now_ns();
        let launched = self.prepared.launch(&spec, EventSink::new(name, sender));
        let mut instance = launched.map_err(|error| error.to_string())?;
        let mut marks = Vec::new();
        let ready_ns = loop {
            let stamped = events.blocking_recv().ok_or("ended without being ready")?;
            match stamped.event {
                Event::Mark(phase) => marks.push((stamped.at_ns, phase)),
                Event::Ready => break stamped.at_ns,
                Event::Failed(error) => return Err(error),
                _ => {}
            }
        };
        instance.stop().map_err(|error| error.to_string())?;
        if self.count > WARM_UP {
            self.take(&marks, ready_ns);
        }
        Ok(ready_ns - began_ns)
    }

    fn phases(&self) -> Vec<(&'static str, u64)> {
        let median = |times: &Vec<u64>| {
            let mut times = times.clone();
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or(0)
        };
        self.phases.iter().map(|(phase, times)| (*phase, median(times))).collect()
    }
}
