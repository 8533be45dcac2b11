//! Lets the holder of the instance's key pair log in, and nobody of an earlier instance.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rekindle_step::StepError;

use super::metadata::PublicKey;
use crate::error::{failed, file};
use crate::files::{read_bounded, write_atomically};
use crate::places::Places;

const LONGEST_FILE_BYTES: u64 = 256 * 1024;
const BEGIN: &str = "# begin: keys of the instance metadata, managed by rekindle-agent";
const END: &str = "# end: keys of the instance metadata";

/// Whose keys these are, and where.
#[derive(Debug, PartialEq, Eq)]
struct Login {
    folder: PathBuf,
    /// None for the user that the agent is.
    owner: Option<(u32, u32)>,
}

/// Puts these keys, and no other managed ones, into the user's `authorized_keys`.
pub(super) fn install(places: &Places, user: &str, keys: &[PublicKey]) -> Result<(), StepError> {
    let login = login_of(places, user)?;
    let path = login.folder.join("authorized_keys");
    let present = read_bounded(&path, LONGEST_FILE_BYTES)?.unwrap_or_default();
    let present = String::from_utf8_lossy(&present);
    let wanted = with_managed(&present, keys);
    if present == wanted {
        return Ok(());
    }
    private_folder(&login)?;
    write_atomically(&path, wanted.as_bytes(), 0o600)?;
    own(&path, &login)
}

/// sshd ignores keys in a folder that others can write to.
fn private_folder(login: &Login) -> Result<(), StepError> {
    let folder = &login.folder;
    if fs::symlink_metadata(folder).is_ok_and(|found| !found.is_dir()) {
        return Err(failed(format!("{} is not a folder, so no key is installed", folder.display())));
    }
    fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(|error| file("protecting the folder", folder, error))?;
    own(folder, login)
}

fn own(path: &Path, login: &Login) -> Result<(), StepError> {
    match login.owner {
        Some((user, group)) => {
            chown(path, Some(user), Some(group)).map_err(|error| file("giving away", path, error))
        }
        None => Ok(()),
    }
}

fn login_of(places: &Places, user: &str) -> Result<Login, StepError> {
    if user == "root" {
        let folder = places.authorized_keys().parent().map(Path::to_owned);
        return Ok(Login { folder: folder.unwrap_or_default(), owner: None });
    }
    let passwd = read_bounded(&places.inside("/etc/passwd"), 1024 * 1024)?.unwrap_or_default();
    let found = user_of(&String::from_utf8_lossy(&passwd), user);
    let (owner, home) =
        found.ok_or_else(|| failed(format!("there is no user {user} whom a key could let in")))?;
    Ok(Login { folder: places.inside(&home).join(".ssh"), owner: Some(owner) })
}

/// User, group and home of a line of `/etc/passwd`.
fn user_of(passwd: &str, user: &str) -> Option<((u32, u32), String)> {
    let fields: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user)?;
    let [_, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
    let sound = home.starts_with('/') && !home.split('/').any(|part| part == "..");
    sound.then_some(((uid.parse().ok()?, gid.parse().ok()?), (*home).to_owned()))
}

/// The file's text with these keys in place of those that were managed before. An image carries the keys of the
/// instance it was made of, and those must not stay for ever.
fn with_managed(present: &str, keys: &[PublicKey]) -> String {
    let mut managed = false;
    let mut lines: Vec<String> = Vec::new();
    for line in present.lines() {
        match line {
            BEGIN => managed = true,
            END => managed = false,
            line if !managed => lines.push(line.to_owned()),
            _ => {}
        }
    }
    if !keys.is_empty() {
        lines.push(BEGIN.to_owned());
        lines.extend(keys.iter().map(|key| format!("{} {}", key.key, key.name)));
        lines.push(END.to_owned());
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose folder cannot be used has failed")]
    use super::*;

    fn key(name: &str) -> PublicKey {
        PublicKey { name: name.to_owned(), key: "ssh-ed25519 AAAA".to_owned() }
    }

    #[test]
    fn keys_of_an_earlier_instance_go_and_other_peoples_stay() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::under(folder.path());
        let path = places.authorized_keys();
        write_atomically(&path, b"ssh-rsa BBBB person\n", 0o644).unwrap();
        install(&places, "root", &[key("first")]).unwrap();
        install(&places, "root", &[key("second")]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("BBBB person\n") && text.contains("ssh-ed25519 AAAA second\n"), "{text}");
        assert!(!text.contains("first"), "{text}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        install(&places, "root", &[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ssh-rsa BBBB person\n");
    }

    #[test]
    fn an_instance_without_keys_gets_no_file() {
        let folder = tempfile::tempdir().unwrap();
        install(&Places::under(folder.path()), "root", &[]).unwrap();
        assert!(!folder.path().join("root").exists());
    }

    #[test]
    fn another_user_is_found_by_the_instances_own_list() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nec2-user:x:1000:1001::/home/ec2-user:/bin/bash\nodd:x:1:1";
        assert_eq!(user_of(passwd, "ec2-user"), Some(((1000, 1001), "/home/ec2-user".to_owned())));
        assert_eq!(user_of(passwd, "odd"), None);
        assert_eq!(user_of(passwd, "nobody"), None);
        assert_eq!(user_of("x:x:1:1::/home/../etc:", "x"), None);
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::under(folder.path());
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        let keys = places.authorized_keys();
        let folder_of_keys = keys.parent().unwrap();
        fs::create_dir_all(folder_of_keys.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder_of_keys).unwrap();
        assert!(install(&places, "root", &[key("first")]).is_err());
    }
}
