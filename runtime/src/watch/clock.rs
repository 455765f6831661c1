//! The clock of a guest with a kernel of its own, as far as it can be told from outside.

/// What is known of the difference between the host's clock and the guest's.
///
/// A reading arrives after it was taken, never before: each gives an upper bound of the
/// difference, and the smallest is the best. By how much they disagree says how late they are
/// used to be, which is the error of what is mapped by the best of them.
#[derive(Debug, Default)]
pub(super) struct GuestClock {
    bounds_ns: Option<(i128, i128)>,
}

impl GuestClock {
    /// Takes in a reading that arrived at `at_ns`.
    pub(super) fn read(&mut self, clock_ns: u64, at_ns: u64) {
        let difference_ns = i128::from(at_ns) - i128::from(clock_ns);
        let (least, most) = self.bounds_ns.unwrap_or((difference_ns, difference_ns));
        self.bounds_ns = Some((least.min(difference_ns), most.max(difference_ns)));
    }

    /// When it was on the host's clock that the guest's stood at `clock_ns`, and the error of that
    /// in nanoseconds; `None` before the first reading or before the host's time began.
    pub(super) fn on_host(&self, clock_ns: u64) -> Option<(u64, u64)> {
        let (least, most) = self.bounds_ns?;
        let at_ns = u64::try_from(i128::from(clock_ns) + least).ok()?;
        Some((at_ns, u64::try_from(most - least).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reading_that_was_least_late_decides() {
        let mut clock = GuestClock::default();
        assert_eq!(clock.on_host(5), None);
        // Taken at 10, 20 and 30 of the guest's, 1000 ahead of it; late by 7, 2 and 4.
        for (clock_ns, at_ns) in [(10, 1017), (20, 1022), (30, 1034)] {
            clock.read(clock_ns, at_ns);
        }
        assert_eq!(clock.on_host(15), Some((1017, 5)));
        let mut ahead = GuestClock::default();
        ahead.read(5_000, 1_000);
        assert_eq!(ahead.on_host(4_500), Some((500, 0)));
        assert_eq!(ahead.on_host(1_000), None);
    }
}
