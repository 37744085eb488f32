//! The numbers of changes.

/// The number of a change among those of its account: from 1 on without a gap, in the order of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of the first change of an account.
    pub const FIRST: Self = Self(1);

    /// The largest revision that there can be.
    pub const LAST: Self = Self(i64::MAX.unsigned_abs());

    /// The revision with this number; there is none with 0.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The number, 1 at least.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The revision before this one; none before the first.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        Self::new(self.0 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_begin_at_1() {
        assert_eq!(Revision::new(0), None);
        assert_eq!(Revision::FIRST.get(), 1);
        assert_eq!(Revision::FIRST.previous(), None);
        assert_eq!(Revision::FIRST.next().previous(), Some(Revision::FIRST));
    }
}
