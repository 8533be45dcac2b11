//! The file system of an instance, built from its tree, the host's programs, and little else.
//!
//! Everything of the host is opened first. Then the tree becomes the root and the host's root is let go; only then are
//! the opened mounts put in their places. So a symbolic link in a tree can never lead out of it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rekindle_cloud::CloudError;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};
use rustix::thread::UnshareFlags;

use crate::directories::missing_is_fine;
use crate::error::Explain as _;
use crate::instance::specification::Mount;
use crate::kernel::{make_read_only, unshare};

/// The host's folders of programs. Where the host has a symbolic link, the image has the same one.
pub(crate) const PROGRAM_FOLDERS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Which of several programs a name in `/usr/bin` means: belongs to the host's `/usr`, wherever it lies.
const CHOICES: &str = "/etc/alternatives";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Settings of the machine: an owner who is root could change them from inside.
const READ_ONLY: [&str; 6] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi"];
/// Contents of the machine.
const HIDDEN: [&str; 3] = ["/proc/kcore", "/proc/keys", "/proc/timer_list"];

/// Makes the tree in the working directory the root of this process, which is the first of its PID namespace.
pub(crate) fn enter(mounts: &[Mount]) -> Result<(), CloudError> {
    unshare(UnshareFlags::NEWNS).explain(|| "there can be no mount namespace".into())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .explain(|| "mounts cannot be made private".into())?;
    let places = open_places(mounts)?;
    pivot().explain(|| "the instance's tree cannot become the root".into())?;
    for place in &places {
        place.put().explain(|| format!("{} cannot be mounted in the instance", place.target.display()))?;
    }
    furnish_devices().explain(|| "/dev cannot be furnished".into())?;
    protect_machine().explain(|| "/proc cannot be made harmless".into())
}

/// Something mounted nowhere yet, and where it goes.
struct Place {
    mount: OwnedFd,
    target: PathBuf,
    folder: bool,
}

impl Place {
    fn put(&self) -> io::Result<()> {
        if self.folder {
            fs::create_dir_all(&self.target)?;
        } else if !self.target.exists() {
            self.target.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create(&self.target)?;
        }
        attach(&self.mount, &self.target)
    }
}

/// In the order in which they are to be put: what lies in another comes after it.
fn open_places(mounts: &[Mount]) -> Result<Vec<Place>, CloudError> {
    let mut places = Vec::new();
    let programs = PROGRAM_FOLDERS.iter().map(|name| Path::new("/").join(name));
    for folder in programs.chain([PathBuf::from(CHOICES)]) {
        if fs::symlink_metadata(&folder).is_ok_and(|about| about.is_dir()) {
            places.push(bound(&folder, &folder, false)?);
        }
    }
    places.push(new_file_system("proc", "/proc", &[])?);
    places.push(new_file_system("tmpfs", "/run", &[("mode", "0755"), ("size", "64m")])?);
    places.push(new_file_system("tmpfs", "/tmp", &[("mode", "1777")])?);
    places.push(new_file_system("tmpfs", "/dev", &[("mode", "0755"), ("size", "1m")])?);
    places.push(new_file_system("tmpfs", "/dev/shm", &[("mode", "1777")])?);
    // Some machines allow no terminals of one's own; then there are none.
    places.extend(new_file_system("devpts", "/dev/pts", &[("ptmxmode", "0666"), ("mode", "0620")]).ok());
    for device in DEVICES.iter().map(|name| Path::new("/dev").join(name)) {
        places.push(bound(&device, &device, true)?);
    }
    for mount in mounts {
        places.push(bound(&mount.source, &mount.target, mount.writable)?);
    }
    Ok(places)
}

/// A part of the host's file system, with all mounts below it.
fn bound(source: &Path, target: &Path, writable: bool) -> Result<Place, CloudError> {
    let what = || format!("{} cannot be shown to the instance", source.display());
    let folder = fs::metadata(source).explain(what)?.is_dir();
    let mount = detached_copy(source).explain(what)?;
    if !writable {
        make_read_only(mount.as_fd()).explain(what)?;
    }
    Ok(Place { mount, target: target.to_owned(), folder })
}

fn detached_copy(path: &Path) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

fn new_file_system(kind: &str, target: &str, options: &[(&str, &str)]) -> Result<Place, CloudError> {
    let mount = new_mount(kind, options).explain(|| format!("a new {kind} cannot be mounted"))?;
    Ok(Place { mount, target: PathBuf::from(target), folder: true })
}

fn new_mount(kind: &str, options: &[(&str, &str)]) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, kind != "devpts");
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn attach(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(mount.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn pivot() -> io::Result<()> {
    // A root has to be a mount of its own.
    attach(&detached_copy(Path::new("tree"))?, Path::new("tree"))?;
    std::env::set_current_dir("tree")?;
    // The old root comes to lie on the new one, and is taken off it.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

fn furnish_devices() -> io::Result<()> {
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for (target, link) in links {
        symlink(target, link)?;
    }
    Ok(())
}

/// The user namespace that the instance's programs run in is below this one: they cannot undo it.
fn protect_machine() -> io::Result<()> {
    for path in READ_ONLY.map(Path::new) {
        match detached_copy(path) {
            Ok(copy) => {
                make_read_only(copy.as_fd())?;
                attach(&copy, path)?;
            }
            Err(error) => missing_is_fine(Err(error))?,
        }
    }
    for path in HIDDEN.map(Path::new).into_iter().filter(|path| path.exists()) {
        attach(&detached_copy(Path::new("/dev/null"))?, path)?;
    }
    Ok(())
}

/// A folder that only root may enter.
pub(crate) fn private_folder(path: &str) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}
