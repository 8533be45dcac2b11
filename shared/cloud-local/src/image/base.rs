//! The first image of all: the host's programs, and files of its own.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;

use rekindle_cloud::CloudError;
use rekindle_domain::ImageId;
use sha2::{Digest as _, Sha256};

use crate::core::Core;
use crate::directories::remove_tree;
use crate::error::{Explain as _, refused, uncertain};
use crate::image::create::{complete, insert};
use crate::image::record::{ImageRecord, Progress};
use crate::init::program::{PROGRAM_FILE, Program};
use crate::init::root::PROGRAM_FOLDERS;

/// What a base image is made of, besides what every one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImageSpec {
    /// The same name and the same content give the same image.
    pub name: String,
    /// What is put into it.
    pub files: Vec<BaseImageFile>,
    /// The program that an instance exists for, and its arguments.
    pub init_command: Vec<String>,
}

/// A file of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImageFile {
    /// Where, from the root of the image. Folders on the way are made.
    pub path: PathBuf,
    /// Its permissions, for example `0o755`.
    pub mode: u32,
    /// What is in it.
    pub source: FileSource,
}

/// What is in a file of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The content of a file of the host.
    CopyOf(PathBuf),
    /// Nothing: it is a symbolic link to this path.
    SymlinkTo(PathBuf),
}

/// Changes when the same specification comes to mean another image.
const LAYOUT: &[u8] = b"rekindle base image 2";

const FOLDERS: [(&str, u32); 24] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/rekindle", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/lib/postgresql", 0o700),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/opt", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("var/backups", 0o755),
];

const TEXTS: [(&str, &str); 5] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\ntty:x:5:\npostgres:x:999:\nnogroup:x:65534:\n"),
    ("etc/resolv.conf", "# The private network has no name server.\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\nprotocols: files\n\
         services: files\n",
    ),
    ("etc/os-release", "NAME=\"Rekindle local instance\"\nID=rekindle-local\n"),
];

const LINKS: [(&str, &str); 2] = [("var/run", "/run"), ("var/lock", "/run/lock")];

/// What programs of the host need to find beside them.
const FROM_HOST: [&str; 5] =
    ["etc/ld.so.cache", "etc/ld.so.conf", "etc/localtime", "etc/protocols", "etc/services"];

/// Makes the image, or gives the one that was made of the same.
pub(crate) fn build(core: &Core, specification: &BaseImageSpec) -> Result<ImageId, CloudError> {
    let files = all_files(specification)?;
    let _alone = core.building.lock().unwrap_or_else(PoisonError::into_inner);
    let digest =
        digest(specification, &files).explain(|| "a file for the base image cannot be read".into())?;
    let id =
        ImageId::parse(&format!("img-{}", &digest[..17])).map_err(|error| uncertain(error.to_string()))?;
    if core.records().images.contains_key(&id) {
        return Ok(id);
    }
    let record = ImageRecord {
        image_id: id.clone(),
        name: format!("{}-{}", specification.name, &digest[..12]),
        tags: [("rekindle:base".to_owned(), specification.name.clone())].into(),
        progress: Progress::Making,
        made_from: None,
        size_bytes: None,
    };
    insert(core, &mut core.records(), record.clone())?;
    make(core, record, &files).inspect_err(|_| forget(core, &id))?;
    Ok(id)
}

fn make(core: &Core, record: ImageRecord, files: &[BaseImageFile]) -> Result<(), CloudError> {
    let image = core.state.image(&record.image_id);
    fill(&image.tree(), files)?;
    let size = complete(core, &image, &core.closing)?;
    let mut records = core.records();
    let entry = records.images.get_mut(&record.image_id).ok_or_else(|| uncertain("the image was deleted"))?;
    entry
        .replace(&core.state, ImageRecord { progress: Progress::Available, size_bytes: Some(size), ..record })
}

fn forget(core: &Core, id: &ImageId) {
    if let Err(error) = remove_tree(core.state.image(id).path()) {
        tracing::warn!(%error, image = %id, "a half-made image could not be removed");
    }
    core.records().images.remove(id);
}

