//! Host and domain name (uname(2), uts_namespaces(7)).

use guest::probe::Facts;

use super::{errno_of, facts, number, text};

/// As uname(2) tells them.
pub fn names() -> Facts {
    // SAFETY: utsname is plain data that the call fills in.
    let (result, name) = unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        (libc::uname(&mut name), name)
    };
    let bytes = |field: &[libc::c_char]| -> Vec<u8> {
        field.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect()
    };
    facts([
        ("errno", number(errno_of(result.into()))),
        ("host", text(&bytes(&name.nodename))),
        ("domain", text(&bytes(&name.domainname))),
        ("release", text(&bytes(&name.release))),
    ])
}

/// sethostname(2) and setdomainname(2).
pub fn set_names(host: &str, domain: &str) -> Facts {
    // SAFETY: both strings live through the calls, with their lengths.
    let (one, two) = unsafe {
        let one = libc::sethostname(host.as_ptr().cast(), host.len());
        let one = errno_of(one.into());
        let two = libc::setdomainname(domain.as_ptr().cast(), domain.len());
        (one, errno_of(two.into()))
    };
    let mut seen = names();
    let is = |name: &str, wanted: &str| seen.get(name) == Some(&text(wanted.as_bytes()));
    let own = i64::from(is("host", host) && is("domain", domain));
    seen.insert("errno".into(), number(if one != 0 { one } else { two }));
    seen.insert("own".into(), number(own));
    seen
}
