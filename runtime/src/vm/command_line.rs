//! The guest kernel's command line (Documentation/admin-guide/kernel-parameters.rst).

use super::options::Accel;
use super::recipe::GUEST_PORT;

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

/// The frequency of the host's time stamp counter in kHz. Read once a run: on large hosts the kernel
/// asks every processor for its share of the answer.
pub(super) fn tsc_khz() -> Option<u64> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    let mhz: f64 = line.split(':').nth(1)?.trim().parse().ok()?;
    Some((mhz * 1000.0).round() as u64)
}