fn all_files(specification: &BaseImageSpec) -> Result<Vec<BaseImageFile>, CloudError> {
    if specification.init_command.is_empty() {
        return Err(refused("a base image needs a program to start"));
    }
    let program = Program { command: specification.init_command.clone() };
    let program =
        serde_json::to_vec_pretty(&program).explain(|| "the program cannot be written down".into())?;
    let mut files = vec![plain(PROGRAM_FILE, FileSource::Bytes(program))];
    files.extend(TEXTS.map(|(path, text)| plain(path, FileSource::Bytes(text.into()))));
    files.extend(LINKS.map(|(path, target)| plain(path, FileSource::SymlinkTo(target.into()))));
    files.extend(of_host().explain(|| "the host's own files cannot be read".into())?);
    files.extend(specification.files.iter().cloned());
    if let Some(outside) = files.iter().find(|file| relative(&file.path).is_none()) {
        return Err(refused(format!("{} is not a path in an image", outside.path.display())));
    }
    Ok(files)
}

fn plain(path: impl Into<PathBuf>, source: FileSource) -> BaseImageFile {
    BaseImageFile { path: path.into(), mode: 0o644, source }
}

fn of_host() -> io::Result<Vec<BaseImageFile>> {
    let host = Path::new("/");
    let there = FROM_HOST.iter().filter(|path| host.join(path).is_file());
    let mut files: Vec<_> = there.map(|path| plain(*path, FileSource::CopyOf(host.join(path)))).collect();
    if let Ok(entries) = fs::read_dir(host.join("etc/ld.so.conf.d")) {
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        files.extend(paths.into_iter().filter_map(as_on_host));
    }
    files.extend(PROGRAM_FOLDERS.iter().filter_map(|name| {
        let target = fs::read_link(host.join(name)).ok()?;
        Some(plain(*name, FileSource::SymlinkTo(target)))
    }));
    Ok(files)
}

fn as_on_host(path: PathBuf) -> Option<BaseImageFile> {
    match fs::read_link(&path) {
        Ok(target) => Some(plain(path, FileSource::SymlinkTo(target))),
        Err(_) if path.is_file() => Some(plain(path.clone(), FileSource::CopyOf(path))),
        Err(_) => None,
    }
}

/// Below the root, and not outside.
fn relative(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!inside.as_os_str().is_empty()).then_some(inside)
}

fn digest(specification: &BaseImageSpec, files: &[BaseImageFile]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(LAYOUT);
    part(specification.name.as_bytes());
    for file in files {
        part(file.path.as_os_str().as_encoded_bytes());
        part(&file.mode.to_be_bytes());
        match &file.source {
            FileSource::Bytes(bytes) => part(bytes),
            FileSource::CopyOf(path) => part(&digest_of_file(path)?),
            FileSource::SymlinkTo(target) => part(target.as_os_str().as_encoded_bytes()),
        }
    }
    Ok(hex::encode(hash.finalize()))
}

fn digest_of_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.finalize().into())
}

fn fill(tree: &Path, files: &[BaseImageFile]) -> Result<(), CloudError> {
    DirBuilder::new().mode(0o755).create(tree).explain(|| format!("cannot make {}", tree.display()))?;
    for (folder, mode) in FOLDERS {
        let path = tree.join(folder);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .explain(|| format!("cannot make {}", path.display()))?;
    }
    for name in PROGRAM_FOLDERS.iter().filter(|name| is_folder(&Path::new("/").join(name))) {
        fs::create_dir_all(tree.join(name)).explain(|| format!("cannot make /{name} in the image"))?;
    }
    for file in files {
        put(tree, file).explain(|| format!("{} cannot be put into the image", file.path.display()))?;
    }
    Ok(())
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

fn put(tree: &Path, file: &BaseImageFile) -> io::Result<()> {
    let path = tree.join(relative(&file.path).ok_or(io::ErrorKind::InvalidInput)?);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    // The specification may replace what every image has; a link must not be followed.
    if fs::symlink_metadata(&path).is_ok_and(|about| !about.is_dir()) {
        fs::remove_file(&path)?;
    }
    match &file.source {
        FileSource::Bytes(bytes) => fs::write(&path, bytes)?,
        FileSource::CopyOf(source) => drop(fs::copy(source, &path)?),
        FileSource::SymlinkTo(target) => return symlink(target, &path),
    }
    fs::set_permissions(&path, Permissions::from_mode(file.mode))
}
