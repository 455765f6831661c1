//! Descriptors for a child, put where it finds them.
//!
//! A bench with thousands of instances has tens of thousands of descriptors, and a child that is born
//! with a copy of all of them pays for each. So it is born with none of its own (CLONE_FILES) and as
//! its first act copies those below a number (close_range(2), CLOSE_RANGE_UNSHARE). For that what
//! it needs must have low numbers: a launching thread keeps some from its first start on.

use std::cell::{RefCell, RefMut};
use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{DupFlags, dup3};

use crate::Error;
use crate::descriptor::copy_above;

/// Lowest number used: above what programs are given.
const LOWEST: c_int = 64;
/// How many numbers a launching thread keeps.
const KEPT: usize = 16;

/// Numbers kept by a launching thread, each open on /dev/null while it is not in use.
pub(super) struct Kept {
    null: OwnedFd,
    numbers: RefCell<Vec<OwnedFd>>,
}

impl Kept {
    pub(super) fn new() -> Result<Kept, Error> {
        let null = std::fs::File::open("/dev/null").map_err(Error::system("open /dev/null"))?;
        let null = OwnedFd::from(null);
        let numbers = (0..KEPT).map(|_| copy_above(&null, LOWEST)).collect::<Result<_, _>>();
        let numbers = numbers.map_err(Error::system("keep descriptor numbers for containers"))?;
        Ok(Kept { null, numbers: RefCell::new(numbers) })
    }
}

/// What is put aside for one child, until dropped.
pub(super) struct Aside<'a> {
    kept: Option<(RefMut<'a, Vec<OwnedFd>>, &'a OwnedFd)>,
    used: usize,
    others: Vec<OwnedFd>,
}

impl<'a> Aside<'a> {
    /// At numbers that are kept, as far as they reach.
    pub(super) fn at(kept: &'a Kept) -> Aside<'a> {
        Aside { kept: Some((kept.numbers.borrow_mut(), &kept.null)), used: 0, others: Vec::new() }
    }

    /// At any numbers.
    pub(super) fn anywhere() -> Aside<'a> {
        Aside { kept: None, used: 0, others: Vec::new() }
    }

    /// Copies a descriptor and gives the number.
    ///
    /// # Errors
    /// Where no more can be open.
    pub(super) fn put(&mut self, fd: BorrowedFd<'_>) -> Result<c_int, Error> {
        let refused = "duplicate a container's descriptors";
        if let Some((numbers, _)) = &mut self.kept
            && let Some(place) = numbers.get_mut(self.used)
        {
            dup3(fd, place, DupFlags::CLOEXEC).map_err(Error::system(refused))?;
            self.used += 1;
            return Ok(place.as_raw_fd());
        }
        let copy = copy_above(fd, LOWEST).map_err(Error::system(refused))?;
        let number = copy.as_raw_fd();
        self.others.push(copy);
        Ok(number)
    }

    /// The number that all of them are below, where all are at kept ones.
    pub(super) fn end(&self) -> Option<c_int> {
        let (numbers, _) = self.kept.as_ref().filter(|_| self.others.is_empty())?;
        numbers.iter().map(|number| number.as_raw_fd() + 1).max()
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if let Some((numbers, null)) = &mut self.kept {
            for place in numbers.iter_mut().take(self.used) {
                // Onto a number that is open it cannot run out of any.
                let _ = dup3(null.as_fd(), place, DupFlags::CLOEXEC);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_given_back() {
        let kept = Kept::new().expect("kept");
        let (pipe, other_end) = rustix::pipe::pipe().expect("pipe");
        let mut aside = Aside::at(&kept);
        let numbers: Vec<c_int> = (0..3).map(|_| aside.put(other_end.as_fd()).expect("put")).collect();
        assert!(numbers.iter().all(|number| Some(*number) < aside.end()), "{numbers:?}");
        drop(aside);
        drop(other_end);
        // Nobody has the other end any more.
        assert_eq!(rustix::io::read(&pipe, &mut [0u8; 1]), Ok(0));
        let mut aside = Aside::at(&kept);
        for _ in 0..=KEPT {
            aside.put(pipe.as_fd()).expect("put");
        }
        assert_eq!(aside.end(), None);
    }
}
