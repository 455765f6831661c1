//! The hugetlb controller: cgroup-v2.rst, "HugeTLB"; cgroup-v1/hugetlb.rst.

use std::path::Path;

use super::controller::Controller;
use super::statistics::{HugetlbStatistics, Statistics};
use super::{Limits, Version, file};
use crate::Error;

// Behind `hugetlb.<size>.`
const V2_MAX: &str = "max";
const V2_CURRENT: &str = "current";
const V2_EVENTS: &str = "events";
/// Reservations are charged when memory is mapped, pages when it is touched.
const V2_RESERVED_MAX: &str = "rsvd.max";
const V1_LIMIT: &str = "limit_in_bytes";
const V1_RESERVED_LIMIT: &str = "rsvd.limit_in_bytes";
const V1_USAGE: &str = "usage_in_bytes";
const V1_FAILCNT: &str = "failcnt";

#[derive(Debug)]
pub(super) struct Hugetlb;

impl Controller for Hugetlb {
    fn v1_name(&self) -> &'static str {
        "hugetlb"
    }

    fn v2_name(&self) -> Option<&'static str> {
        Some("hugetlb")
    }

    fn wanted(&self, limits: &Limits) -> bool {
        !limits.hugetlb.is_empty()
    }

    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error> {
        let (max, reserved, none) = match version {
            Version::V2 => (V2_MAX, V2_RESERVED_MAX, "max"),
            Version::V1 => (V1_LIMIT, V1_RESERVED_LIMIT, "-1"),
        };
        for limit in &limits.hugetlb {
            let size = &limit.page_size;
            let bytes = file::limit(limit.bytes, none);
            if size.contains('/') || !file::write_if_there(&path(group, size, max), &bytes)? {
                return Err(Error::Invalid(format!("this kernel has no huge pages of {size:?}; try 2MB")));
            }
            // Kernels before 5.7 do not count reservations.
            file::write_if_there(&path(group, size, reserved), &bytes)?;
        }
        Ok(())
    }

    fn read(&self, group: &Path, version: Version, into: &mut Statistics) -> Result<(), Error> {
        let current = if version == Version::V2 { V2_CURRENT } else { V1_USAGE };
        for size in sizes(group, current) {
            let failures = match version {
                Version::V2 => {
                    file::read(&path(group, &size, V2_EVENTS))?.and_then(|events| file::value(&events, "max"))
                }
                Version::V1 => file::number(&path(group, &size, V1_FAILCNT))?,
            };
            let usage_bytes = file::number(&path(group, &size, current))?.unwrap_or(0);
            into.hugetlb.push(HugetlbStatistics {
                page_size: size,
                usage_bytes,
                refused: failures.unwrap_or(0),
            });
        }
        Ok(())
    }
}

fn path(group: &Path, size: &str, file: &str) -> std::path::PathBuf {
    group.join(format!("hugetlb.{size}.{file}"))
}

/// The sizes there are, by the names of the group's files.
fn sizes(group: &Path, current: &str) -> Vec<String> {
    let names = std::fs::read_dir(group).into_iter().flatten().flatten();
    let mut sizes: Vec<String> = names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(current)?.strip_suffix('.')?;
            (!size.contains('.')).then(|| size.to_owned())
        })
        .collect();
    sizes.sort();
    sizes
}
