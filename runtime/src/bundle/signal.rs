//! Signals as people and engines write them.

use crate::Error;

/// Names without `SIG` and their numbers (signal(7)).
const NAMES: &[(&str, i32)] = &[
    ("ABRT", libc::SIGABRT),
    ("ALRM", libc::SIGALRM),
    ("BUS", libc::SIGBUS),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("FPE", libc::SIGFPE),
    ("HUP", libc::SIGHUP),
    ("ILL", libc::SIGILL),
    ("INT", libc::SIGINT),
    ("IO", libc::SIGIO),
    ("IOT", libc::SIGIOT),
    ("KILL", libc::SIGKILL),
    ("PIPE", libc::SIGPIPE),
    ("POLL", libc::SIGPOLL),
    ("PROF", libc::SIGPROF),
    ("PWR", libc::SIGPWR),
    ("QUIT", libc::SIGQUIT),
    ("SEGV", libc::SIGSEGV),
    ("STKFLT", libc::SIGSTKFLT),
    ("STOP", libc::SIGSTOP),
    ("SYS", libc::SIGSYS),
    ("TERM", libc::SIGTERM),
    ("TRAP", libc::SIGTRAP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("VTALRM", libc::SIGVTALRM),
    ("WINCH", libc::SIGWINCH),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
];

/// The number of a signal given as a number, a name with or without `SIG` in any case, or `RTMIN+n`
/// and `RTMAX-n`.
///
/// # Errors
/// Where there is no such signal.
pub fn parse(text: &str) -> Result<i32, Error> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() { Some(0) } else { rest.strip_prefix(sign)?.parse().ok() }
    };
    let number = if let Ok(number) = text.parse::<i32>() {
        Some(number).filter(|number| (1..=last).contains(number))
    } else if let Some(rest) = name.strip_prefix("RTMIN") {
        offset(rest, '+')
            .and_then(|plus| first.checked_add(plus))
            .filter(|number| (first..=last).contains(number))
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        offset(rest, '-')
            .and_then(|minus| last.checked_sub(minus))
            .filter(|number| (first..=last).contains(number))
    } else {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    };
    number.ok_or_else(|| Error::Invalid(format!("{text:?} is no signal: a name as TERM or a number as 15")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("15", 15),
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sigusr1", 10),
            ("hup", 1),
            ("64", 64),
            ("RTMIN+3", 37),
            ("SIGRTMAX", 64),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for text in
            ["", "0", "65", "-9", "SIG", "TERMINATE", "RTMIN+40", "RTMIN-1", "9.5", "RTMIN+2147483647"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
