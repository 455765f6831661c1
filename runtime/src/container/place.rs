//! Paths inside the new root, found and made without ever leaving it.
//!
//! Each part is resolved by the kernel below the root's descriptor (openat2(2)), so that no
//! symbolic link of an image, and none exchanged meanwhile, leads outside (CVE-2019-19921,
//! CVE-2021-30465, CVE-2024-45310, CVE-2026-41579).

use std::ffi::{CStr, CString};
use std::path::{Component, Path};

use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// A path inside, ready for the child.
#[derive(Debug)]
pub(super) struct Place {
    /// Relative to the root; `.` for the root itself.
    whole: CString,
    /// Each folder above it with the name in it, outermost first: what to make where it is missing.
    parts: Vec<(CString, CString)>,
    resolve: u64,
}

/// What to make at a place that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Folder,
    File,
}

/// Whether symbolic links inside may be followed, within the root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Followed,
    Refused,
}

impl Place {
    /// # Errors
    /// Where the path is not absolute, climbs, or has a NUL.
    pub(super) fn new(path: &Path, links: Links) -> Result<Place, Error> {
        let mut whole = Vec::new();
        let mut parts = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => {
                    let parent = if whole.is_empty() { b".".to_vec() } else { whole.clone() };
                    if !whole.is_empty() {
                        whole.push(b'/');
                    }
                    whole.extend_from_slice(name.as_encoded_bytes());
                    parts.push((cstring(parent)?, cstring(name.as_encoded_bytes())?));
                }
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(Error::Invalid(format!(
                        "the path {} inside a container has `..` in it",
                        path.display()
                    )));
                }
            }
        }
        if !path.is_absolute() {
            return Err(Error::Invalid(format!(
                "the path {:?} inside a container does not begin with /",
                path.display().to_string()
            )));
        }
        let whole = if whole.is_empty() { b".".to_vec() } else { whole };
        let resolve = match links {
            Links::Followed => libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
            Links::Refused => libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_SYMLINKS,
        };
        Ok(Place { whole: cstring(whole)?, parts, resolve })
    }

    /// Opens it as a place only (O_PATH).
    ///
    /// # Safety
    /// In the child; `root` is the new root's descriptor.
    pub(super) unsafe fn open(&self, root: usize) -> Answer {
        // SAFETY: passed on.
        unsafe { open_in(root, &self.whole, libc::O_PATH, self.resolve) }
    }

    /// Opens it, and makes it and what is above it where that is missing.
    ///
    /// # Safety
    /// As [`Place::open`].
    pub(super) unsafe fn ensure(&self, root: usize, missing: Missing) -> Answer {
        // SAFETY: passed on; descriptors are this child's.
        unsafe {
            match self.open(root) {
                Err(Errno(libc::ENOENT)) => {}
                answer => return answer,
            }
            let (parent, name) = self.parent(root)?;
            let opened = match missing {
                Missing::Folder => match raw!(SYS_mkdirat, parent, name.as_ptr(), 0o755) {
                    Ok(_) | Err(Errno(libc::EEXIST)) => self.open(root),
                    Err(error) => Err(error),
                },
                Missing::File => self.ensure_file(root, (parent, name)),
            };
            let _ = raw!(SYS_close, parent);
            opened
        }
    }

    /// Opens a file, and makes it where it is missing, in the folder that [`Place::parent`] gave.
    ///
    /// # Safety
    /// As [`Place::open`].
    pub(super) unsafe fn ensure_file(&self, root: usize, (parent, name): (usize, &CStr)) -> Answer {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: passed on; descriptors are this child's.
        unsafe {
            match raw!(SYS_openat, parent, name.as_ptr(), flags, 0o644) {
                Err(Errno(libc::EEXIST)) => self.open(root),
                answer => answer,
            }
        }
    }

    /// Opens the folder it is in, made where missing, and gives its name there.
    ///
    /// # Safety
    /// As [`Place::open`].
    pub(super) unsafe fn parent(&self, root: usize) -> Answer<(usize, &CStr)> {
        let Some((parent, name)) = self.parts.last() else { return Err(Errno(libc::EINVAL)) };
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        // SAFETY: passed on; descriptors are this child's.
        unsafe {
            match open_in(root, parent, flags, self.resolve) {
                Err(Errno(libc::ENOENT)) => {}
                answer => return Ok((answer?, name)),
            }
            for (above, name) in self.parts.iter().take(self.parts.len() - 1) {
                let above = open_in(root, above, flags, self.resolve)?;
                let made = raw!(SYS_mkdirat, above, name.as_ptr(), 0o755);
                let _ = raw!(SYS_close, above);
                match made {
                    Ok(_) | Err(Errno(libc::EEXIST)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok((open_in(root, parent, flags, self.resolve)?, name))
        }
    }
}

/// The folder of the place before, kept open: places in a row are mostly of one folder.
#[derive(Default)]
pub(super) struct Parents<'a>(Option<(&'a CStr, u64, usize)>);

