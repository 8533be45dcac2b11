//! Copies of directory trees: shared blocks where the file system can, real ones where it cannot.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, Timespec, Timestamps, copy_file_range, futimens,
    ioctl_ficlone, mknodat, seek, utimensat,
};

/// How a tree is copied, and what came of it.
#[derive(Debug)]
pub(crate) struct TreeCopy<'a> {
    share_blocks: bool,
    cancelled: &'a AtomicBool,
    links: HashMap<(u64, u64), PathBuf>,
    done: Copied,
}

/// What came of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// What the files of the tree take.
    pub(crate) size: u64,
    /// How much of it was really copied, instead of shared.
    pub(crate) bytes: u64,
}

impl<'a> TreeCopy<'a> {
    /// A copy that can be told to stop.
    pub(crate) fn new(share_blocks: bool, cancelled: &'a AtomicBool) -> Self {
        Self { share_blocks, cancelled, links: HashMap::new(), done: Copied::default() }
    }

    /// Copies the tree to a place where there is nothing yet.
    pub(crate) fn run(mut self, from: &Path, to: &Path) -> io::Result<Copied> {
        let about = fs::symlink_metadata(from)?;
        self.folder(from, to, &about)?;
        Ok(self.done)
    }

    fn any(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let about = fs::symlink_metadata(from)?;
        let kind = about.file_type();
        if kind.is_dir() {
            self.folder(from, to, &about)
        } else if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
            Ok(utimensat(CWD, to, &times(&about), AtFlags::SYMLINK_NOFOLLOW)?)
        } else if kind.is_file() {
            self.file(from, to, &about)
        } else if kind.is_fifo() {
            let mode = Mode::from_raw_mode(about.mode());
            Ok(mknodat(CWD, to, FileType::Fifo, mode, 0)?)
        } else {
            // A socket of a program that has ended; devices cannot be made inside.
            Ok(())
        }
    }

    fn folder(&mut self, from: &Path, to: &Path, about: &Metadata) -> io::Result<()> {
        fs::create_dir(to)?;
        for entry in with_permission(from, 0o700, || fs::read_dir(from))? {
            let entry = entry?;
            self.any(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, Permissions::from_mode(mode_of(from)?))?;
        Ok(utimensat(CWD, to, &times(about), AtFlags::empty())?)
    }

    fn file(&mut self, from: &Path, to: &Path, about: &Metadata) -> io::Result<()> {
        if about.nlink() > 1 {
            if let Some(first) = self.links.get(&(about.dev(), about.ino())) {
                return fs::hard_link(first, to);
            }
            self.links.insert((about.dev(), about.ino()), to.to_owned());
        }
        let source = with_permission(from, 0o400, || open_here(from))?;
        let target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        let space = about.blocks() * 512;
        self.done.size += space;
        if !self.shared(&source, &target, about.len()) {
            copy_data(&source, &target, about.len())?;
            target.set_len(about.len())?;
            self.done.bytes += space;
        }
        target.set_permissions(Permissions::from_mode(source.metadata()?.mode() & 0o7777))?;
        futimens(&target, &times(about))?;
        Ok(())
    }

    fn shared(&self, from: &File, to: &File, length: u64) -> bool {
        length == 0 || (self.share_blocks && ioctl_ficlone(to, from).is_ok())
    }
}

/// Only what holds data; holes stay holes.
fn copy_data(from: &File, to: &File, length: u64) -> io::Result<()> {
    let mut position = 0;
    while position < length {
        let start = match seek(from, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(rustix::io::Errno::INVAL) => position,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start)).unwrap_or(length).min(length);
        copy_range(from, to, start, end)?;
        position = end.max(start + 1);
    }
    Ok(())
}

fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut source, mut target) = (start, start);
    while source < end {
        let wanted = usize::try_from(end - source).unwrap_or(usize::MAX).min(64 << 20);
        match copy_file_range(from, Some(&mut source), to, Some(&mut target), wanted) {
            // The file has become shorter: it is not the copy's fault.
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(_) => return copy_by_hand(from, to, source, end),
        }
    }
    Ok(())
}

