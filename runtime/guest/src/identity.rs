//! What sets one copy of a machine apart from the others.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// The name under which a machine finds its [`Identity`] among the files of QEMU's firmware
/// configuration device (docs/specs/fw_cfg.rst; `opt/` is for users).
pub const IDENTITY_FILE: &str = "opt/bench/identity";

/// The name under which a machine finds its plan there, where that is too long for a kernel's command
/// line (COMMAND_LINE_SIZE is 2,048 on x86).
pub const PLAN_FILE: &str = "opt/bench/plan";

/// The word on the command line that stands for it.
pub const PLAN_IN_FW_CFG: &str = "@fw_cfg";

/// What the file holds in a machine that is nobody's copy.
pub const NO_IDENTITY: &[u8] = b"none";

/// What a copy of a machine is given when it begins to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Host name.
    pub hostname: String,
    /// 32 hexadecimal digits (machine-id(5)).
    pub machine_id: String,
    /// Hardware address of the first network interface, `aa:bb:cc:dd:ee:ff`.
    #[serde(default)]
    pub mac: Option<String>,
    /// Address of the first network interface, `a.b.c.d/prefix`.
    #[serde(default)]
    pub address: Option<String>,
    /// Fresh random bytes of the host, hexadecimal. Empty only in tests that show what becomes of
    /// copies without.
    pub entropy: String,
    /// The host's CLOCK_REALTIME in nanoseconds when the copy was begun.
    pub realtime_ns: u64,
    /// What to do, where it is not what the machine does already.
    #[serde(default)]
    pub plan: Option<Plan>,
}

/// What a copy has become, as read back from its kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Became {
    /// Host name.
    pub hostname: String,
    /// Content of /etc/machine-id.
    pub machine_id: String,
    /// Hardware address of the first network interface.
    #[serde(default)]
    pub mac: Option<String>,
    /// Address of the first network interface.
    #[serde(default)]
    pub address: Option<String>,
    /// The next 16 bytes of its random stream, hexadecimal.
    pub random: String,
    /// Its CLOCK_REALTIME in nanoseconds.
    pub realtime_ns: u64,
}
