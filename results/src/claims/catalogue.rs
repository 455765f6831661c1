//! Every claim under test as data. What judges one is code beside this file; a claim that nothing
//! judges yet says which scenario it needs.

use super::{Finding, Verdict};

/// A claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Identifier.
    pub id: &'static str,
    /// What is claimed, in our words.
    pub statement: &'static str,
    /// What would have to be so if it held.
    pub hypothesis: &'static str,
    /// What is measured.
    pub metric: &'static str,
    /// How a verdict is reached.
    pub decision: &'static str,
    /// The definition or observation under which it would be another one.
    pub flips: &'static str,
    /// Which evidence is admitted, and which handicap of the host bars which verdict.
    pub admissible: &'static str,
    /// Scenarios that can decide it.
    pub scenarios: &'static [&'static str],
    /// Chart that shows it, where there is one.
    pub chart: Option<&'static str>,
}

/// The claim called `id`.
pub fn claim(id: &str) -> Option<&'static Claim> {
    CLAIMS.iter().find(|claim| claim.id == id)
}

impl Claim {
    /// What can be said without evidence.
    pub fn unjudged(&self) -> Finding {
        Finding {
            id: self.id.into(),
            statement: self.statement.into(),
            verdict: Verdict::Undetermined(format!("needs bench run {}", self.scenarios.join(" or "))),
            because: String::new(),
            evidence: Vec::new(),
            definition: self.decision.into(),
            flips: self.flips.into(),
        }
    }
}

/// No accelerator is part of it.
const ANY_HOST: &str = "admissible on any host: no hardware virtualization is involved";
/// Only slowness and cost are handicapped.
const TCG_SLOW: &str = "a VM that is quicker or cheaper counts under any accelerator; one that is slower or dearer counts \
                        only under hardware virtualization, for interpreted guests (TCG) are slower than they are";
/// What checks need.
const CHECKS: &str = "a check counts where all its controls are green: the same probe must leak with the mechanism \
                      switched off";
/// Verdict on checks.
const ALL_HOLD: &str = "supported where every check of it holds for every backend of that kind, refuted where one leaks \
                        with green controls, mixed where backends disagree";

