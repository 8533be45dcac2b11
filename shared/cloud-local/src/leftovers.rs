//! What is left on the machine of a cloud, found on the machine itself and not in our records.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::control::STATE_MARKER;

/// The names of this network namespace's interfaces.
pub fn network_interfaces() -> BTreeSet<String> {
    entries(Path::new("/sys/class/net")).into_iter().map(|path| name_of(&path)).collect()
}

/// Looks for what a cloud that is closed must not have left: processes, mounts, network interfaces that were not there
/// before, and folders of instances and of half-made images. One line for each; nothing when all is well.
///
/// Images that are complete are no leftovers. Processes of other users are only seen as far as they let themselves.
pub fn leftovers(state_directory: &Path, interfaces_before: &BTreeSet<String>) -> Vec<String> {
    let state = state_directory.canonicalize().unwrap_or_else(|_| state_directory.to_owned());
    let mut found = processes(&state);
    found.extend(mounts(&state));
    let new = network_interfaces();
    found.extend(new.difference(interfaces_before).map(|name| format!("network interface {name}")));
    found.extend(folders(&state));
    found
}

fn processes(state: &Path) -> Vec<String> {
    let ours = own_line();
    let place = PlaceOnDevice::of(state);
    let found = process_ids().into_iter().filter(|id| !ours.contains(id)).filter_map(|id| {
        let process = Path::new("/proc").join(id.to_string());
        let signs = signs(&process, state, place.as_ref());
        // One that has ended and only waits for its parent holds nothing.
        (!signs.is_empty() && !has_ended(&process))
            .then(|| format!("process {id} ({}): {}", command_line(&process), signs.join(", ")))
    });
    found.collect()
}

fn process_ids() -> Vec<u32> {
    entries(Path::new("/proc")).iter().filter_map(|path| name_of(path).parse().ok()).collect()
}

/// This process and those that it descends from: the state directory may well be in their command lines.
fn own_line() -> BTreeSet<u32> {
    let mut line = BTreeSet::new();
    let mut next = Some(std::process::id());
    while let Some(id) = next.filter(|id| line.insert(*id)) {
        next =
            status(&Path::new("/proc").join(id.to_string())).and_then(|fields| fields.get(1)?.parse().ok());
    }
    line
}

/// State, parent and so on: what follows the name in brackets.
fn status(process: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn has_ended(process: &Path) -> bool {
    status(process).is_none_or(|fields| matches!(fields.first().map(String::as_str), Some("Z" | "X")))
}

fn signs(process: &Path, state: &Path, place: Option<&PlaceOnDevice>) -> Vec<&'static str> {
    let mut signs = Vec::new();
    let text = state.as_os_str().as_bytes();
    if contains(&fs::read(process.join("cmdline")).unwrap_or_default(), text) {
        signs.push("names the state directory");
    }
    let marker = [STATE_MARKER.as_bytes(), b"=", text].concat();
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    if environment.split(|byte| *byte == 0).any(|variable| variable == marker) {
        signs.push("was started by the cloud");
    }
    let under = |link: &str| fs::read_link(process.join(link)).is_ok_and(|target| target.starts_with(state));
    if under("root") || under("cwd") {
        signs.push("is in the state directory");
    }
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
    if mounts.lines().filter_map(MountLine::parse).any(|mount| mount.concerns(state, place)) {
        signs.push("has the state directory mounted");
    }
    signs
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn command_line(process: &Path) -> String {
    let bytes = fs::read(process.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim().chars().take(120).collect()
}

/// In this process's mount namespace; those of others are found with their processes.
fn mounts(state: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = PlaceOnDevice::of(state);
    let lines = text.lines().filter_map(MountLine::parse);
    lines
        .filter(|mount| mount.concerns(state, place.as_ref()))
        .map(|mount| format!("mount {}", mount.point.display()))
        .collect()
}

/// A line of `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MountLine {
    device: String,
    root: PathBuf,
    point: PathBuf,
}

impl MountLine {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(2);
        Some(Self {
            device: fields.next()?.to_owned(),
            root: unescape(fields.next()?),
            point: unescape(fields.next()?),
        })
    }

    /// Mounted under the state directory, or something of the state directory mounted anywhere.
    fn concerns(&self, state: &Path, place: Option<&PlaceOnDevice>) -> bool {
        let below = self.point.starts_with(state) && self.point != state;
        below || place.is_some_and(|place| self.device == place.device && self.root.starts_with(&place.path))
    }
}

/// Where the state directory is on the device that it is on: this is how other mount namespaces name it.
#[derive(Debug)]
struct PlaceOnDevice {
    device: String,
    path: PathBuf,
}

impl PlaceOnDevice {
    fn of(state: &Path) -> Option<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let lines = text.lines().filter_map(MountLine::parse);
        let mount = lines
            .filter(|mount| state.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.as_os_str().len())?;
        let path = mount.root.join(state.strip_prefix(&mount.point).ok()?);
        // A file system of its own: every mount of it would be found, also those of others.
        (path != Path::new("/")).then_some(Self { device: mount.device, path })
    }
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from(String::from_utf8_lossy(&bytes).into_owned()))
}

fn folders(state: &Path) -> Vec<String> {
    let instances = entries(&state.join("instances")).into_iter().map(|path| ("folder of an instance", path));
    let images = entries(&state.join("images")).into_iter().filter(|path| !is_complete(path));
    let images = images.map(|path| ("half-made image", path));
    instances.chain(images).map(|(kind, path)| format!("{kind} {}", path.display())).collect()
}

/// A complete image has a tree, a record that says so, and no copy that was broken off.
fn is_complete(image: &Path) -> bool {
    let record = fs::read(image.join("image.json")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    record.get("progress").is_some_and(|progress| progress == "available")
        && image.join("tree").is_dir()
        && !image.join("unfinished").exists()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_mount_line_is_read_with_its_blanks() {
        let line = r"36 35 254:0 /state\040dir/instances/i-1/tree /mnt/a\040b rw,noatime - ext4 /dev/vda rw";
        let mount = MountLine::parse(line).unwrap();
        assert_eq!(mount.root, Path::new("/state dir/instances/i-1/tree"));
        let place = PlaceOnDevice { device: "254:0".into(), path: "/state dir".into() };
        assert!(mount.concerns(Path::new("/elsewhere"), Some(&place)));
        assert!(mount.concerns(Path::new("/mnt"), None));
        assert!(!mount.concerns(Path::new("/elsewhere"), None));
    }
}
