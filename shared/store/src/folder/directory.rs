//! An open folder, in which names are looked up one at a time so that no symbolic link is ever followed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Folders and objects belong to whoever runs the store, and to nobody else.
const FOLDER_MODE: Mode = Mode::RWXU;
const OBJECT_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open folder. All names are single segments of a checked key, so none of them can lead upwards.
#[derive(Debug)]
pub(super) struct Directory {
    descriptor: OwnedFd,
}

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Object {
        size_bytes: u64,
    },
    Folder,
    /// A symbolic link, a pipe, a device: nothing that a store has put there.
    Foreign,
}

impl Directory {
    /// The folder at a path of the operator's choice: links on the way to it are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { descriptor: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// A folder in this one.
    pub(super) fn child(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { descriptor: rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())? })
    }

    /// A folder in this one, which is made when it is missing.
    pub(super) fn child_or_new(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.descriptor, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => self.child(name),
            Err(error) => Err(error.into()),
        }
    }

    /// What lies under this name.
    pub(super) fn find(&self, name: &str) -> io::Result<Found> {
        match rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(match FileType::from_raw_mode(status.st_mode) {
                FileType::RegularFile => {
                    Found::Object { size_bytes: u64::try_from(status.st_size).unwrap_or_default() }
                }
                FileType::Directory => Found::Folder,
                _ => Found::Foreign,
            }),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens an object for reading. Without waiting: a pipe under this name must not hold the reader up.
    pub(super) fn open_object(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())?))
    }

    /// Makes a file under a name that is not taken.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.descriptor, name, flags, OBJECT_MODE)?))
    }

    /// Moves a file into another folder, in place of the one that may be there.
    pub(super) fn move_file(&self, name: &str, target: &Self, target_name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.descriptor, name, &target.descriptor, target_name)?)
    }

    /// Moves a file into another folder if its name is free there; of several at once, one succeeds.
    pub(super) fn move_new_file(&self, name: &str, target: &Self, target_name: &str) -> io::Result<()> {
        let (from, to) = (&self.descriptor, &target.descriptor);
        match rustix::fs::renameat_with(from, name, to, target_name, RenameFlags::NOREPLACE) {
            // Not every file system knows this kind of renaming.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link_new_file(name, target, target_name),
            answer => Ok(answer?),
        }
    }

    /// The same by a hard link, which is as exclusive.
    pub(super) fn link_new_file(&self, name: &str, target: &Self, target_name: &str) -> io::Result<()> {
        let (from, to) = (&self.descriptor, &target.descriptor);
        rustix::fs::linkat(from, name, to, target_name, AtFlags::empty())?;
        self.remove_file(name)
    }

    /// Removes a file. One that is not there is success.
    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a folder that is empty.
    pub(super) fn remove_empty_child(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR)?)
    }

    /// Makes the names in this folder survive a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.descriptor)?)
    }

    /// The names in this folder, as far as they are text: others are nothing of ours.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// When a file was last written to.
    pub(super) fn written_at(&self, name: &str) -> io::Result<std::time::SystemTime> {
        self.open_object(name)?.metadata()?.modified()
    }
}