/// All claims, in the order of the article.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "boot-every-vm",
        statement: "every VM goes through a full boot before it serves, also when all are clones of one template",
        hypothesis: "between the start of a VM and ready there is always a phase firmware, kernel or init",
        metric: "phases of vm:full, vm:direct and vm:restore; start → serving against container engines",
        decision: "refuted for memory templates where a restored VM serves without such a phase; upheld for disk \
                   templates where clones of them boot",
        flips: "restoring a running template is no boot by this definition; who calls loading its memory a boot keeps \
                the claim",
        admissible: TCG_SLOW,
        scenarios: &["boot-storm"],
        chart: Some("phases"),
    },
    Claim {
        id: "boot-delays-service",
        statement: "the boot of a VM delays the services inside it",
        hypothesis: "most of what passes until a VM serves passes before its service begins",
        metric: "share of start → serving that is spent before the workload's first instruction, one value a storm",
        decision: "supported for a backend where the whole 95 % interval of the share is above one half, refuted where \
                   it is below",
        flips: "a service that needs long itself makes the share small: it is a statement about this workload",
        admissible: "a share below one half counts under any accelerator; one above only under hardware virtualization",
        scenarios: &["boot-storm"],
        chart: Some("phases"),
    },
    Claim {
        id: "storm-stress",
        statement: "boot storms of VMs stress the infrastructure",
        hypothesis: "what runs beside a storm is slowed down by it, and something waits",
        metric: "latency of a canary beside the storm as a multiple of that between storms; PSI",
        decision: "supported where the whole 95 % interval of the canary's slowdown is above 1.1 at this storm size, \
                   refuted where it is below and something waited for a CPU less than 10 % of the time, mixed where \
                   only one of the two says so",
        flips: "few starts per core may not be felt where many are; the same slowdown by storms of containers would make \
                it no matter of VMs",
        admissible: TCG_SLOW,
        scenarios: &["boot-storm", "storm-sweep", "node-failure"],
        chart: Some("stress"),
    },
    Claim {
        id: "no-boot-time",
        statement: "containers have no boot time",
        hypothesis: "a container takes no longer to its first instruction than a bare process",
        metric: "start → ready of containers over process (Hodges–Lehmann over storms)",
        decision: "boot time is what start → ready takes beyond that of a bare process of the same program in the same \
                   run: refuted where the 95 % interval of this difference lies above 0, supported where it lies below",
        flips: "where boot means an operating system coming up (firmware, kernel, init), a container has none: no such \
                phase is among its phases, and the claim holds",
        admissible: ANY_HOST,
        scenarios: &["boot-storm"],
        chart: Some("ecdf"),
    },
    Claim {
        id: "vm-image-portability",
        statement: "a VM image does not move between hypervisors unchanged, for each has its own format and hardware",
        hypothesis: "some disk format or hardware profile does not boot an image that another one boots",
        metric: "matrix of disk formats × hardware profiles, each booted; what had to change; bytes and time of conversion",
        decision: "supported where a cell fails without a change to the image, refuted where all boot",
        flips: "conversion of the format alone changes no byte of the disk's content: who calls that unchanged may see \
                it refuted",
        admissible: "a cell that boots counts under any accelerator; one that times out only under hardware virtualization",
        scenarios: &["portability"],
        chart: Some("vm-formats"),
    },
    Claim {
        id: "container-portability",
        statement: "containers run almost anywhere without modification",
        hypothesis: "one image digest gives the same output under every runtime, engine, kernel and cgroup version",
        metric: "matrix of runtimes × hosts, output compared byte for byte",
        decision: "supported where all cells agree, mixed where some fail, with the reason of each",
        flips: "another processor architecture needs another image",
        admissible: ANY_HOST,
        scenarios: &["portability"],
        chart: Some("containers"),
    },
    checks(
        "ns-pid",
        "a PID namespace has its own process numbers; siblings do not see each other, the parent sees all",
    ),
    checks(
        "ns-net",
        "a network namespace has its own interfaces, firewall rules and routes, and a veth pair connects two",
    ),
    checks("ns-uts", "a UTS namespace has its own host name"),
    checks("ns-mount", "a mount namespace has its own view of file systems, some of them read-only"),
    checks("ns-ipc", "System V IPC is not shared between IPC namespaces"),
    checks("ns-user", "a user namespace has its own user ids"),
    Claim {
        id: "ns-six",
        statement: "there are six kinds of namespace",
        hypothesis: "the kernel lists six",
        metric: "entries of /proc/self/ns without the *_for_children",
        decision: "supported where there are six, refuted where not",
        flips: "of the kernel of the article's time, without cgroup and time namespaces, six is right",
        admissible: ANY_HOST,
        scenarios: &["isolation"],
        chart: None,
    },
    checks("ns-unaware", "what lives in one namespace does not know of the others"),
    Claim {
        id: "ns-full-access",
        statement: "namespaces alone leave everyone the whole machine",
        hypothesis: "a container with every namespace and without one limit takes what the limit would have kept",
        metric: "checks of limits that hold, and what the same container took without the limit; what of the kernel \
                 is the host's",
        decision: "supported where a limit left out is exceeded, mixed where some of the kernel is its own all the same",
        flips: "the kernel's own limits for all (pid_max, what is free) hold without cgroups too",
        admissible: CHECKS,
        scenarios: &["isolation"],
        chart: None,
    },
    readings("cg-limit", "cgroups limit memory, CPU and I/O"),
    readings("cg-prioritize", "cgroups prioritise"),
    readings("cg-account", "cgroups account for what was used"),
    readings("cg-control", "cgroups freeze, checkpoint and restart"),
    checks("cg-collection", "cgroups act on a whole collection of processes"),
    checks(
        "vm-isolation",
        "a virtual machine shares with its host and its siblings nothing but the hypervisor",
    ),
    checks(
        "privilege",
        "what a program inside may do ends inside: by its capabilities, system calls and the kernel's switches",
    ),
    Claim {
        id: "container-equation",
        statement: "a container is processes, namespaces and cgroups, and nothing else",
        hypothesis: "a container built of these terms alone loses something with each of them, and with nothing else",
        metric: "checks that hold in our own container and leak in the same without one mechanism, by term",
        decision: "supported where namespaces and cgroups each have such checks and nothing else has, mixed where \
                   something that is neither has them too",
        flips: "who counts capabilities and the filter of calls as part of the processes may see it supported",
        admissible: CHECKS,
        scenarios: &["isolation"],
        chart: None,
    },
    checks("layers-immutable", "all layers of an image but the top one are immutable"),
    Claim {
        id: "identical-copies",
        statement: "any number of instances anywhere are identical",
        hypothesis: "instances of one image digest show the same files and say the same, wherever they are",
        metric: "digest of the visible files and of the output, over runtimes, engines, kernels and cgroup versions",
        decision: "supported where all are equal, mixed where some are not, refuted where none is like the first",
        flips: "host names, ids and what the kernel says of itself differ, and are not counted: who counts them may \
                see it refuted",
        admissible: ANY_HOST,
        scenarios: &["portability"],
        chart: Some("containers"),
    },
    Claim {
        id: "oci-bundle",
        statement: "the runtime specification runs a file-system bundle, and the image specification encodes one",
        hypothesis: "a bundle made of an image runs in every runtime, and an image made of the bundle is the same",
        metric: "outcome of the bundle in each OCI runtime; digests before and after image → bundle → image",
        decision: "supported where every runtime runs it and every digest is kept, refuted where none runs it, else mixed",
        flips: "a configuration and its defaults are written in more than one way: by the files alone round trips keep \
                everything",
        admissible: ANY_HOST,
        scenarios: &["portability"],
        chart: None,
    },
    Claim {
        id: "vm-density",
        statement: "a complete operating system in every VM costs memory that a container does not pay",
        hypothesis: "one more VM costs the host more memory than one more container of the same workload",
        metric: "slope of memory through growing numbers of instances, by every accounting method, KSM off and on",
        decision: "the cost of one more is the slope of a line through growing numbers of the same workload: supported \
                   where the VM's whole 95 % interval is above the container's, refuted where below",
        flips: "by private pages alone a restored VM pays only for what it changes; by virtual size every VM pays for \
                all its RAM",
        admissible: TCG_SLOW,
        scenarios: &["density"],
        chart: Some("footprint"),
    },
];

