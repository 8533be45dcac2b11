//! What makes one instance different from another that was started from the same image.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::init::root::private_folder;
use crate::instance::specification::{AuthorizedKey, Specification};

/// Writes host name, machine id and keys into the instance that this process is the first process of.
pub(crate) fn write(specification: &Specification) -> io::Result<()> {
    let Specification { hostname, address, .. } = specification;
    rustix::system::sethostname(hostname.as_bytes())?;
    fs::create_dir_all("/etc")?;
    fs::write("/etc/hostname", format!("{hostname}\n"))?;
    fs::write("/etc/hosts", format!("127.0.0.1 localhost\n::1 localhost\n{address} {hostname}\n"))?;
    fs::write("/etc/machine-id", format!("{}\n", specification.machine_id))?;
    fs::write("/run/rekindle/instance-id", format!("{}\n", specification.instance_id))?;
    specification.authorized_key.as_ref().map_or(Ok(()), authorize)
}

/// Lets the key log in as root. Another entry of the same key is replaced, other keys stay.
fn authorize(key: &AuthorizedKey) -> io::Result<()> {
    let path = Path::new("/root/.ssh/authorized_keys");
    private_folder("/root/.ssh")?;
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let after = with_entry(&before, key);
    if before != after {
        fs::write(path, after)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

fn with_entry(before: &str, key: &AuthorizedKey) -> String {
    let others = before.lines().filter(|line| !line.split_whitespace().any(|word| word == key.key()));
    let mut after: String = others.flat_map(|line| [line, "\n"]).collect();
    after.push_str(&key.entry());
    after.push('\n');
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_installed_once_under_its_name() {
        let key = AuthorizedKey { name: "acme".into(), line: "ssh-ed25519 AAAA someone@home".into() };
        let once = with_entry("ssh-rsa BBBB other\n", &key);
        assert_eq!(once, "ssh-rsa BBBB other\nssh-ed25519 AAAA acme\n");
        assert_eq!(with_entry(&once, &key), once);
    }
}
