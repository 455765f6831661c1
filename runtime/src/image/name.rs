//! The names of a layer's entries: which are refused, and which are whiteouts
//! (OCI image specification, layer.md, "Whiteouts").

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of an old union file system (`.wh..wh.plnk`), never content.
const BOOKKEEPING: &[u8] = b".wh..wh.";
const COMPONENT_LIMIT_BYTES: usize = 255;
const PATH_LIMIT_BYTES: usize = 4096;

/// What an entry's name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// To be placed at this path; empty for the root itself.
    Plain(Vec<Vec<u8>>),
    /// What lower layers have at this path is hidden.
    Whiteout(Vec<Vec<u8>>),
    /// What lower layers have below this path is hidden.
    Opaque(Vec<Vec<u8>>),
    /// Neither placed nor acted upon.
    Bookkeeping,
}

/// Cuts a path that must stay below the root into its components.
///
/// # Errors
/// Why it is refused.
pub(crate) fn components(path: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if path.is_empty() {
        return Err("the name is empty".into());
    }
    if path.contains(&0) {
        return Err("the name contains a NUL".into());
    }
    if path.starts_with(b"/") {
        return Err("the name is absolute".into());
    }
    if path.len() > PATH_LIMIT_BYTES {
        return Err(format!("the name has {} bytes, more than {PATH_LIMIT_BYTES}", path.len()));
    }
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err("the name contains `..`".into()),
            long if long.len() > COMPONENT_LIMIT_BYTES => {
                return Err(format!("a component of the name is longer than {COMPONENT_LIMIT_BYTES} bytes"));
            }
            component => components.push(component.to_vec()),
        }
    }
    Ok(components)
}

/// Reads an entry's name.
///
/// # Errors
/// Why it is refused.
pub(crate) fn read(path: &[u8]) -> Result<Name, String> {
    let mut components = components(path)?;
    let Some(last) = components.pop() else { return Ok(Name::Plain(components)) };
    if components.iter().any(|component| component.starts_with(BOOKKEEPING)) {
        return Ok(Name::Bookkeeping);
    }
    if components.iter().any(|component| component.starts_with(WHITEOUT)) {
        return Err("a whiteout is used as a folder".into());
    }
    if last == OPAQUE {
        return Ok(Name::Opaque(components));
    }
    if last.starts_with(BOOKKEEPING) {
        return Ok(Name::Bookkeeping);
    }
    match last.strip_prefix(WHITEOUT) {
        Some(b"" | b"." | b"..") => Err("a whiteout that names no entry".into()),
        Some(hidden) => {
            components.push(hidden.to_vec());
            Ok(Name::Whiteout(components))
        }
        None => {
            components.push(last);
            Ok(Name::Plain(components))
        }
    }
}

/// The components as one relative path; `.` for the root.
pub(crate) fn join(components: &[Vec<u8>]) -> Vec<u8> {
    if components.is_empty() { b".".to_vec() } else { components.join(&b'/') }
}

/// A component as the system calls want it.
pub(crate) fn os(component: &[u8]) -> &OsStr {
    OsStr::from_bytes(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_root_are_refused() {
        for bad in
            ["", "/etc/passwd", "../x", "a/../../x", "a/..", "a\0b", &"x".repeat(256), &"a/".repeat(3000)]
        {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whiteouts_are_told_from_names() {
        let path = |text: &str| text.split('/').map(|c| c.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(read(b"./a//b/"), Ok(Name::Plain(path("a/b"))));
        assert_eq!(read(b"./"), Ok(Name::Plain(vec![])));
        assert_eq!(read(b"a/.wh.b"), Ok(Name::Whiteout(path("a/b"))));
        assert_eq!(read(b"a/.wh..wh..opq"), Ok(Name::Opaque(path("a"))));
        assert_eq!(read(b".wh..wh.plnk/1.2"), Ok(Name::Bookkeeping));
        for bad in ["a/.wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
