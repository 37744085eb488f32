//! A disk that can lose its power: a file system over FUSE that records what programs do to it, and makes what the disk could hold
//! after the power went at any moment of the record.
//!
//! # What is modelled
//! POSIX promises little of what was not synced, and this model promises no more:
//!
//! - The content of a file is what `fsync` or `fdatasync` has last put on the disk. Of each write since then any of its parts may be
//!   there, cut at multiples of 512 bytes of the file, whatever became of the writes before it. So may the length that it gave
//!   the file, without the bytes: they are zeros then. A sector is written as a whole or not at all.
//! - A truncation since then is there or not.
//! - The names in a directory are what `fsync` of that directory has last put on the disk: `fsync` of a file does not save its name.
//!   Of each creation, removal, link and rename since then any may be there, whatever became of the others. A rename is whole.
//! - A file whose name is there and whose content was never synced is empty, or has any of its writes.
//!
//! ext4, XFS and btrfs each promise more (the order of names, or a new file's name with its content), and none of them all of it. Not
//! modelled: bytes of other files where a write is missing, a disk that loses what it has confirmed, and renames
//! between directories, which are refused (EXDEV) as between two disks. Modes are not lost.

mod content;
mod disk;
mod event;
mod filesystem;
mod outage;
mod tree;

pub use disk::{Disk, Mounted, Record};
pub use outage::{Outage, Survival};
pub use tree::Tree;
