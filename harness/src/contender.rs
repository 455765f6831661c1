//! A launch configuration as one side of `bench ab`: a backend with options of its own, under a
//! label of its own.
//!
//! `vm:direct,machine=q35,accel=tcg`: what is not said is as for all of the run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::image::Image;
use runtime::{
    Backend, Error, Event, EventSink, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, vm,
};
use serde_json::json;

use crate::command::run::image;
use crate::failure::Failure;
use crate::{duration, nearest, select};

/// Options of a launch configuration.
const KEYS: [&str; 9] = ["accel", "machine", "kernel", "qemu", "runtime", "image", "memory", "cpus", "pids"];

/// One side.
pub struct Contender {
    label: String,
    /// As the user wrote it.
    pub text: String,
    /// Name of its backend.
    pub backend_id: String,
    inner: Box<dyn Backend>,
    image: Option<String>,
    limits: Limits,
    delay: Duration,
}

impl Contender {
    /// Reads `BACKEND[,KEY=VALUE…]`; `options` hold where it says nothing.
    ///
    /// # Errors
    /// A backend, key or value that does not exist, with the nearest that does.
    pub fn parse(label: &str, text: &str, options: &vm::Options) -> Result<Contender, Failure> {
        let mut options = options.clone();
        let (mut image, mut limits, mut delay) = (None, Limits::default(), Duration::ZERO);
        let mut runtimes = Vec::new();
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default().trim();
        for word in words {
            let bad = |what: String| Failure::Usage(format!("{label}: {word:?} {what}"));
            let Some((key, value)) = word.split_once('=') else {
                return Err(bad("is no KEY=VALUE".into()));
            };
            let number = |what: &str| bad(format!("is no {what}"));
            match key.trim() {
                "accel" => {
                    options.accel = vm::Accel::from_name(value).ok_or_else(|| {
                        Failure::Usage(nearest::unknown("accelerator", value, &vm::Accel::NAMES))
                    })?;
                }
                "machine" => {
                    options.machine = vm::Machine::from_name(value).ok_or_else(|| {
                        Failure::Usage(nearest::unknown("machine", value, &vm::Machine::NAMES))
                    })?;
                }
                "kernel" => options.kernel = Some(value.into()),
                "runtime" => runtimes.push(value.to_owned()),
                "firmware" => {
                    options.firmware = vm::FirmwareKind::from_name(value).ok_or_else(|| {
                        Failure::Usage(nearest::unknown("firmware", value, &vm::FirmwareKind::NAMES))
                    })?;
                }
                "clone" => {
                    options.clone = vm::CloneKind::from_name(value).ok_or_else(|| {
                        Failure::Usage(nearest::unknown("kind of clone", value, &vm::CloneKind::NAMES))
                    })?;
                }
                "disk" => options.disk = Some(value.into()),
                "qemu" => options.qemu = Some(value.into()),
                "image" => image = Some(value.to_owned()),
                "memory" => {
                    limits.memory_bytes = Some(bytes(value).ok_or_else(|| number("size, as 512MiB"))?)
                }
                "cpus" => limits.cpus = Some(value.parse().map_err(|_| number("number of processors"))?),
                "pids" => limits.pids = Some(value.parse().map_err(|_| number("number of processes"))?),
                // Hidden: every launch takes so much longer, to see that it is found again.
                "delay" => delay = duration::parse(value).map_err(bad)?,
                other => return Err(bad(format!("sets nothing: {}", nearest::unknown("key", other, &KEYS)))),
            }
        }
        let inner = select::backend(name, &options, &runtimes)?;
        Ok(Contender {
            label: label.into(),
            text: text.into(),
            backend_id: inner.id(),
            inner,
            image,
            limits,
            delay,
        })
    }
}

/// A size as workloads have it.
fn bytes(text: &str) -> Option<u64> {
    match format!("memory={text}").parse() {
        Ok(runtime::Workload::Memory { bytes }) => Some(bytes),
        _ => None,
    }
}

impl Backend for Contender {
    fn id(&self) -> String {
        self.label.clone()
    }

    fn description(&self) -> &'static str {
        self.inner.description()
    }

    fn requirements(&self) -> Vec<Requirement> {
        self.inner.requirements()
    }

    fn prepare(&self, context: &RunContext, common: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let own = match &self.image {
            Some(reference) => {
                let found = image(reference, &context.cache_dir);
                Some(found.map_err(|failure| Error::Invalid(failure.to_string()))?)
            }
            None => None,
        };
        let image = own.as_ref().unwrap_or(common);
        Ok(Arc::new(PreparedContender {
            inner: self.inner.prepare(context, image)?,
            backend: self.backend_id.clone(),
            image: image.digest.clone(),
            text: self.text.clone(),
            limits: self.limits.clone(),
            delay: self.delay,
        }))
    }
}

struct PreparedContender {
    inner: Arc<dyn Prepared>,
    backend: String,
    image: String,
    text: String,
    limits: Limits,
    delay: Duration,
}

impl Prepared for PreparedContender {
    fn config(&self) -> serde_json::Value {
        json!({
            "configuration": self.text,
            "backend": self.backend,
            "image": self.image,
            "memory_bytes": self.limits.memory_bytes,
            "cpus": self.limits.cpus,
            "pids": self.limits.pids,
            "launch": self.inner.config(),
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        if !self.delay.is_zero() {
            let waited = delay(self.delay);
            // What was injected, not what was meant to be: a thread that is not let run waits longer.
            let waited_ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
            events.send(runtime::clock::now_ns(), Event::Measured("injected_ns", waited_ns));
        }
        let mut spec = spec.clone();
        let (own, common) = (&self.limits, spec.limits);
        spec.limits = Limits {
            memory_bytes: own.memory_bytes.or(common.memory_bytes),
            cpus: own.cpus.or(common.cpus),
            pids: own.pids.or(common.pids),
            ..common
        };
        self.inner.launch(&spec, events)
    }
}

/// Waits so long, the end of it awake, for a sleep ends late; says how long it was.
fn delay(lasting: Duration) -> Duration {
    let begin = Instant::now();
    std::thread::sleep(lasting.saturating_sub(Duration::from_millis(2)));
    loop {
        let waited = begin.elapsed();
        if waited >= lasting {
            return waited;
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_a_backend_with_options() {
        let options = vm::Options::default();
        let a = Contender::parse("A", "process,memory=64MiB,cpus=0.5,delay=20ms", &options).ok().unwrap();
        assert_eq!((a.id().as_str(), a.backend_id.as_str()), ("A", "process"));
        assert_eq!((a.limits.memory_bytes, a.limits.cpus), (Some(64 << 20), Some(0.5)));
        assert_eq!(a.delay, Duration::from_millis(20));
        let vm = Contender::parse("B", "vm,machine=q35,accel=tcg", &options).ok().unwrap();
        assert_eq!(vm.backend_id, "vm:direct");
    }

    #[test]
    fn what_does_not_exist_is_answered_with_the_nearest() {
        for (text, nearest) in [
            ("proces", "\"process\""),
            ("vm,acel=tcg", "\"accel\""),
            ("vm,accel=tgc", "\"tcg\""),
            ("process,memory", "KEY=VALUE"),
            ("process,memory=lots", "lots"),
        ] {
            let Err(failure) = Contender::parse("A", text, &vm::Options::default()) else {
                panic!("{text} is taken");
            };
            assert_eq!(failure.code(), 2, "{text}");
            assert!(failure.to_string().contains(nearest), "{text}: {failure}");
        }
    }
}
