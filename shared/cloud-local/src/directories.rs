//! Where things are in the state directory.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rekindle_cloud::CloudError;
use rekindle_domain::{ImageId, InstanceId};
use rustix::fs::{FlockOperation, StatVfsMountFlags, flock, statvfs};

use crate::error::{Explain as _, refused};

/// The folder that one owner keeps its instances and images in.
#[derive(Debug, Clone)]
pub(crate) struct StateDirectory(PathBuf);

impl StateDirectory {
    /// Makes what is not there yet. Nobody but the caller may look inside: it holds restored data.
    pub(crate) fn prepare(path: &Path) -> Result<Self, CloudError> {
        let what = || format!("cannot make the state directory {}", path.display());
        fs::create_dir_all(path).explain(what)?;
        let state = Self(path.canonicalize().explain(what)?);
        fs::set_permissions(&state.0, fs::Permissions::from_mode(0o700)).explain(what)?;
        for directory in [state.instances(), state.images(), state.terminated()] {
            fs::create_dir_all(directory).explain(what)?;
        }
        state.refuse_without_execution()?;
        Ok(state)
    }

    fn refuse_without_execution(&self) -> Result<(), CloudError> {
        let about = statvfs(&self.0).explain(|| format!("cannot look at {}", self.0.display()))?;
        if about.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(refused(format!(
                "programs may not be run from {}: it is on a file system mounted with noexec; choose another state \
                 directory",
                self.0.display()
            )));
        }
        Ok(())
    }

    /// Takes the lock that only one process can hold. The kernel gives it back when that process ends.
    pub(crate) fn lock(&self) -> Result<File, CloudError> {
        let path = self.0.join("lock");
        let what = || format!("cannot lock {}", path.display());
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(&path).explain(what)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            file.read_to_string(&mut holder).explain(what)?;
            return Err(refused(format!(
                "the state directory {} is in use by process {}; end that process or choose another directory",
                self.0.display(),
                holder.trim()
            )));
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).explain(what)?;
        Ok(file)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// One directory for each instance.
    pub(crate) fn instances(&self) -> PathBuf {
        self.0.join("instances")
    }

    /// One directory for each image.
    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// What is remembered of instances that are no more.
    pub(crate) fn terminated(&self) -> PathBuf {
        self.0.join("terminated")
    }

    /// The private network's.
    pub(crate) fn network(&self) -> PathBuf {
        self.0.join("network")
    }

    /// One instance's.
    pub(crate) fn instance(&self, id: &InstanceId) -> InstanceDirectory {
        InstanceDirectory(self.instances().join(id.as_str()))
    }

    /// One image's.
    pub(crate) fn image(&self, id: &ImageId) -> ImageDirectory {
        ImageDirectory(self.images().join(id.as_str()))
    }

    /// What is remembered of one instance that is no more.
    pub(crate) fn tombstone(&self, id: &InstanceId) -> PathBuf {
        self.terminated().join(format!("{id}.json"))
    }
}

/// An instance's folder.
#[derive(Debug, Clone)]
pub(crate) struct InstanceDirectory(PathBuf);

impl InstanceDirectory {
    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What is known about it.
    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("instance.json")
    }

    /// Its file system.
    pub(crate) fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }

    /// Sockets of the running instance.
    pub(crate) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// What its programs say.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Locked by the processes of the instance while they live; names them.
    pub(crate) fn processes(&self) -> PathBuf {
        self.0.join("processes")
    }
}

/// An image's folder.
#[derive(Debug, Clone)]
pub(crate) struct ImageDirectory(PathBuf);

impl ImageDirectory {
    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What is known about it.
    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("image.json")
    }

    /// Its file system.
    pub(crate) fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }

    /// A complete copy of it, for the next replica.
    pub(crate) fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }

    /// A copy that is being made.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.0.join("unfinished")
    }
}

/// Removes a folder with everything in it, also what its owner may not enter. One that is not there is removed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            allow_entering(path)?;
            missing_is_fine(fs::remove_dir_all(path))
        }
        other => missing_is_fine(other),
    }
}

/// Leaves out that there was nothing.
pub(crate) fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn allow_entering(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            allow_entering(&entry.path())?;
        }
    }
    Ok(())
}
