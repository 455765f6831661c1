//! What each copy of a machine has of its own.

use std::fs::File;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use guest::{Identity, Plan};
use sha2::{Digest, Sha256};

use super::super::recipe::Network;
use crate::{Error, InstanceName};

/// Bytes of entropy each copy is given: twice what the kernel's generator holds.
const ENTROPY_BYTES: usize = 64;

/// The identity of instance `name` of run `run_id`.
///
/// # Errors
/// Where the system gives no random bytes.
pub(super) fn of(
    run_id: &str,
    name: &InstanceName,
    network: Option<&Network>,
    plan: Option<Plan>,
) -> Result<Identity, Error> {
    let mut entropy = [0; ENTROPY_BYTES];
    let path = "/dev/urandom";
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut entropy))
        .map_err(Error::system(format!("read {path}")))?;
    // Not the entropy itself, which nobody else may know.
    let mut machine_id = Sha256::new();
    machine_id.update(format!("machine-id {run_id} {name} "));
    machine_id.update(entropy);
    let realtime = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Identity {
        hostname: format!("{run_id}-{name}"),
        machine_id: hex(&machine_id.finalize()[..16]),
        mac: network.map(|network| network.mac.clone()),
        address: network.map(Network::guest_address),
        entropy: hex(&entropy),
        realtime_ns: u64::try_from(realtime.as_nanos()).unwrap_or(u64::MAX),
        plan,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