/// For file systems that the kernel does not copy within.
fn copy_by_hand(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0; 256 * 1024];
    let mut position = start;
    while position < end {
        let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let length = from.read_at(&mut buffer[..wanted], position)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all_at(&buffer[..length], position)?;
        position += length as u64;
    }
    Ok(())
}

/// Root inside an instance can read what its mode forbids; the owner of an image may be an ordinary user, who cannot.
/// Such a file is made readable for its owner, in the image and in the copy: for root inside nothing changes.
fn with_permission<T>(path: &Path, needed: u32, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(mode_of(path)? | needed))?;
            act()
        }
        other => other,
    }
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.mode() & 0o7777)
}

fn open_here(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(path)
}

fn times(about: &Metadata) -> Timestamps {
    let moment = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: moment(about.atime(), about.atime_nsec()),
        last_modification: moment(about.mtime(), about.mtime_nsec()),
    }
}

/// How many bytes the files of a tree take.
pub(crate) fn size_of_tree(path: &Path) -> io::Result<u64> {
    let about = fs::symlink_metadata(path)?;
    if !about.is_dir() {
        return Ok(if about.is_file() { about.blocks() * 512 } else { 0 });
    }
    let mut size = 0;
    for entry in with_permission(path, 0o700, || fs::read_dir(path))? {
        size += size_of_tree(&entry?.path())?;
    }
    Ok(size)
}

/// Whether files in this folder can share blocks: tried, since only that proves it.
pub(crate) fn can_share_blocks(folder: &Path) -> bool {
    let (first, second) = (folder.join(".share-from"), folder.join(".share-to"));
    let tried = fs::write(&first, b"blocks").and_then(|()| {
        let target = File::create(&second)?;
        Ok(ioctl_ficlone(&target, File::open(&first)?)?)
    });
    for path in [first, second] {
        // What is left of the attempt is overwritten by the next one.
        drop(fs::remove_file(path));
    }
    tried.is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn a_copy_keeps_holes_links_modes_and_times() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("inner")).unwrap();
        let mut sparse = File::create(from.join("sparse")).unwrap();
        sparse.seek(io::SeekFrom::Start(50 << 20)).unwrap();
        sparse.write_all(b"end").unwrap();
        fs::write(from.join("inner/secret"), b"secret").unwrap();
        fs::set_permissions(from.join("inner/secret"), Permissions::from_mode(0o640)).unwrap();
        fs::hard_link(from.join("inner/secret"), from.join("same")).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        fs::set_permissions(from.join("inner"), Permissions::from_mode(0o550)).unwrap();

        let to = folder.path().join("to");
        let copied = TreeCopy::new(false, &AtomicBool::new(false)).run(&from, &to).unwrap();

        assert!(copied.bytes < 1 << 20, "holes were filled: {copied:?}");
        assert_eq!(fs::read(to.join("sparse")).unwrap(), fs::read(from.join("sparse")).unwrap());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/nowhere"));
        let (one, other) =
            (fs::metadata(to.join("same")).unwrap(), fs::metadata(to.join("inner/secret")).unwrap());
        assert_eq!(one.ino(), other.ino());
        assert_eq!(one.mode() & 0o7777, 0o640);
        assert_eq!(fs::metadata(to.join("inner")).unwrap().mode() & 0o7777, 0o550);
        assert_eq!(one.mtime_nsec(), fs::metadata(from.join("same")).unwrap().mtime_nsec());
        crate::directories::remove_tree(&to).unwrap();
        crate::directories::remove_tree(&from).unwrap();
    }

    #[test]
    fn a_copy_stops_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("from")).unwrap();
        fs::write(folder.path().join("from/file"), b"content").unwrap();
        let stopped = AtomicBool::new(true);
        let result =
            TreeCopy::new(false, &stopped).run(&folder.path().join("from"), &folder.path().join("to"));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
