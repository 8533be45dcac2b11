//! What is laid down in the image: checked, put into one archive, and named by its digest.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::place::{Place, architecture_of};
use crate::error::TaskError;
use crate::package::build::Architecture;
use crate::process::Program;
use crate::repository::Repository;

/// As `rekindle-agent install` has it.
const LONGEST_FILE_BYTES: u64 = 1024 * 1024;
const LONGEST_PROGRAM_BYTES: u64 = 512 * 1024 * 1024;

/// What secrets look like. None of them has a place in an image. Comments of a minisign key may say anything; its own
/// line begins with the algorithms, and the last two are a key without a password, as `rekindle-agent keygen` writes it,
/// and one with a password.
const SECRETS: [&str; 5] = ["AGE-SECRET-KEY", "PRIVATE KEY", "encrypted secret key", "RWQAAEIy", "RWRTY0Iy"];

/// Where everything comes from.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) config: PathBuf,
    pub(super) trusted_keys: PathBuf,
    pub(super) recipes: PathBuf,
    pub(super) wrapped_identity: Option<PathBuf>,
    pub(super) agent: PathBuf,
}

/// The archive.
#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// Why the configuration does not fit, if there is a reason: an image of it would only be found out by its first run.
pub(super) fn contradiction(text: &str, machine: &str, region: &str, place: &Place) -> Option<String> {
    let Ok(config) = text.parse::<toml::Table>() else {
        return Some("it is not TOML".to_owned());
    };
    let word =
        |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let named = word(config.get("machine"));
    if named != machine {
        return Some(format!("it is for the machine {named:?}, and --machine is {machine}"));
    }
    let Some(aws) = config.get("aws").and_then(toml::Value::as_table) else {
        return Some("it has no table [aws], which an instance on AWS needs".to_owned());
    };
    if word(aws.get("region")) != region {
        return Some(format!(
            "aws.region is {:?}, and the image is made in {region}",
            word(aws.get("region"))
        ));
    }
    if !place.outputs.contains_key("AgentApiUrl") && !aws.contains_key("agent_api_role") {
        return Some(
            "it has no aws.agent_api_role, and the agent API is not in the account of this stack: it is the \
             AgentCallerRoleArn that the stack was made with"
                .to_owned(),
        );
    }
    let outputs = [
        ("control_bucket", "ControlBucketName"),
        ("data_bucket", "DataBucketName"),
        ("agent_api", "AgentApiUrl"),
    ];
    outputs.into_iter().find_map(|(setting, output)| {
        let (found, wanted) = (word(aws.get(setting)), place.outputs.get(output)?);
        (found.trim_end_matches('/') != wanted.trim_end_matches('/'))
            .then(|| format!("aws.{setting} is {found:?}, and the stack's {output} is {wanted}"))
    })
}

/// Checks and packs, into a folder of this run's own.
pub(super) fn pack(
    repository: &Repository,
    inputs: &Inputs,
    architecture: Architecture,
    folder: &Path,
) -> Result<Bundle, TaskError> {
    let built_for = architecture_of(&inputs.agent)?;
    if built_for != architecture {
        return Err(TaskError::CheckFailed(format!(
            "{} is for {}, and the parent image for {}",
            inputs.agent.display(),
            built_for.name(),
            architecture.name()
        )));
    }
    let content = folder.join("content");
    collect(inputs, &content)?;
    rehearse(repository, &content, architecture, &folder.join("rehearsed"))?;
    let path = folder.join("bundle.tar");
    archive(repository, &content, &path)?;
    let (sha256, bytes) = digest(&path)?;
    Ok(Bundle { path, sha256, bytes })
}

fn collect(inputs: &Inputs, content: &Path) -> Result<(), TaskError> {
    write(&content.join("rekindle-agent"), &read(&inputs.agent, LONGEST_PROGRAM_BYTES)?, 0o755)?;
    copy_text(&inputs.config, &content.join("agent.toml"))?;
    copy_all(&inputs.trusted_keys, &[".pub"], &content.join("trusted-keys"))?;
    copy_all(&inputs.recipes, &[".toml", ".toml.minisig"], &content.join("recipes"))?;
    match &inputs.wrapped_identity {
        Some(path) => copy_text(path, &content.join("identity.kms")),
        None => Ok(()),
    }
}

