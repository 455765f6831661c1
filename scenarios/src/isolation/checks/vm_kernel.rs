//! What a machine does to its own kernel that would be everybody's in a container: its clock, its parameters.
//! Done in machines only; that a bare process may do the same to the host is asked without doing it.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use guest::probe::Request;
use nix::libc;

use super::super::check::{Absent, Check, Company, Finding, HostPlant, Missing, OnHost};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use super::vm::of_machines;

/// A month.
const AHEAD_S: u32 = 30 * 24 * 3600;
/// Much more than a host's clock is corrected by at once, and much less than a month.
const TOLERANCE_S: u64 = 60;
/// How eagerly pages are swapped: any value from 0 to 200 harms nobody (admin-guide/sysctl/vm.rst).
const SWAPPINESS: &str = "/proc/sys/vm/swappiness";

pub(super) const ALL: &[Check] = &[
    Check {
        company: Company::Alone,
        on_host: Some(Clock::plant),
        look: Some(|scene| match scene.kind {
            Kind::Machine => vec![Request::SetClock { ahead_s: AHEAD_S }],
            // Neither a time nor a zone: it is asked whether it may, and nothing is set.
            _ => vec![Request::Call { number: libc::SYS_settimeofday, arguments: vec![0, 0] }],
        }),
        judge: |scene| {
            let (look, errno) = (scene.look(0)?, scene.look(0)?.number("errno")?);
            if scene.kind != Kind::Machine {
                return Ok(match errno as i32 {
                    0 => Finding::Open("it may set the host's clock".into()),
                    _ => Finding::Wrong(judge::name(errno)),
                });
            }
            let ahead_s = (look.number("after_ns")? - look.number("before_ns")?) / 1_000_000_000;
            let said = format!("{}; its clock went ahead by {ahead_s} s", judge::name(errno));
            Ok(match (ahead_s + 1 >= i64::from(AHEAD_S), scene.host()?.witness()) {
                (false, _) => Finding::Wrong(said),
                (true, Ok(host)) => Finding::Apart(format!("{said}; {host}")),
                (true, Err(host)) => Finding::Open(format!("{said}; {host}")),
            })
        },
        // What the judge looks at must not keep it from looking.
        witness: |_| Ok("the host's clock is read before and after".into()),
        ..of_machines(
            "vm-clock",
            "is a clock that is set inside the host's?",
            "clock_settime(2), settimeofday(2); time_namespaces(7): the clock of the day has none",
        )
    },
    Check {
        company: Company::Alone,
        on_host: Some(Parameter::plant),
        look: Some(|scene| {
            let text =
                if scene.kind == Kind::Machine { value(scene.nonce).to_string() } else { String::new() };
            let path = || SWAPPINESS.to_owned();
            vec![Request::Write { path: path(), text }, Request::Read { path: path(), most: 16 }]
        }),
        judge: |scene| {
            let errno = scene.look(0)?.number("open")?;
            if scene.kind != Kind::Machine {
                return Ok(match errno {
                    0 => Finding::Open("the host's opens for writing".into()),
                    _ => Finding::Wrong(judge::name(errno)),
                });
            }
            let (inside, wanted) = (scene.look(1)?.text("text")?.trim(), value(scene.nonce).to_string());
            let host = read()?;
            let said = format!("set to {wanted} inside, where it is {inside} then; the host's is {host}");
            Ok(match (inside == wanted, host == wanted) {
                (false, _) => Finding::Wrong(said),
                (true, true) => Finding::Open(said),
                (true, false) => Finding::Apart(said),
            })
        },
        ..of_machines(
            "vm-parameter",
            "is a kernel parameter that is set inside the host's?",
            "sysctl(8); admin-guide/sysctl/vm.rst, swappiness",
        )
    },
];

/// The host's clock of the day beside the one that nobody sets.
struct Clock {
    day_s: u64,
    began: Instant,
}

fn day_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Clock {
    fn plant(_: &Nonce) -> HostPlant {
        Ok(Box::new(Clock { day_s: day_s(), began: Instant::now() }))
    }
}

impl OnHost for Clock {
    fn witness(&self) -> Result<String, String> {
        let off_s = day_s().abs_diff(self.day_s + self.began.elapsed().as_secs());
        match off_s {
            ..TOLERANCE_S => Ok(format!("the host's clocks agree within {off_s} s")),
            _ => Err(format!("the host's clock of the day has moved by {off_s} s")),
        }
    }
}

/// A value for a machine that is not the host's.
fn value(nonce: &Nonce) -> u64 {
    nonce.amplitude(101, 199)
}

fn read() -> Result<String, Missing> {
    fs::read_to_string(SWAPPINESS)
        .map(|text| text.trim().to_owned())
        .map_err(|error| Missing(format!("{SWAPPINESS}: {error}")))
}

/// The host's parameter.
struct Parameter;

impl Parameter {
    fn plant(nonce: &Nonce) -> HostPlant {
        match read() {
            Ok(text) if text == value(nonce).to_string() => {
                Err(Absent(format!("the host's is {text} already")))
            }
            Ok(_) => Ok(Box::new(Parameter)),
            Err(Missing(why)) => Err(Absent(why)),
        }
    }
}

impl OnHost for Parameter {
    fn witness(&self) -> Result<String, String> {
        read().map(|text| format!("the host's {SWAPPINESS} is {text}")).map_err(|Missing(why)| why)
    }
}
