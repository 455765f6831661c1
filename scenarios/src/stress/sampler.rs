//! A thread that turns the host's counters and the canary's song into rows, 20 times a second
//! and at the borders of every storm.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use results::record::HostSample;
use runtime::clock::now_ns;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::canary::Canary;
use super::counters::{Counters, delta};
use crate::clock::{quantile, thread_cpu_ns};

/// Time between samples.
const PERIOD_NS: u64 = 50_000_000;

/// An interval shorter than this before a storm is left to the storm: a handful of ticks says nothing.
const LEAST_NS: u64 = 10_000_000;

/// The sampler's thread. Ends when dropped.
pub(crate) struct Sampler {
    borders: Sender<Border>,
    live: Arc<AtomicU64>,
    thread: Option<JoinHandle<Cost>>,
}

enum Border {
    Begin(u32, String),
    End,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    samples: u64,
    sampler_cpu_ns: u64,
    canary_cpu_ns: u64,
    lasted_ns: u64,
}

impl Sampler {
    /// Starts sampling. Rows go to `rows` with times since `epoch_ns`.
    pub(crate) fn start(epoch_ns: u64, rows: UnboundedSender<HostSample>) -> io::Result<Sampler> {
        let (borders, received) = channel();
        let live = Arc::new(AtomicU64::new(0));
        let canary = Canary::start()?;
        let work = Work { epoch_ns, rows, live: Arc::clone(&live), canary, storm: None };
        let thread =
            std::thread::Builder::new().name("sampler".into()).spawn(move || work.sample(&received))?;
        Ok(Sampler { borders, live, thread: Some(thread) })
    }

    /// From here on samples belong to this storm.
    pub(crate) fn begin(&self, storm: u32, backend: &str) {
        let _ = self.borders.send(Border::Begin(storm, backend.into()));
    }

    /// From here on samples belong to no storm.
    pub(crate) fn end(&self) {
        let _ = self.borders.send(Border::End);
    }

    /// Instances started and not yet stopped, to be kept up to date by who starts them.
    pub(crate) fn live(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.live)
    }

    /// Ends sampling and says what it cost.
    pub(crate) fn finish(mut self) -> BTreeMap<String, Value> {
        let cost = self.join().unwrap_or_default();
        let share = |cpu_ns: u64| cpu_ns as f64 / cost.lasted_ns.max(1) as f64;
        BTreeMap::from([
            ("host_samples".into(), json!(cost.samples)),
            ("sampler_cpu_ns".into(), json!(cost.sampler_cpu_ns)),
            ("sampler_core_ratio".into(), json!(share(cost.sampler_cpu_ns))),
            ("canary_cpu_ns".into(), json!(cost.canary_cpu_ns)),
            ("canary_core_ratio".into(), json!(share(cost.canary_cpu_ns))),
        ])
    }

    fn join(&mut self) -> Option<Cost> {
        // The thread ends when its channel does.
        self.borders = channel().0;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.join();
    }
}

struct Work {
    epoch_ns: u64,
    rows: UnboundedSender<HostSample>,
    live: Arc<AtomicU64>,
    canary: Canary,
    storm: Option<(u32, String)>,
}

impl Work {
    fn sample(mut self, borders: &Receiver<Border>) -> Cost {
        let began_ns = now_ns();
        let (mut before, mut before_ns) = (Counters::read(Path::new("/")), began_ns);
        let mut cost = Cost::default();
        loop {
            let rest = (before_ns + PERIOD_NS).saturating_sub(now_ns());
            let border = match borders.recv_timeout(Duration::from_nanos(rest)) {
                Ok(border) => Some(border),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let too_short = now_ns() - before_ns < LEAST_NS && matches!(border, Some(Border::Begin(..)));
            if !too_short {
                let (now, at_ns) = (Counters::read(Path::new("/")), now_ns());
                let _ = self.rows.send(self.row(&now, at_ns, &before, before_ns));
                cost.samples += 1;
                (before, before_ns) = (now, at_ns);
            }
            match border {
                Some(Border::Begin(storm, backend)) => self.storm = Some((storm, backend)),
                Some(Border::End) => self.storm = None,
                None => {}
            }
        }
        cost.sampler_cpu_ns = thread_cpu_ns();
        cost.canary_cpu_ns = self.canary.cpu_ns();
        cost.lasted_ns = now_ns() - began_ns;
        cost
    }

    fn row(&self, now: &Counters, at_ns: u64, before: &Counters, before_ns: u64) -> HostSample {
        let lasted_ns = (at_ns - before_ns).max(1) as f64;
        let ticks = delta(now.cpu_total, before.cpu_total).filter(|ticks| *ticks > 0);
        let psi = |now, before| {
            delta(now, before).map(|stalled_us: u64| (stalled_us as f64 * 1e3 / lasted_ns).clamp(0.0, 1.0))
        };
        let mut latencies = self.canary.take();
        latencies.sort_unstable();
        let (storm, backend) = match &self.storm {
            Some((storm, backend)) => (Some(*storm), backend.clone()),
            None => (None, "baseline".into()),
        };
        HostSample {
            at_ns: at_ns.saturating_sub(self.epoch_ns),
            storm,
            backend,
            cpu_used_ratio: now.cpu_used_ratio(before),
            cpu_steal_ratio: ticks
                .zip(delta(now.cpu_steal, before.cpu_steal))
                .map(|(ticks, steal)| steal as f64 / ticks as f64),
            mem_available_bytes: now.mem_available_bytes,
            disk_read_bytes: delta(now.disk_read_bytes, before.disk_read_bytes),
            disk_written_bytes: delta(now.disk_written_bytes, before.disk_written_bytes),
            psi_cpu_some_ratio: psi(now.psi_cpu_us, before.psi_cpu_us),
            psi_io_some_ratio: psi(now.psi_io_us, before.psi_io_us),
            psi_memory_some_ratio: psi(now.psi_memory_us, before.psi_memory_us),
            forks_per_s: delta(now.forks, before.forks).map(|forks| forks as f64 * 1e9 / lasted_ns),
            canary_p50_ns: quantile(&latencies, 0.5),
            canary_max_ns: latencies.last().copied(),
            canary_tasks: Some(latencies.len() as u64),
            live_instances: self.live.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::sleep_until_ns;

    #[test]
    fn samples_at_ten_hertz_or_more_and_at_the_borders_of_storms() {
        let (sender, mut rows) = tokio::sync::mpsc::unbounded_channel();
        let sampler = Sampler::start(now_ns(), sender).expect("threads");
        sleep_until_ns(now_ns() + 500_000_000);
        sampler.begin(4, "fake");
        sleep_until_ns(now_ns() + 30_000_000);
        sampler.end();
        sleep_until_ns(now_ns() + 120_000_000);
        let cost = sampler.finish();
        let rows: Vec<HostSample> = std::iter::from_fn(|| rows.try_recv().ok()).collect();
        assert!(rows.len() >= 8, "{}", rows.len());
        assert!(rows.iter().any(|row| row.storm == Some(4) && row.backend == "fake"));
        assert_eq!(rows.last().map(|row| row.storm), Some(None));
        assert!(cost["sampler_core_ratio"].as_f64().is_some_and(|ratio| ratio < 0.2), "{cost:?}");
    }
}
