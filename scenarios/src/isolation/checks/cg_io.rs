//! Bytes to storage (cgroup-v2.rst, "IO"; cgroup-v1/blkio-controller.rst), asked and measured as by the
//! scenario of priorities.

use guest::probe::Request;
use runtime::cgroup::IoLimit;
use runtime::container::Mechanism;
use runtime::{Limits, scratch};

use super::super::check::{Absent, Check, Company, Expect, Finding, HostPlant, OnHost, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use crate::prioritize::measure::io_limit::{ALLOWED_BYTES_PER_S, WRITTEN_BYTES, held};
use crate::prioritize::measure::memory_limit;

pub(super) const ALL: &[Check] = &[
    Check {
        id: "cg-io",
        claim: "cg-limit",
        question: "does an instance write more to a device than its limit a second?",
        source: "cgroup-v2.rst, io.max: wbps; cgroup-v1/blkio-controller.rst, throttle.write_bps_device",
        expect: with_storage,
        company: Company::Alone,
        on_host: Some(Device::plant),
        limits: Some(|_| Limits {
            io: Device::find()
                .map(|device| IoLimit {
                    device,
                    write_bytes_per_s: Some(ALLOWED_BYTES_PER_S),
                    ..IoLimit::default()
                })
                .into_iter()
                .collect(),
            ..Limits::default()
        }),
        look: Some(|_| vec![Request::WriteDisk { bytes: WRITTEN_BYTES }]),
        judge: |scene| {
            let look = scene.look(0)?;
            let errno = look.number("errno")?;
            if errno != 0 {
                return Ok(Finding::Wrong(judge::name(errno)));
            }
            let seconds = look.number("wall_ns")? as f64 / 1e9;
            Ok(judge::measured(&held(), look.number("bytes")? as f64 / seconds))
        },
        twin: Twin::Without(&[Mechanism::IoLimit]),
        ..Check::NOTHING
    },
    Check {
        id: "noisy-page-cache",
        claim: "cg-limit",
        question: "does what an instance writes take more of the host's memory than its limit, by the page cache?",
        source: "cgroup-v2.rst, memory.max: page cache is charged; mincore(2)",
        expect: with_storage,
        company: Company::Alone,
        on_host: Some(Device::plant),
        limits: Some(|_| Limits { memory_bytes: Some(MEMORY_BYTES), ..Limits::default() }),
        look: Some(|_| vec![Request::WriteCached { bytes: 2 * MEMORY_BYTES }]),
        judge: |scene| {
            let look = scene.look(0)?;
            let errno = look.number("errno")?;
            if errno != 0 {
                return Ok(Finding::Wrong(judge::name(errno)));
            }
            let allowed = memory_limit::held("twice as much written", MEMORY_BYTES);
            Ok(judge::measured(&allowed, look.number("resident")? as f64))
        },
        twin: Twin::Without(&[Mechanism::MemoryLimit]),
        ..Check::NOTHING
    },
];

/// What an instance may have, its page cache included.
const MEMORY_BYTES: u64 = 64 << 20;

/// Who is given a file on a device of the host.
pub(super) fn with_storage(kind: Kind) -> Expect {
    match kind {
        Kind::Process | Kind::Container => Expect::usual(kind),
        _ => Expect::Pointless("its files lie on no device that is known here"),
    }
}

/// What a file of this host that has no name lies on.
pub(super) struct Device((u32, u32));

impl Device {
    pub(super) fn find() -> Result<(u32, u32), String> {
        scratch::device(&runtime::cache_dir()).map_err(|error| error.to_string())
    }

    pub(super) fn plant(_: &Nonce) -> HostPlant {
        Ok(Box::new(Device(Device::find().map_err(Absent)?)))
    }
}

impl OnHost for Device {
    fn witness(&self) -> Result<String, String> {
        let (major, minor) = self.0;
        Ok(format!("files of this host lie on device {major}:{minor}"))
    }
}
