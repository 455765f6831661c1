//! What systemd is told before it loads its units (systemd.generator(7)): a unit for the workload, or
//! a drop-in for the unit that is the workload, and the network's address.
//!
//! The image stays as it is: everything here lives in /run and is made anew in each boot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use guest::{Message, Plan, Protocol, Workload};

use super::channel::Channel;
use super::fw_cfg::FwCfg;
use super::past;

/// Last part of the name systemd calls this program by.
pub const GENERATOR: &[u8] = b"bench-generator";
/// The file of QEMU's firmware configuration with the plan.
const PLAN_FILE_OF_QEMU: &str = "opt/org.bench/plan";
const PLAN_FILE: &str = "/run/bench/plan";
/// Where this program is in such an image, and how it speaks.
const PROGRAM: &str = "/usr/lib/bench/guest";
const PORT: &str = "e9";
/// Where units of the system are, in the order of precedence.
const UNIT_FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const NETWORK_FOLDER: &str = "/run/systemd/network";
/// What waits for the network, and how long it may.
const WAITER: &str = "/lib/systemd/systemd-networkd-wait-online";
const ONLINE_S: u32 = 30;

/// Prepares the boot. `words` are the name, and the folders for units of normal, early and late
/// precedence. A machine that gives no plan is somebody else's and stays as it is.
pub fn generate(words: &[String]) -> i32 {
    let Ok(device) = FwCfg::open() else { return 0 };
    let Some(plan) = device.find(PLAN_FILE_OF_QEMU).map(|file| device.content(file)) else { return 0 };
    let Some(channel) = Channel::at_port(PORT) else { return 1 };
    // Here and not in the unit, whose devices are restricted even for those with full privileges.
    past::tell_beginnings(&channel);
    let done = words
        .get(1)
        .ok_or_else(|| "systemd gives its generators no folder".to_owned())
        .and_then(|folder| prepare(Path::new(folder), &plan));
    match done {
        Ok(()) => 0,
        Err(error) => {
            channel.send(&Message::Failed { error });
            1
        }
    }
}

fn prepare(folder: &Path, word: &[u8]) -> Result<(), String> {
    let plan = Plan::from_word(&String::from_utf8_lossy(word))?;
    write(Path::new(PLAN_FILE), word)?;
    if let Some(address) = &plan.address {
        network(folder, address)?;
    }
    let name = match &plan.workload {
        Workload::Service { service, .. } => {
            let name = unit_of(service.protocol)?;
            write(&folder.join(format!("{name}.d/bench.conf")), drop_in(service.port).as_bytes())?;
            let failed = folder.join("bench-failed@.service");
            write(&failed, failure_unit().as_bytes())?;
            name
        }
        _ => {
            write(&folder.join("bench-guest.service"), guest_unit(plan.address.is_some()).as_bytes())?;
            "bench-guest.service".to_owned()
        }
    };
    let unit = find(&name).unwrap_or_else(|| folder.join(&name).display().to_string());
    want(folder, "multi-user.target", &name, &unit)
}

/// The unit of the workload this program is itself.
fn guest_unit(networked: bool) -> String {
    let network = if networked { "Wants=network-online.target\nAfter=network-online.target\n" } else { "" };
    format!(
        "[Unit]\nDescription=Workload of bench\n{network}\
         [Service]\nType=exec\nExecStart={PROGRAM} port:{PORT} @{PLAN_FILE}\n"
    )
}

/// What is added to the unit of a service: `ready` last before its first instruction, `listening`
/// once systemd counts it as started. Commands with `+` run outside the unit's restrictions
/// (systemd.service(5)).
fn drop_in(port: u16) -> String {
    format!(
        "[Unit]\nWants=network-online.target\nAfter=network-online.target\nOnFailure=bench-failed@%n.service\n\
         [Service]\nExecStartPre=+{PROGRAM} port:{PORT} @{PLAN_FILE}\n\
         ExecStartPost=+{PROGRAM} tell:{PORT} listening {port}\n"
    )
}

fn failure_unit() -> String {
    format!(
        "[Unit]\nDescription=Tells that %i has failed\n[Service]\nType=oneshot\nExecStart={PROGRAM} tell:{PORT} failed %i\n"
    )
}

/// The unit by which distributions start a service of this kind.
fn unit_of(protocol: Protocol) -> Result<String, String> {
    let names: &[&str] = match protocol {
        Protocol::Redis => &["redis-server.service", "redis.service", "valkey-server.service"],
        Protocol::Http => {
            &["nginx.service", "apache2.service", "httpd.service", "lighttpd.service", "caddy.service"]
        }
    };
    names
        .iter()
        .find(|name| find(name).is_some())
        .map(|name| (*name).to_owned())
        .ok_or_else(|| format!("the image has none of the units {}: add its package", names.join(", ")))
}

fn find(name: &str) -> Option<String> {
    UNIT_FOLDERS.iter().map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).is_file())
}

/// The address for the first Ethernet interface there is, by systemd-networkd (systemd.network(5)).
fn network(folder: &Path, address: &str) -> Result<(), String> {
    let daemon = "systemd-networkd.service";
    let path =
        find(daemon).ok_or_else(|| format!("the image has no {daemon} to give it the address {address}"))?;
    let file = Path::new(NETWORK_FOLDER).join("10-bench.network");
    let text = format!(
        "[Match]\nType=ether\n[Network]\nAddress={address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nDHCP=no\n"
    );
    write(&file, text.as_bytes())?;
    want(folder, "multi-user.target", daemon, &path)?;
    let waiter = "systemd-networkd-wait-online.service";
    let Some(path) = find(waiter) else { return Ok(()) };
    // Two minutes is its own patience with a machine without a network.
    let patience = format!("[Service]\nExecStart=\nExecStart={WAITER} --timeout={ONLINE_S}\n");
    write(&folder.join(format!("{waiter}.d/bench.conf")), patience.as_bytes())?;
    want(folder, "network-online.target", waiter, &path)
}

fn want(folder: &Path, target: &str, name: &str, unit: &str) -> Result<(), String> {
    let wants = folder.join(format!("{target}.wants"));
    let refused = |error: std::io::Error| format!("cannot enable {name} in {}: {error}", wants.display());
    fs::create_dir_all(&wants).map_err(refused)?;
    symlink(unit, wants.join(name)).map_err(refused)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
