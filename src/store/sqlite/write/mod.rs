//! The thread that writes: the queue, group commit, and what a command comes to.

mod commit;
mod job;
mod plan;
mod queue;
mod untags;

pub use job::{Job, Work};
pub use plan::Untag;
pub use queue::{Setup, start};