fn copy_all(from: &Path, endings: &[&str], into: &Path) -> Result<(), TaskError> {
    fs::create_dir_all(into).map_err(|cause| TaskError::file(into, cause))?;
    for entry in fs::read_dir(from).map_err(|cause| TaskError::file(from, cause))? {
        let path = entry.map_err(|cause| TaskError::file(from, cause))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if endings.iter().any(|ending| name.ends_with(ending)) {
            copy_text(&path, &into.join(name))?;
        }
    }
    Ok(())
}

/// A file that may hold no secret. What is copied is what was checked, and nothing is copied before.
fn copy_text(from: &Path, to: &Path) -> Result<(), TaskError> {
    let bytes = read(from, LONGEST_FILE_BYTES)?;
    match secret_in(&bytes) {
        None => write(to, &bytes, 0o644),
        Some(secret) => Err(TaskError::CheckFailed(format!(
            "{} holds a secret ({secret}…): it was neither copied nor uploaded. An image has public keys and wrapped \
             identities only",
            from.display()
        ))),
    }
}

/// What kind of secret there is, if any.
fn secret_in(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    SECRETS.into_iter().find(|secret| text.contains(secret))
}

fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(limit_bytes + 1).read_to_end(&mut bytes))
        .map_err(|cause| TaskError::file(path, cause))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(TaskError::CheckFailed(format!("{} is longer than {limit_bytes} bytes", path.display())));
    }
    Ok(bytes)
}

fn write(to: &Path, bytes: &[u8], mode: u32) -> Result<(), TaskError> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(to, bytes))
        .and_then(|()| fs::set_permissions(to, fs::Permissions::from_mode(mode)))
        .map_err(|cause| TaskError::file(to, cause))
}

/// What the builder will do, done here into a folder: a recipe that nobody signed is found before anything is paid for.
/// An agent for another processor does not run here, and then the builder is the first to tell.
fn rehearse(
    repository: &Repository,
    content: &Path,
    architecture: Architecture,
    root: &Path,
) -> Result<(), TaskError> {
    if architecture != Architecture::of_this_machine() {
        return Ok(());
    }
    let mut program = Program::new(repository, content.join("rekindle-agent"))
        .arguments([Path::new("--root"), root, Path::new("install")])
        .arguments([Path::new("--config"), &content.join("agent.toml")])
        .arguments([Path::new("--trusted-keys"), &content.join("trusted-keys")])
        .arguments([Path::new("--recipes"), &content.join("recipes")]);
    let identity = content.join("identity.kms");
    if identity.exists() {
        program = program.arguments([Path::new("--wrapped-identity"), &identity]);
    }
    let said = program.attempt()?;
    fs::remove_dir_all(root).or_else(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(TaskError::file(root, cause)),
    })?;
    said.map(drop)
        .map_err(|reason| TaskError::CheckFailed(format!("the agent refuses to be laid down: {reason}")))
}

/// The same bytes for the same content, whatever the umask of whoever packs it, so that the same image is not made twice.
fn archive(repository: &Repository, content: &Path, path: &Path) -> Result<(), TaskError> {
    Program::new(repository, "tar")
        .arguments(["--create", "--format=ustar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0"])
        .arguments(["--numeric-owner", "--mode=u=rwX,go=rX", "--file"])
        .arguments([path, Path::new("--directory"), content, Path::new(".")])
        .output()
        .map(drop)
}

