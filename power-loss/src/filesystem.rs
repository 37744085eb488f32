//! The file system as FUSE asks it.
//!
//! One thread answers, so that the order of the record is that of the answers. Locks are kept by the kernel, as on a disk of its own.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Disk, State};
use crate::event::{Event, Inode, Kind, SyncCall};
use crate::tree::{Body, Node};

/// How long the kernel may remember names and attributes: nobody but the kernel changes them.
const TTL: Duration = Duration::from_hours(1);

/// The file system that records.
pub struct RecordingFilesystem(pub Disk);

impl State {
    fn attributes(&self, inode: Inode) -> Result<FileAttr, Errno> {
        let node = self.tree.node(inode).ok_or(Errno::ENOENT)?;
        let (kind, size) = match &node.body {
            Body::File(content) => (FileType::RegularFile, content.length()),
            Body::Directory(_) => (FileType::Directory, 0),
        };
        let now = SystemTime::now();
        Ok(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: now,
            mtime: now,
            ctime: now,
            crtime: UNIX_EPOCH,
            kind,
            perm: node.mode,
            nlink: self.tree.links(inode),
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn find(&self, directory: INodeNo, name: &OsStr) -> Result<Inode, Errno> {
        self.tree.find(directory.0, name).ok_or(Errno::ENOENT)
    }

    /// Makes a file or a directory with this name.
    fn make(
        &mut self,
        directory: INodeNo,
        name: &OsStr,
        kind: Kind,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        if self.tree.find(directory.0, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let inode = self.new_inode();
        let mode = u16::try_from(mode & 0o7777).map_err(|_| Errno::EINVAL)?;
        self.apply(Event::Made { inode, kind, mode });
        self.apply(Event::Named {
            directory: directory.0,
            name: name.to_owned(),
            inode,
        });
        self.attributes(inode)
    }

    fn remove(&mut self, directory: INodeNo, name: &OsStr, kind: Kind) -> Result<(), Errno> {
        let inode = self.find(directory, name)?;
        match (kind, self.tree.names(inode)) {
            (Kind::File, Some(_)) => return Err(Errno::EISDIR),
            (Kind::Directory, None) => return Err(Errno::ENOTDIR),
            (Kind::Directory, Some(names)) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.apply(Event::Unnamed {
            directory: directory.0,
            name: name.to_owned(),
        });
        Ok(())
    }

    fn rename(&mut self, directory: INodeNo, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        let inode = self.find(directory, from)?;
        self.apply(Event::Renamed {
            directory: directory.0,
            from: from.to_owned(),
            to: to.to_owned(),
            inode,
        });
        Ok(())
    }

    fn read(&self, inode: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        match self.tree.node(inode.0) {
            Some(Node {
                body: Body::File(content),
                ..
            }) => Ok(content.read(offset, size as usize)),
            Some(_) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    /// The entries of a directory, with what they are.
    fn list(&self, directory: INodeNo) -> Result<Vec<(Inode, FileType, OsString)>, Errno> {
        let names = self.tree.names(directory.0).ok_or(Errno::ENOTDIR)?;
        let own = [".", ".."].map(|name| (directory.0, FileType::Directory, OsString::from(name)));
        let entry = |(name, inode): (&OsString, &Inode)| {
            let kind = match self.tree.names(*inode) {
                Some(_) => FileType::Directory,
                None => FileType::RegularFile,
            };
            (*inode, kind, name.clone())
        };
        Ok(own.into_iter().chain(names.iter().map(entry)).collect())
    }
}

fn entry(result: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for RecordingFilesystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.0.lock();
        let found = state.find(parent, name);
        entry(found.and_then(|inode| state.attributes(inode)), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.lock().attributes(ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.0.lock();
        if let Some(mode) = mode.and_then(|mode| u16::try_from(mode & 0o7777).ok()) {
            disk.apply(Event::Mode { inode: ino.0, mode });
        }
        if let Some(length) = size {
            disk.apply(Event::Truncate {
                inode: ino.0,
                length,
            });
        }
        match disk.attributes(ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let result = self
            .0
            .lock()
            .make(parent, name, Kind::Directory, mode & !umask);
        entry(result, reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.0.lock().make(parent, name, Kind::File, mode & !umask) {
            Ok(attributes) => reply.created(
                &TTL,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.0.lock().remove(parent, name, Kind::File), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.0.lock().remove(parent, name, Kind::Directory), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.0.lock();
        if parent != newparent {
            return reply.error(Errno::EXDEV);
        }
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && state.find(parent, newname).is_ok() {
            return reply.error(Errno::EEXIST);
        }
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        empty(state.rename(parent, name, newname), reply);
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let mut state = self.0.lock();
        if state.find(newparent, newname).is_ok() {
            return reply.error(Errno::EEXIST);
        }
        state.apply(Event::Named {
            directory: newparent.0,
            name: newname.to_owned(),
            inode: ino.0,
        });
        entry(state.attributes(ino.0), reply);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.lock().read(ino, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.0.lock().apply(Event::Write {
            inode: ino.0,
            offset,
            bytes: data.into(),
        });
        reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let call = if datasync {
            SyncCall::Fdatasync
        } else {
            SyncCall::Fsync
        };
        self.0.lock().apply(Event::Sync { inode: ino.0, call });
        reply.ok();
    }

    fn fsyncdir(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.fsync(request, ino, handle, datasync, reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.0.lock().list(ino) {
            Ok(entries) => {
                let rest = entries.into_iter().zip(1..);
                for ((inode, kind, name), next) in rest.filter(|(_, next)| *next > offset) {
                    if reply.add(INodeNo(inode), next, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCKS: u64 = 1 << 30;
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, 4096, 255, 4096);
    }
}
