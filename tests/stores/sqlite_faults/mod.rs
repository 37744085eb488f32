//! The embedded store when its file, its directory or its disk is not as it should be.

mod backup;
mod checks;
mod directory;
mod disk;
mod failing_disk;
mod harness;
mod locks;
mod opening;
mod upgrade;
mod wal;
