//! The embedded store when its file, its directory or its disk is not as it should be.

mod backup;
mod checks;
mod directory;
mod disk;
mod harness;
mod locks;
#[path = "../support/mounts.rs"]
mod mounts;
mod opening;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;
mod wal;
