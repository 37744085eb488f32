//! The memory budget of the index.

/// The most bytes that accounts and keys may take of the budget.
const MOST_BYTES_OF_TEXTS: usize = 4 * 1024 * 1024;

/// The memory that the index may still take, in bytes. It is taken before it is allocated.
#[derive(Debug)]
pub struct MemoryBudget {
    left: usize,
    /// How much of that accounts and keys may take.
    texts: usize,
    is_exceeded: bool,
}

impl MemoryBudget {
    pub fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            texts: MOST_BYTES_OF_TEXTS,
            is_exceeded: false,
        }
    }

    /// Takes some bytes, if they are left. Returns whether they were.
    pub fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(self.left);
        self.is_exceeded |= left.is_none();
        left.is_some()
    }

    /// Whether more was wanted than was left.
    pub fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// As `take`, for accounts and keys.
    pub fn take_for_texts(&mut self, bytes: usize) -> bool {
        let is_taken = bytes <= self.texts && self.take(bytes);
        if is_taken {
            self.texts -= bytes;
        }
        is_taken
    }

    /// Gives bytes back that were taken and are free again.
    pub fn give_back(&mut self, bytes: usize) {
        self.left += bytes;
    }
}