/// A claim that isolation and control checks decide.
const fn checks(id: &'static str, statement: &'static str) -> Claim {
    Claim {
        id,
        statement,
        hypothesis: "every check of it holds, and leaks where its mechanism is switched off",
        metric: "isolation and control checks: probe inside, witness outside, controls",
        decision: ALL_HOLD,
        flips: "a backend that leaves the mechanism out is another backend, not a refutation",
        admissible: CHECKS,
        scenarios: &["isolation"],
        chart: None,
    }
}

/// A claim that numbers asked and measured decide.
const fn readings(id: &'static str, statement: &'static str) -> Claim {
    Claim {
        hypothesis: "what is measured is what was asked, and is not where the mechanism is off",
        metric: "asked against measured, by the host's count and by the work done inside",
        decision: "supported where for every backend and case the whole 95 % interval counts as what was asked, refuted \
                   where it lies outside, mixed where they disagree; a case whose control fails says nothing",
        flips: "narrower or wider bounds of what counts as asked: they stand beside each figure",
        admissible: "admissible on any host that is otherwise quiet: what else is busy takes from who may have all, and \
                     the control shows it",
        scenarios: &["prioritize", "isolation"],
        chart: Some("readings"),
        ..checks(id, statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_is_whole_and_there_once() {
        assert_eq!(CLAIMS.len(), 27);
        for (index, one) in CLAIMS.iter().enumerate() {
            assert!(CLAIMS[..index].iter().all(|other| other.id != one.id), "{}", one.id);
            for text in [one.statement, one.hypothesis, one.metric, one.decision, one.flips, one.admissible] {
                assert!(text.len() > 10, "{}: {text:?}", one.id);
            }
            assert!(
                matches!(one.unjudged().verdict, Verdict::Undetermined(why) if why.contains("needs bench run"))
            );
        }
        assert_eq!(claim("ns-six").map(|one| one.scenarios), Some(&["isolation"][..]));
        assert_eq!(claim("ns-seven"), None);
    }
}
