//! Fresh memory, touched page by page.

/// A mapping that stays until the program ends.
#[derive(Clone, Copy)]
pub struct Pages {
    start: *mut u8,
    bytes: u64,
}

/// Every page is touched at its beginning.
pub(super) const PAGE_BYTES: u64 = 4096;

impl Pages {
    /// Maps `bytes`; none of them is there before it is touched.
    pub fn map(bytes: u64) -> Result<Pages, String> {
        Pages::with(bytes, libc::MAP_PRIVATE)
    }

    /// `kind`: private or shared with children, reserved or not (mmap(2)).
    pub(super) fn with(bytes: u64, kind: i32) -> Result<Pages, String> {
        let flags = kind | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping; nothing else refers to it.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes as usize, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(format!("cannot map {bytes} bytes: {}", std::io::Error::last_os_error()));
        }
        Ok(Pages { start: start.cast(), bytes })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.bytes.div_ceil(PAGE_BYTES)
    }

    /// Writes to page `page`, to each another value: KSM must not merge what a real workload would
    /// not share.
    pub fn touch(&self, page: u64) {
        self.put(page, page + 1);
    }

    /// Writes `value` to page `page`.
    pub(super) fn put(&self, page: u64, value: u64) {
        assert!(page < self.count(), "page {page} of {}", self.count());
        // SAFETY: the page lies within the mapping, which ends with a whole page; aligned.
        unsafe { self.start.add((page * PAGE_BYTES) as usize).cast::<u64>().write_volatile(value) };
    }

    /// What was put there.
    pub(super) fn get(&self, page: u64) -> u64 {
        assert!(page < self.count(), "page {page} of {}", self.count());
        // SAFETY: as in `put`.
        unsafe { self.start.add((page * PAGE_BYTES) as usize).cast::<u64>().read_volatile() }
    }
}