impl<'a> Parents<'a> {
    /// As [`Place::parent`]; the descriptor is good until the next place is asked for.
    ///
    /// # Safety
    /// As [`Place::open`]; all places are of one root.
    pub(super) unsafe fn of(&mut self, place: &'a Place, root: usize) -> Answer<(usize, &'a CStr)> {
        let Some((parent, name)) = place.parts.last() else { return Err(Errno(libc::EINVAL)) };
        if let Some((last, resolve, folder)) = &self.0
            && (*last, *resolve) == (parent.as_c_str(), place.resolve)
        {
            return Ok((*folder, name));
        }
        self.close();
        // SAFETY: passed on.
        let (folder, name) = unsafe { place.parent(root) }?;
        self.0 = Some((parent, place.resolve, folder));
        Ok((folder, name))
    }

    fn close(&mut self) {
        if let Some((_, _, folder)) = self.0.take() {
            // SAFETY: opened here, and nobody else's.
            let _ = unsafe { raw!(SYS_close, folder) };
        }
    }
}

impl Drop for Parents<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

unsafe fn open_in(root: usize, path: &CStr, flags: i32, resolve: u64) -> Answer {
    // SAFETY: plain data for which all zeroes is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    // SAFETY: path and arguments live through the call.
    unsafe { raw!(SYS_openat2, root, path.as_ptr(), &raw const how, size_of::<libc::open_how>()) }
}

/// # Errors
/// Where the text has a NUL.
pub(super) fn cstring(text: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(text).map_err(|error| Error::Invalid(format!("a text for the kernel has a NUL: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_and_climbing_ones_refused() {
        let place = Place::new(Path::new("/a//b/./c"), Links::Followed).expect("a path");
        assert_eq!(place.whole.as_c_str(), c"a/b/c");
        assert_eq!(place.parts[0], (c".".into(), c"a".into()));
        assert_eq!(place.parts[2], (c"a/b".into(), c"c".into()));
        assert_eq!(Place::new(Path::new("/"), Links::Followed).expect("root").whole.as_c_str(), c".");
        assert!(Place::new(Path::new("/a/../b"), Links::Followed).is_err());
        assert!(Place::new(Path::new("a"), Links::Followed).is_err());
    }

    #[test]
    fn what_is_missing_is_made_and_links_stay_inside() {
        let folder = tempfile::tempdir().expect("folder");
        let outside = tempfile::tempdir().expect("folder");
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).expect("link");
        let root = std::fs::File::open(folder.path()).expect("opened");
        let root = std::os::fd::AsRawFd::as_raw_fd(&root) as usize;
        let ensure = |path: &str, links, missing| {
            let place = Place::new(Path::new(path), links).expect("a path");
            // SAFETY: a descriptor of this test.
            unsafe { place.ensure(root, missing) }
        };
        assert!(ensure("/x/y/z", Links::Refused, Missing::File).is_ok());
        assert!(folder.path().join("x/y/z").is_file());
        assert_eq!(ensure("/out/x", Links::Refused, Missing::Folder), Err(Errno(libc::ELOOP)));
        // Followed, but as seen from inside, where the folder is missing.
        let _ = ensure("/out/x", Links::Followed, Missing::Folder);
        assert_eq!(std::fs::read_dir(outside.path()).expect("listed").count(), 0);
    }
}