fn digest(path: &Path) -> Result<(String, u64), TaskError> {
    let mut file = fs::File::open(path).map_err(|cause| TaskError::file(path, cause))?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0_u8; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(|cause| TaskError::file(path, cause))?;
        if read == 0 {
            return Ok((format!("{:x}", hash.finalize()), bytes));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    const CONFIG: &str = r#"
        machine = "acme/orders/database"
        [aws]
        region = "eu-west-1"
        agent_api = "https://a1b2.execute-api.eu-west-1.amazonaws.com"
        control_bucket = "acme-control"
        data_bucket = "acme-data"
    "#;

    fn place() -> Place {
        let outputs = [
            ("DataBucketName", "acme-data"),
            ("ControlBucketName", "acme-control"),
            ("AgentApiUrl", "https://a1b2.execute-api.eu-west-1.amazonaws.com/"),
        ];
        Place {
            stack: "rekindle".to_owned(),
            profile: "rekindle-eu-west-1-base-image".to_owned(),
            launch_template: "lt-1".to_owned(),
            launch_template_version: "1".to_owned(),
            security_group: "sg-1".to_owned(),
            subnet: "subnet-1".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            disk_key: "key".to_owned(),
            outputs: outputs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn a_configuration_of_another_machine_or_stack_is_refused() {
        let refused = |text: &str| contradiction(text, "acme/orders/database", "eu-west-1", &place());
        assert_eq!(refused(CONFIG), None);
        for (from, to, part) in [
            ("acme/orders/database", "acme/orders/web", "--machine"),
            ("[aws]", "[other]", "[aws]"),
            ("region = \"eu-west-1\"", "region = \"eu-west-2\"", "aws.region"),
            ("acme-control", "other-control", "ControlBucketName"),
            ("acme-data", "other-data", "DataBucketName"),
            ("a1b2.exec", "c3d4.exec", "AgentApiUrl"),
            ("machine =", "machine", "not TOML"),
        ] {
            let reason = refused(&CONFIG.replace(from, to)).unwrap();
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn an_account_of_the_customers_own_needs_the_role_of_the_api() {
        let mut place = place();
        place.outputs.remove("AgentApiUrl");
        let refused = |text: &str| contradiction(text, "acme/orders/database", "eu-west-1", &place);
        assert!(refused(CONFIG).unwrap().contains("agent_api_role"));
        let with_role = format!("{CONFIG}\nagent_api_role = \"arn:aws:iam::111122223333:role/caller\"");
        assert_eq!(refused(&with_role), None);
    }

    /// A minisign key with a password: what it is encrypted with is cut off.
    const WITH_PASSWORD: &str = "untrusted comment: minisign encrypted secret key\nRWRTY0IyZm9vYmFy";

    /// Our own, as `rekindle-agent keygen` writes it, and its public half.
    fn signing_key(folder: &Path) -> (String, String) {
        let key = rekindle_agent::keys::SigningKey::generate().unwrap();
        let path = folder.join("signing.key");
        key.write(&path).unwrap();
        (fs::read_to_string(path).unwrap(), key.public_text().unwrap())
    }

    #[test]
    fn secrets_are_neither_packed_nor_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, public) = signing_key(folder.path());
        let without_comment = secret.lines().nth(1).unwrap();
        let other_comment = WITH_PASSWORD.replace("minisign encrypted secret key", "for the office");
        for (number, (text, is_fine)) in [
            (public.as_str(), true),
            (secret.as_str(), false),
            (without_comment, false),
            (WITH_PASSWORD, false),
            (&other_comment, false),
            ("# created\nAGE-SECRET-KEY-1QQQ", false),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", false),
        ]
        .into_iter()
        .enumerate()
        {
            let (from, to) = (folder.path().join("x"), folder.path().join(format!("content/{number}")));
            fs::write(&from, text).unwrap();
            assert_eq!(copy_text(&from, &to).is_ok(), is_fine, "{text}");
            assert_eq!(to.exists(), is_fine, "{text}");
        }
    }

    #[test]
    fn the_same_content_is_the_same_bundle_whoever_packs_it() {
        let repository = Repository::find().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let packed = |name: &str, content: &str, umask: u32| {
            let place = folder.path().join(name);
            for (path, text, mode) in [("b/one", content, 0o666), ("a", "a", 0o666), ("program", "p", 0o777)]
            {
                write(&place.join(path), text.as_bytes(), mode & !umask).unwrap();
            }
            fs::set_permissions(place.join("b"), fs::Permissions::from_mode(0o777 & !umask)).unwrap();
            let path = folder.path().join(format!("{name}.tar"));
            archive(&repository, &place, &path).unwrap();
            digest(&path).unwrap()
        };
        let first = packed("first", "1", 0o022);
        for (name, umask) in [("second", 0o022), ("private", 0o077), ("open", 0o002)] {
            assert_eq!(first, packed(name, "1", umask), "{name}");
        }
        assert_ne!(first, packed("third", "2", 0o022));
    }
}
