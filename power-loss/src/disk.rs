//! The disk that is recorded, and where it is mounted.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{BackgroundSession, Config, MountOption};

use crate::event::{Event, Inode, SyncCall};
use crate::filesystem::RecordingFilesystem;
use crate::outage::Outage;
use crate::tree::{ROOT, Tree};

/// A disk whose changes are recorded.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
pub struct State {
    /// What programs see.
    pub tree: Tree,
    last_inode: Inode,
    record: Record,
}

impl Default for State {
    fn default() -> Self {
        Self {
            tree: Tree::default(),
            last_inode: ROOT,
            record: Record::default(),
        }
    }
}

impl State {
    /// Changes what programs see, and takes it down.
    pub fn apply(&mut self, event: Event) {
        self.tree.apply(&event);
        self.record.events.push(event);
    }

    /// A number that nothing had.
    pub fn new_inode(&mut self) -> Inode {
        self.last_inode += 1;
        self.last_inode
    }
}

/// What was done to a disk, from its first moment on.
#[derive(Debug, Clone, Default)]
pub struct Record {
    events: Vec<Event>,
}

impl Record {
    /// How many moments there are but the first: one behind each event.
    #[must_use]
    pub fn moments(&self) -> usize {
        self.events.len()
    }

    /// How often `fsync` was called, and not `fdatasync`, for files that had this name when they were made.
    #[must_use]
    pub fn fsyncs_of(&self, name: &str) -> usize {
        let mut named = HashSet::new();
        let mut count = 0;
        for event in &self.events {
            match event {
                Event::Named {
                    name: given, inode, ..
                } if given == name => {
                    named.insert(*inode);
                }
                Event::Sync {
                    inode,
                    call: SyncCall::Fsync,
                } if named.contains(inode) => count += 1,
                _ => {}
            }
        }
        count
    }

    /// Goes on from one moment to a later one, where an outage has got to the first.
    pub fn pass(&self, outage: &mut Outage, from: usize, to: usize) {
        for event in &self.events[from..to] {
            outage.pass(event);
        }
    }
}

/// A disk that is mounted. Dropped, it is not any more.
#[derive(Debug)]
pub struct Mounted {
    _session: BackgroundSession,
}

impl Disk {
    /// The moment now: how much has been done to the disk.
    #[must_use]
    pub fn moment(&self) -> usize {
        self.lock().record.moments()
    }

    /// A copy of what was done to the disk so far.
    #[must_use]
    pub fn record(&self) -> Record {
        self.lock().record.clone()
    }

    /// Mounts the disk on a directory.
    ///
    /// # Errors
    /// Why the system does not.
    pub fn mount(&self, directory: &Path) -> io::Result<Mounted> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("untag-power-loss".to_owned())];
        let session = fuser::spawn_mount(RecordingFilesystem(self.clone()), directory, &config)?;
        Ok(Mounted { _session: session })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
