//! What a network namespace costs by itself: the kernel's share of a container that no process shows.

use std::fs::File;
use std::path::Path;

use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::{Value, json};

use super::account::Host;

/// Made at once: enough to stand out of what else happens on the host.
const COUNT: u64 = 200;

/// Makes network namespaces with nothing in them, looks at the host before and after, and lets them go.
/// `None` where they may not be made.
pub(super) fn price() -> Option<Value> {
    std::thread::spawn(|| {
        let before = Host::read(Path::new("/"));
        let mut held = Vec::new();
        for _ in 0..COUNT {
            // SAFETY: only this thread, which does nothing but this, has another network from here on.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.ok()?;
            held.push(File::open("/proc/thread-self/ns/net").ok()?);
        }
        let after = Host::read(Path::new("/"));
        Some(each(&before, &after))
    })
    .join()
    .ok()
    .flatten()
}

fn each(before: &Host, after: &Host) -> Value {
    let each = |more: Option<u64>, less: Option<u64>| {
        more.zip(less).map(|(more, less)| (more as f64 - less as f64) / COUNT as f64)
    };
    json!({
        "made": COUNT,
        "available_bytes_each": each(before.available_bytes, after.available_bytes),
        "slab_bytes_each": each(after.slab_bytes, before.slab_bytes),
        "percpu_bytes_each": each(after.percpu_bytes, before.percpu_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_is_of_one() {
        let host = |available, slab| Host {
            available_bytes: Some(available),
            slab_bytes: Some(slab),
            ..Host::default()
        };
        let price = each(&host(1_000_000, 0), &host(600_000, 300_000));
        assert_eq!(price["available_bytes_each"], 2000.0);
        assert_eq!(price["slab_bytes_each"], 1500.0);
        assert_eq!(price["percpu_bytes_each"], Value::Null);
    }

    #[test]
    fn namespaces_are_made_and_the_host_is_looked_at() {
        let Some(price) = price() else {
            println!("skipped: no network namespace may be made here");
            return;
        };
        // How much is another matter: other tests come and go meanwhile.
        assert_eq!(price["made"], COUNT);
        assert!(price["slab_bytes_each"].is_f64() && price["available_bytes_each"].is_f64(), "{price}");
    }
}
