//! What a storm sweep is asked to do.

use serde::{Deserialize, Serialize};

use crate::{Arrival, Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// More attempts in a storm than this are taken for a slip of the finger.
const MOST_INSTANCES: u32 = 100_000;
/// More points than this are taken for a slip of the finger.
const MOST_POINTS: usize = 1_000;

/// Everything that decides what a sweep does; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// Attempts in a storm.
    pub sizes: Vec<u32>,
    /// Processors the instances may use; 0 = all there are.
    pub cores: Vec<u32>,
    /// When attempts are due.
    pub arrivals: Vec<Arrival>,
    /// Where their files come from.
    pub images: Vec<Images>,
    /// Storms at each point that count.
    pub storms: u32,
    /// Storms at each point before those.
    #[serde(default)]
    pub warmup: u32,
    /// What of the host may be switched for the run: `drop-caches`.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// Where instances have their files from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Images {
    /// All from one image, in the page cache: a storm on the processor.
    Shared,
    /// Each from a copy of its own, none of it in the page cache: a storm on the storage.
    Own,
}

impl Images {
    /// As in plan and rows.
    pub fn name(self) -> &'static str {
        match self {
            Images::Shared => "shared",
            Images::Own => "own",
        }
    }
}

/// One point of the sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) backend: usize,
    pub(super) instances: u32,
    pub(super) cores: u32,
    pub(super) arrival: Arrival,
    pub(super) images: Images,
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] = &["sizes", "cores", "arrivals", "images", "storms", "warmup", "allow"];

    /// The default plan sized to the host, and what was chosen and why.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan: Plan = toml::from_str(DEFAULT)?;
        let per_core = if host.kvm { 64 } else { 16 };
        let by_memory = u32::try_from(host.mem_available_bytes / (512 << 20)).unwrap_or(1).max(1);
        let most = host.cores.max(1).saturating_mul(per_core).min(by_memory);
        plan.sizes.retain(|size| *size <= most);
        let mut next = plan.sizes.last().copied().unwrap_or(1) * 2;
        while next <= most && plan.sizes.len() < 9 {
            plan.sizes.push(next);
            next *= 2;
        }
        // Below all cores, so that starts per core and size can be told apart.
        if host.cores > 1 {
            plan.cores.insert(0, host.cores / 2);
        }
        plan.launch.resolve_seed();
        let chosen = vec![format!(
            "storms of {:?} on {} of {} cores ({} MiB free), {} at each point",
            plan.sizes,
            if host.cores > 1 { "half and all" } else { "all" },
            host.cores,
            host.mem_available_bytes >> 20,
            plan.storms
        )];
        Ok((plan, chosen))
    }

    /// As many points as a knee needs, in as little time as it can be found.
    pub(crate) fn quicken(&mut self) {
        self.storms = 3;
        self.cores = vec![0];
        self.sizes.truncate(6);
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if self.sizes.is_empty()
            || self.cores.is_empty()
            || self.arrivals.is_empty()
            || self.images.is_empty()
        {
            return bad("sizes", "sizes, cores, arrivals and images need at least one value each".into());
        }
        if let Some(size) = self.sizes.iter().find(|size| !(1..=MOST_INSTANCES).contains(*size)) {
            return bad("sizes", format!("{size} is not within 1 to {MOST_INSTANCES}"));
        }
        let there = crate::cores();
        if let Some(cores) = self.cores.iter().find(|cores| **cores > there) {
            return bad("cores", format!("{cores} is more than the {there} this program may use"));
        }
        if !(1..=1_000).contains(&self.storms) {
            return bad("storms", format!("{} is not within 1 to 1000", self.storms));
        }
        if self.warmup > 1_000 {
            return bad("warmup", format!("{} is above 1000", self.warmup));
        }
        let points = self.points(self.launch.on.len()).len();
        if points > MOST_POINTS {
            return bad("sizes", format!("that makes {points} points, more than {MOST_POINTS}"));
        }
        if let Some(unknown) = self.allow.iter().find(|what| *what != "drop-caches") {
            return bad(
                "allow",
                format!("{unknown:?} is nothing this scenario would switch; there is: drop-caches"),
            );
        }
        if self.images.contains(&Images::Own) {
            if !self.allow.iter().any(|what| what == "drop-caches") {
                return bad(
                    "images",
                    "a cold cache means dropping the host's; say --allow drop-caches to let it".into(),
                );
            }
            if self.launch.image == "builtin" {
                return bad("images", "the builtin image has no files on disk; give --image".into());
            }
        }
        Ok(())
    }

    /// All points, in the order of the plan.
    pub(super) fn points(&self, backends: usize) -> Vec<Point> {
        let all = crate::cores();
        let mut points = Vec::new();
        for backend in 0..backends {
            for instances in &self.sizes {
                for cores in &self.cores {
                    for arrival in &self.arrivals {
                        for images in &self.images {
                            points.push(Point {
                                backend,
                                instances: *instances,
                                cores: if *cores == 0 { all } else { *cores },
                                arrival: *arrival,
                                images: *images,
                            });
                        }
                    }
                }
            }
        }
        points
    }

    /// What each backend is asked to do.
    pub(crate) fn would_do(&self) -> String {
        let points = self.points(1);
        let attempts: u64 = points.iter().map(|point| u64::from(point.instances)).sum();
        let storms = u64::from(self.storms) + u64::from(self.warmup);
        format!(
            "{} points, {} storms and {} warm-up at each, {} attempts",
            points.len(),
            self.storms,
            self.warmup,
            attempts * storms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::sized_for(&HostSize { cores: 2, mem_available_bytes: 20 << 30, kvm: false }).expect("default").0
    }

    #[test]
    fn the_default_has_a_knees_worth_of_sizes_and_quick_keeps_six() {
        let mut plan = plan();
        assert_eq!(plan.sizes, [1, 2, 4, 8, 16, 32]);
        assert_eq!(plan.cores, [1, 0]);
        plan.quicken();
        assert_eq!((plan.sizes.len(), plan.storms, plan.points(4).len()), (6, 3, 24));
        let small = HostSize { cores: 1, mem_available_bytes: 2 << 30, kvm: false };
        assert_eq!(Plan::sized_for(&small).expect("default").0.sizes, [1, 2, 4]);
    }

    #[test]
    fn a_cold_cache_needs_permission_and_files() {
        let mut plan = plan();
        plan.cores = vec![0];
        plan.validate().expect("default");
        plan.images = vec![Images::Shared, Images::Own];
        assert!(matches!(plan.validate(), Err(Error::Plan { key: "images", .. })));
        plan.allow = vec!["drop-caches".into()];
        assert!(matches!(plan.validate(), Err(Error::Plan { problem, .. }) if problem.contains("builtin")));
        plan.launch.image = "some".into();
        plan.validate().expect("allowed");
        plan.cores = vec![1_000_000];
        assert!(matches!(plan.validate(), Err(Error::Plan { key: "cores", .. })));
    }
}
