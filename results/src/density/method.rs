//! The ways memory is accounted for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::MemoryStep;

/// An accounting method. They differ honestly: each counts something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// What is gone from MemAvailable: everything, the kernel's share included, and whatever else
    /// the host did meanwhile.
    Available,
    /// Memory cgroups: pages and kernel memory charged to the instances.
    Cgroup,
    /// Proportional set size: a page that k processes share counts 1/k for each.
    Pss,
    /// Pages nobody shares: what would come back if one instance ended.
    Private,
    /// Resident set size: a shared page counts once for each who shares it.
    Rss,
    /// Virtual size: what was asked for, touched or not.
    Virtual,
    /// Kernel objects of the whole host.
    Slab,
    /// Page tables of the whole host.
    PageTables,
    /// Kernel stacks of the whole host.
    KernelStack,
    /// Per-processor memory of the whole host: network namespaces and cgroups take it.
    Percpu,
    /// Page cache of the whole host.
    PageCache,
}

impl Method {
    /// All of them, the most comprehensive first.
    pub const ALL: [Method; 11] = [
        Method::Available,
        Method::Cgroup,
        Method::Pss,
        Method::Private,
        Method::Rss,
        Method::Virtual,
        Method::Slab,
        Method::PageTables,
        Method::KernelStack,
        Method::Percpu,
        Method::PageCache,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Method::Available => "gone from MemAvailable",
            Method::Cgroup => "memory cgroup",
            Method::Pss => "proportional (PSS)",
            Method::Private => "private",
            Method::Rss => "resident (RSS)",
            Method::Virtual => "virtual",
            Method::Slab => "kernel objects (slab)",
            Method::PageTables => "page tables",
            Method::KernelStack => "kernel stacks",
            Method::Percpu => "per-processor",
            Method::PageCache => "page cache",
        }
    }

    /// What a step says by this method, such that more instances mean more.
    pub fn of(self, step: &MemoryStep) -> Option<f64> {
        let bytes = match self {
            Method::Available => return step.mem_available_bytes.map(|bytes| -(bytes as f64)),
            Method::Cgroup => step.cgroup_bytes,
            Method::Pss => step.pss_bytes,
            Method::Private => step.private_bytes,
            Method::Rss => step.rss_bytes,
            Method::Virtual => step.virtual_bytes,
            Method::Slab => step.slab_bytes,
            Method::PageTables => step.page_tables_bytes,
            Method::KernelStack => step.kernel_stack_bytes,
            Method::Percpu => step.percpu_bytes,
            Method::PageCache => step.page_cache_bytes,
        };
        bytes.map(|bytes| bytes as f64)
    }
}
