//! The state of a disk: its directories and files.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use crate::content::Content;
use crate::event::{Event, Inode, Kind};

/// The number of the directory that all others are in.
pub const ROOT: Inode = 1;

/// The state of a disk: its directories and files.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: HashMap<Inode, Node>,
}

/// A file or a directory.
#[derive(Debug, Clone)]
pub struct Node {
    pub mode: u16,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub enum Body {
    File(Content),
    Directory(BTreeMap<OsString, Inode>),
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node {
            mode: 0o700,
            body: Body::Directory(BTreeMap::new()),
        };
        Self {
            nodes: HashMap::from([(ROOT, root)]),
        }
    }
}

impl Tree {
    pub(crate) fn node(&self, inode: Inode) -> Option<&Node> {
        self.nodes.get(&inode)
    }

    pub(crate) fn find(&self, directory: Inode, name: &OsStr) -> Option<Inode> {
        self.names(directory)?.get(name).copied()
    }

    /// The names in a directory; none where it is none.
    pub(crate) fn names(&self, directory: Inode) -> Option<&BTreeMap<OsString, Inode>> {
        match &self.nodes.get(&directory)?.body {
            Body::Directory(names) => Some(names),
            Body::File(_) => None,
        }
    }

    /// How many names a file or a directory has.
    pub(crate) fn links(&self, inode: Inode) -> u32 {
        let directories = self.nodes.keys().filter_map(|node| self.names(*node));
        let links = directories.flat_map(BTreeMap::values);
        let count = links.filter(|named| **named == inode).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// One of the paths of a file or a directory, if it has any.
    pub(crate) fn path(&self, inode: Inode) -> Option<PathBuf> {
        if inode == ROOT {
            return Some(PathBuf::from("/"));
        }
        let mut directories = self.nodes.keys().map(|node| (*node, self.names(*node)));
        let (directory, name) = directories.find_map(|(directory, names)| {
            let (name, _) = names?.iter().find(|(_, named)| **named == inode)?;
            Some((directory, name))
        })?;
        Some(self.path(directory)?.join(name))
    }

    /// Changes the disk. A name, write or length of what is not there changes nothing.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            &Event::Made { inode, kind, mode } => {
                let body = match kind {
                    Kind::File => Body::File(Content::default()),
                    Kind::Directory => Body::Directory(BTreeMap::new()),
                };
                self.nodes.insert(inode, Node { mode, body });
            }
            Event::Mode { inode, mode } => {
                if let Some(node) = self.nodes.get_mut(inode) {
                    node.mode = *mode;
                }
            }
            Event::Write {
                inode,
                offset,
                bytes,
            } => self.write(*inode, *offset, bytes),
            Event::Truncate { inode, length } => {
                self.content(*inode, |content| content.truncate(*length));
            }
            Event::Named {
                directory,
                name,
                inode,
            } => self.rename(*directory, None, Some((name, *inode))),
            Event::Unnamed { directory, name } => self.rename(*directory, Some(name), None),
            Event::Renamed {
                directory,
                from,
                to,
                inode,
            } => self.rename(*directory, Some(from), Some((to, *inode))),
            Event::Sync { .. } => {}
        }
    }

    /// Writes bytes of a file.
    pub(crate) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.content(inode, |content| content.write(offset, bytes));
    }

    /// Makes a file longer, and not shorter.
    pub(crate) fn lengthen(&mut self, inode: Inode, length: u64) {
        self.content(inode, |content| {
            if content.length() < length {
                content.truncate(length);
            }
        });
    }

    fn content(&mut self, inode: Inode, change: impl FnOnce(&mut Content)) {
        if let Some(Node {
            body: Body::File(content),
            ..
        }) = self.nodes.get_mut(&inode)
        {
            change(content);
        }
    }

    fn rename(
        &mut self,
        directory: Inode,
        from: Option<&OsString>,
        to: Option<(&OsString, Inode)>,
    ) {
        let Some(Node {
            body: Body::Directory(names),
            ..
        }) = self.nodes.get_mut(&directory)
        else {
            return;
        };
        if let Some(from) = from {
            names.remove(from);
        }
        if let Some((to, inode)) = to {
            names.insert(to.clone(), inode);
        }
    }

    /// Writes the files and directories into a directory that is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        self.write_node(ROOT, directory)
    }

    fn write_node(&self, inode: Inode, path: &Path) -> io::Result<()> {
        let Some(node) = self.nodes.get(&inode) else {
            return Ok(());
        };
        match &node.body {
            Body::Directory(names) => {
                if inode != ROOT {
                    DirBuilder::new().mode(node.mode.into()).create(path)?;
                    fs::set_permissions(path, Permissions::from_mode(node.mode.into()))?;
                }
                for (name, inode) in names {
                    self.write_node(*inode, &path.join(name))?;
                }
                Ok(())
            }
            Body::File(content) => {
                let mode = node.mode.into();
                let file = File::options()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(path)?;
                file.set_permissions(Permissions::from_mode(mode))?;
                file.set_len(content.length())?;
                for (offset, page) in content.pages() {
                    file.write_all_at(page, offset)?;
                }
                Ok(())
            }
        }
    }
}
