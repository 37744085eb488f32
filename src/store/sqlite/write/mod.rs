//! The thread that writes: the queue, group commit, and what a command comes to.

mod apply;
mod commit;
mod imports;
mod job;
mod plan;
mod population;
mod queue;
mod reverts;
mod untags;
mod users;
mod written;

pub use imports::plan as plan_import;
pub use job::{Job, Pending, Work};
pub use plan::{Selected, Untag};
pub use population::Population;
pub use queue::{Setup, start};
pub use reverts::plan as plan_revert;
