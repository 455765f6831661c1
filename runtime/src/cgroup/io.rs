//! The io controller, blkio on v1: cgroup-v2.rst, "IO"; cgroup-v1/blkio-controller.rst;
//! block/bfq-iosched.rst.

use std::collections::BTreeMap;
use std::path::Path;

use super::controller::Controller;
use super::limits::IoLimit;
use super::statistics::{IoStatistics, Statistics};
use super::weight::IoWeight;
use super::{Limits, UNLIMITED, Version, file};
use crate::Error;

const V2_MAX: &str = "io.max";
const V2_STAT: &str = "io.stat";
const V2_WEIGHT: &str = "io.weight";
const V2_BFQ_WEIGHT: &str = "io.bfq.weight";

const V1_READ_BPS: &str = "blkio.throttle.read_bps_device";
const V1_WRITE_BPS: &str = "blkio.throttle.write_bps_device";
const V1_READ_IOPS: &str = "blkio.throttle.read_iops_device";
const V1_WRITE_IOPS: &str = "blkio.throttle.write_iops_device";
const V1_WEIGHT: &str = "blkio.weight";
const V1_BFQ_WEIGHT: &str = "blkio.bfq.weight";
const V1_BYTES: &str = "blkio.throttle.io_service_bytes_recursive";
const V1_SERVICED: &str = "blkio.throttle.io_serviced_recursive";

#[derive(Debug)]
pub(super) struct Io;

impl Controller for Io {
    fn v1_name(&self) -> &'static str {
        "blkio"
    }

    fn v2_name(&self) -> Option<&'static str> {
        Some("io")
    }

    fn wanted(&self, limits: &Limits) -> bool {
        limits.io_weight.is_some() || !limits.io.is_empty()
    }

    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error> {
        if let Some(weight) = limits.io_weight {
            apply_weight(group, version, weight)?;
        }
        for limit in &limits.io {
            match version {
                Version::V2 => file::write(&group.join(V2_MAX), &v2_line(limit))?,
                Version::V1 => {
                    for (name, most) in [
                        (V1_READ_BPS, limit.read_bytes_per_s),
                        (V1_WRITE_BPS, limit.write_bytes_per_s),
                        (V1_READ_IOPS, limit.reads_per_s),
                        (V1_WRITE_IOPS, limit.writes_per_s),
                    ] {
                        let Some(most) = most else { continue };
                        // On v1 it is 0 that takes a limit away.
                        let most = if most == UNLIMITED { 0 } else { most };
                        let (major, minor) = limit.device;
                        file::write(&group.join(name), &format!("{major}:{minor} {most}"))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&self, group: &Path, version: Version, into: &mut Statistics) -> Result<(), Error> {
        let text = |name: &str| Ok::<_, Error>(file::read(&group.join(name))?.unwrap_or_default());
        into.io = match version {
            Version::V2 => parse_v2(&text(V2_STAT)?),
            Version::V1 => parse_v1(&text(V1_BYTES)?, &text(V1_SERVICED)?),
        };
        Ok(())
    }
}

fn apply_weight(group: &Path, version: Version, weight: IoWeight) -> Result<(), Error> {
    let (io, blkio) = (format!("default {}", weight.io()), weight.blkio().to_string());
    let candidates = match version {
        Version::V2 => [(V2_WEIGHT, &io), (V2_BFQ_WEIGHT, &blkio)],
        Version::V1 => [(V1_BFQ_WEIGHT, &blkio), (V1_WEIGHT, &blkio)],
    };
    let mut written = false;
    for (name, value) in candidates {
        written |= file::write_if_there(&group.join(name), value)?;
    }
    if written {
        return Ok(());
    }
    Err(Error::Missing {
        what: "io_weight needs the kernel's iocost or the BFQ scheduler, and neither is there".into(),
        fix: Some("modprobe bfq, or ask for ceilings instead of a weight".into()),
    })
}

fn v2_line(limit: &IoLimit) -> String {
    let mut line = format!("{}:{}", limit.device.0, limit.device.1);
    for (key, most) in [
        ("rbps", limit.read_bytes_per_s),
        ("wbps", limit.write_bytes_per_s),
        ("riops", limit.reads_per_s),
        ("wiops", limit.writes_per_s),
    ] {
        if let Some(most) = most {
            line.push_str(&format!(" {key}={}", file::limit(most, "max")));
        }
    }
    line
}

fn parse_v2(text: &str) -> Vec<IoStatistics> {
    let line = |line: &str| {
        let (device, counters) = line.split_once(' ')?;
        let mut one = IoStatistics { device: device_number(device)?, ..IoStatistics::default() };
        for (key, value) in counters.split(' ').filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match key {
                "rbytes" => one.read_bytes = value,
                "wbytes" => one.written_bytes = value,
                "rios" => one.reads = value,
                "wios" => one.writes = value,
                _ => {}
            }
        }
        Some(one)
    };
    text.lines().filter_map(line).collect()
}

fn parse_v1(bytes: &str, serviced: &str) -> Vec<IoStatistics> {
    let mut found: BTreeMap<(u32, u32), IoStatistics> = BTreeMap::new();
    for (text, is_bytes) in [(bytes, true), (serviced, false)] {
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(device), Some(kind), Some(value)) =
                (words.next().and_then(device_number), words.next(), words.next())
            else {
                continue;
            };
            let one = found.entry(device).or_insert(IoStatistics { device, ..IoStatistics::default() });
            let value = value.parse().unwrap_or(0);
            match (kind, is_bytes) {
                ("Read", true) => one.read_bytes = value,
                ("Write", true) => one.written_bytes = value,
                ("Read", false) => one.reads = value,
                ("Write", false) => one.writes = value,
                _ => {}
            }
        }
    }
    found.into_values().collect()
}

fn device_number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_the_kernel() {
        let limit = IoLimit { device: (8, 0), write_bytes_per_s: Some(1 << 20), ..IoLimit::default() };
        assert_eq!(v2_line(&limit), "8:0 wbps=1048576");
        let limit = IoLimit { device: (8, 0), reads_per_s: Some(UNLIMITED), ..limit };
        assert_eq!(v2_line(&limit), "8:0 wbps=1048576 riops=max");
    }

    #[test]
    fn both_kernels_lines_are_read() {
        let expected =
            IoStatistics { device: (254, 0), read_bytes: 4096, written_bytes: 8192, reads: 1, writes: 2 };
        // io.stat of a Debian 12 guest.
        let v2 = "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n";
        assert_eq!(parse_v2(v2), [expected]);
        // The blkio.throttle files of a hybrid host with kernel 6.18.
        let bytes = "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 12288\n254:0 Async 0\n254:0 Discard 0\n254:0 Total 12288\nTotal 12288\n";
        let serviced = "254:0 Read 1\n254:0 Write 2\n254:0 Sync 3\n254:0 Total 3\nTotal 3\n";
        assert_eq!(parse_v1(bytes, serviced), [expected]);
    }
}
