//! The calls of the change service.

mod change;
mod history;
mod position;
mod revert;
mod watch;

pub use change::{Change, Effect, EffectKind, SetTag, Values};
pub use history::{get_change, list_changes};
pub use revert::{Conflict, Revert, Reverted, revert_change};
pub use watch::{Watch, WatchEvent, watch};
