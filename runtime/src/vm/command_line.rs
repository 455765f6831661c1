//! The guest kernel's command line (Documentation/admin-guide/kernel-parameters.rst).

use std::sync::OnceLock;
use std::time::Duration;

use super::options::Accel;
use super::recipe::GUEST_PORT;
use crate::clock::now_ns;

/// For the guest program as PID 1 with `plan`. `tsc_khz`: see [`tsc_khz`].
pub(super) fn of_guest(accel: Accel, tsc_khz: Option<u64>, plan: &str) -> String {
    // No text on consoles that nobody reads; a panic ends the machine at once.
    let mut words = vec!["quiet".to_owned(), "panic=-1".into(), "reboot=t".into()];
    // The self-tests of the crypto manager, and waiting for entropy, are no part of what is compared.
    words.extend(["cryptomgr.notests".into(), "random.trust_cpu=on".into()]);
    words.extend(for_accelerator(accel, tsc_khz));
    // Behind "--": arguments of init.
    words.extend(["--".into(), format!("port:{GUEST_PORT}"), plan.to_owned()]);
    words.join(" ")
}

/// What any Linux needs under `accel`.
pub(super) fn for_accelerator(accel: Accel, tsc_khz: Option<u64>) -> Vec<String> {
    if accel != Accel::Tcg {
        return Vec::new();
    }
    // Calibrating the clock against an emulated timer loses a race on a busy host and spins for
    // ever; the frequency of the time stamp counter, which TCG passes through, is known.
    std::iter::once("no_timer_check".into())
        .chain(tsc_khz.map(|khz| format!("tsc_early_khz={khz}")))
        .collect()
}

/// The frequency of the host's time stamp counter in kHz, measured once against the clock. What
/// /proc/cpuinfo shows is the processor's momentary frequency, which is another thing.
pub(super) fn tsc_khz() -> Option<u64> {
    static KHZ: OnceLock<Option<u64>> = OnceLock::new();
    *KHZ.get_or_init(measure_tsc_khz)
}

#[cfg(target_arch = "x86_64")]
fn measure_tsc_khz() -> Option<u64> {
    // An uninterrupted pair of readings: the quickest of several tries.
    let read = || {
        let tries = (0..16).map(|_| {
            let before_ns = now_ns();
            // SAFETY: every x86-64 processor has the instruction.
            let ticks = unsafe { std::arch::x86_64::_rdtsc() };
            (now_ns() - before_ns, before_ns, ticks)
        });
        tries.min_by_key(|(took_ns, _, _)| *took_ns)
    };
    let (_, begin_ns, begin) = read()?;
    std::thread::sleep(Duration::from_millis(20));
    let (_, end_ns, end) = read()?;
    let ticks = u128::from(end.checked_sub(begin)?);
    u64::try_from(ticks * 1_000_000 / u128::from(end_ns.checked_sub(begin_ns)?)).ok()
}

#[cfg(not(target_arch = "x86_64"))]
fn measure_tsc_khz() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_frequency_is_steady() {
        let Some(one) = measure_tsc_khz() else { return };
        let two = measure_tsc_khz().expect("measured");
        assert!(one.abs_diff(two) < one / 200, "{one} and {two} kHz");
    }
}
