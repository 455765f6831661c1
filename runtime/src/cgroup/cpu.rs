//! The cpu controller: cgroup-v2.rst, "CPU"; scheduler/sched-bwc.rst; cgroup-v1/cpuacct.rst.

use std::path::Path;

use super::controller::Controller;
use super::statistics::{CpuStatistics, Statistics};
use super::{Limits, Version, file};
use crate::Error;

const V2_MAX: &str = "cpu.max";
const V2_BURST: &str = "cpu.max.burst";
const V2_WEIGHT: &str = "cpu.weight";
const STAT: &str = "cpu.stat";

const V1_QUOTA: &str = "cpu.cfs_quota_us";
const V1_PERIOD: &str = "cpu.cfs_period_us";
const V1_BURST: &str = "cpu.cfs_burst_us";
const V1_SHARES: &str = "cpu.shares";
const V1_ACCT_USAGE: &str = "cpuacct.usage";
const V1_ACCT_USER: &str = "cpuacct.usage_user";
const V1_ACCT_SYSTEM: &str = "cpuacct.usage_sys";

/// Period of quotas in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// The least quota the kernel takes, in microseconds.
const LEAST_QUOTA_US: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Cpu;

impl Controller for Cpu {
    fn v1_name(&self) -> &'static str {
        "cpu"
    }

    fn v2_name(&self) -> Option<&'static str> {
        Some("cpu")
    }

    fn wanted(&self, limits: &Limits) -> bool {
        limits.cpus.is_some() || limits.cpu_weight.is_some() || limits.cpu_burst_us.is_some()
    }

    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error> {
        if let Some(weight) = limits.cpu_weight {
            match version {
                Version::V2 => file::write(&group.join(V2_WEIGHT), &weight.weight().to_string())?,
                Version::V1 => file::write(&group.join(V1_SHARES), &weight.shares().to_string())?,
            }
        }
        if let Some(cpus) = limits.cpus {
            let period_us = limits.cpu_period_us.unwrap_or(PERIOD_US);
            let quota_us = quota_us(cpus, period_us)?;
            match (version, quota_us) {
                (Version::V2, Some(quota_us)) => {
                    file::write(&group.join(V2_MAX), &format!("{quota_us} {period_us}"))?;
                }
                (Version::V2, None) => file::write(&group.join(V2_MAX), &format!("max {period_us}"))?,
                (Version::V1, quota_us) => {
                    if limits.cpu_period_us.is_some() {
                        file::write(&group.join(V1_PERIOD), &period_us.to_string())?;
                    }
                    let quota = quota_us.map_or_else(|| "-1".to_owned(), |quota_us| quota_us.to_string());
                    file::write(&group.join(V1_QUOTA), &quota)?;
                }
            }
        }
        let Some(burst_us) = limits.cpu_burst_us else { return Ok(()) };
        let name = if version == Version::V2 { V2_BURST } else { V1_BURST };
        file::write(&group.join(name), &burst_us.to_string())
    }

    fn read(&self, group: &Path, version: Version, into: &mut Statistics) -> Result<(), Error> {
        let text = file::read(&group.join(STAT))?.unwrap_or_default();
        let value = |key: &str| file::value(&text, key);
        let cpu = into.cpu.get_or_insert_default();
        match version {
            Version::V2 => {
                let ns = |key: &str| value(key).map(|us| us * 1_000);
                // Every v2 group has these three, the controller or not.
                cpu.usage_ns = ns("usage_usec").or(cpu.usage_ns);
                cpu.user_ns = ns("user_usec").or(cpu.user_ns);
                cpu.system_ns = ns("system_usec").or(cpu.system_ns);
                cpu.throttled_ns = ns("throttled_usec").or(cpu.throttled_ns);
            }
            Version::V1 => cpu.throttled_ns = value("throttled_time").or(cpu.throttled_ns),
        }
        cpu.periods = value("nr_periods").or(cpu.periods);
        cpu.throttled_periods = value("nr_throttled").or(cpu.throttled_periods);
        read_account(group, cpu)
    }
}

/// What the cpuacct controller of v1 has counted, where this is a group of its hierarchy.
pub(super) fn read_account(group: &Path, cpu: &mut CpuStatistics) -> Result<(), Error> {
    let Some(usage_ns) = file::number(&group.join(V1_ACCT_USAGE))? else { return Ok(()) };
    cpu.usage_ns = Some(usage_ns);
    cpu.user_ns = file::number(&group.join(V1_ACCT_USER))?;
    cpu.system_ns = file::number(&group.join(V1_ACCT_SYSTEM))?;
    Ok(())
}

/// `None`: without limit.
fn quota_us(cpus: f64, period_us: u64) -> Result<Option<u64>, Error> {
    if cpus == f64::INFINITY {
        return Ok(None);
    }
    let quota_us = (cpus * period_us as f64).round();
    if quota_us.is_nan() || quota_us < LEAST_QUOTA_US as f64 {
        let least = LEAST_QUOTA_US as f64 / period_us as f64;
        return Err(Error::Invalid(format!("cpus={cpus} is less than the kernel's least quota, {least}")));
    }
    Ok(Some(quota_us as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        assert_eq!(quota_us(0.5, PERIOD_US).expect("valid"), Some(50_000));
        assert_eq!(quota_us(2.25, 10_000).expect("valid"), Some(22_500));
        assert_eq!(quota_us(f64::INFINITY, PERIOD_US).expect("valid"), None);
        for cpus in [0.0, 0.001, -1.0, f64::NAN] {
            assert!(quota_us(cpus, PERIOD_US).is_err(), "{cpus}");
        }
    }
}
