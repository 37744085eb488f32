//! What was changed and is not in the rows yet: tombstones, the snapshots of them that readers pair with theirs of the database,
//! and the compaction that brings them into the rows.

pub mod changes;
mod compaction;
mod tombstones;
mod uncommitted;

pub use compaction::{CompactionTrigger, TombstoneLog, compact_all};
pub use tombstones::{Published, StoredTombstones, Tombstones};
pub use uncommitted::{PAGES_OF_A_USER, Uncommitted};
