//! What was changed and is not in the rows yet: tombstones, the snapshots of them that readers pair with theirs of the database,
//! and the compaction that brings them into the rows.

mod compaction;
mod recent_writes;
mod tombstones;

pub use compaction::{NoteTable, Occasion, Uncommitted, fold_all};
pub use tombstones::{Logged, Published, Removals};
