//! What the programs of an instance say, kept on the host, and bounded.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{Mode, OFlags, openat, renameat};

/// The current log.
pub(crate) const CURRENT: &str = "program.log";
/// The one before it.
pub(crate) const PREVIOUS: &str = "program.1.log";
/// How long one of the two may be.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Takes what programs write into a pipe to a file in the instance's log folder.
pub(crate) struct Log {
    folder: File,
    file: File,
    length: u64,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Log {
    /// Goes on with the log in this folder.
    pub(crate) fn open(folder: File) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let file = open_current(&folder)?;
        let length = file.metadata()?.len();
        Ok(Self { folder, file, length, reader, writer })
    }

    /// The end that programs write to.
    pub(crate) fn writer(&self) -> io::Result<PipeWriter> {
        self.writer.try_clone()
    }

    /// The end to wait on.
    pub(crate) fn reader(&self) -> &PipeReader {
        &self.reader
    }

    /// Writes a line of our own.
    pub(crate) fn note(&mut self, text: &str) {
        self.append(format!("[init] {text}\n").as_bytes());
    }

    /// Takes over what has been written.
    pub(crate) fn take_over(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = self.reader.read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            self.append(&bytes);
        }
    }

    /// A log that cannot be written must not stop the instance.
    fn append(&mut self, bytes: &[u8]) {
        if self.length >= LONGEST {
            drop(self.rotate());
        }
        if self.file.write_all(bytes).is_ok() {
            self.length += bytes.len() as u64;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        renameat(self.folder.as_fd(), CURRENT, self.folder.as_fd(), PREVIOUS)?;
        self.file = open_current(&self.folder)?;
        self.length = 0;
        Ok(())
    }
}

fn open_current(folder: &File) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    Ok(File::from(openat(folder.as_fd(), CURRENT, flags, Mode::from_bits_truncate(0o600))?))
}
