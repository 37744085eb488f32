//! What programs do to the disk.

use std::ffi::OsString;
use std::sync::Arc;

/// A number of a file or a directory, which no other ever gets.
pub type Inode = u64;

/// A change of the disk, or a demand that earlier ones are on it.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file or a directory that is new, and has no name yet.
    Made { inode: Inode, kind: Kind, mode: u16 },
    /// Another mode.
    Mode { inode: Inode, mode: u16 },
    /// Bytes of a file.
    Write {
        inode: Inode,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    /// Another length of a file.
    Truncate { inode: Inode, length: u64 },
    /// A name for a file or a directory, in place of who had it.
    Named {
        directory: Inode,
        name: OsString,
        inode: Inode,
    },
    /// A name that is gone.
    Unnamed { directory: Inode, name: OsString },
    /// A name that was another one, in place of who had it.
    Renamed {
        directory: Inode,
        from: OsString,
        to: OsString,
        inode: Inode,
    },
    /// A wait until what was done to a file or a directory is on the disk.
    Sync { inode: Inode, call: SyncCall },
}

/// The call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncCall {
    Fsync,
    Fdatasync,
}

/// What has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
}

impl Event {
    /// Whose sync puts this on the disk; none where it needs no sync.
    pub fn awaits(&self) -> Option<Inode> {
        match self {
            Self::Write { inode, .. } | Self::Truncate { inode, .. } => Some(*inode),
            Self::Named { directory, .. }
            | Self::Unnamed { directory, .. }
            | Self::Renamed { directory, .. } => Some(*directory),
            Self::Made { .. } | Self::Mode { .. } | Self::Sync { .. } => None,
        }
    }
}
