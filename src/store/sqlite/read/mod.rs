//! The threads that read, and what they read.

mod pool;
mod queries;

pub use pool::Readers;
pub use queries::{check_untag, list};
