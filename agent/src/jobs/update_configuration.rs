//! Brings the configuration to a published revision.

use std::path::{Component, Path, PathBuf};

use rekindle_domain::configuration::{ConfigurationFile, LONGEST_DOCUMENT_BYTES};
use rekindle_domain::job::JobResult;
use rekindle_domain::{ConfigurationDocument, Digest, ObjectKey, RevisionId, ServiceKey};
use rekindle_step::{ErrorName, StepError};

use super::Instance;
use crate::buckets::Bucket;
use crate::error::file;
use crate::files::{read_bounded, write_atomically, write_json};
use crate::keys::LONGEST_SIGNATURE_BYTES;
use crate::places::Places;
use crate::state::{AppliedConfiguration, State};
use crate::transfer::get;

const ALLOWED_ROOTS: [&str; 4] = ["/etc", "/srv", "/opt", "/var/lib"];
const FORBIDDEN: [&str; 2] = ["/etc/rekindle/trusted-keys", "/var/lib/rekindle"];

pub(super) async fn run(instance: &Instance, revision: &RevisionId) -> Result<JobResult, StepError> {
    let mut state = State::read(&instance.places)?;
    let service = instance.configuration()?.machine.service();
    let document = read_document(instance, &service, revision, state.configuration.as_ref()).await?;
    let mut files_written = 0;
    for wanted in &document.files {
        files_written += u32::from(write_file(&instance.places, wanted)?);
    }
    write_json(&instance.places.programs(), &document.programs)?;
    let configuration = AppliedConfiguration { revision: revision.clone(), counter: document.counter };
    if state.configuration.as_ref() != Some(&configuration) {
        state.configuration = Some(configuration);
        state.write(&instance.places)?;
    }
    Ok(JobResult::ConfigurationUpdated { revision: revision.clone(), files_written })
}

async fn read_document(
    instance: &Instance,
    service: &ServiceKey,
    revision: &RevisionId,
    applied: Option<&AppliedConfiguration>,
) -> Result<ConfigurationDocument, StepError> {
    let control = instance.bucket(Bucket::Control)?;
    let keys = configuration_keys(service, revision)?;
    let bytes = get(control.as_ref(), &keys.document, LONGEST_DOCUMENT_BYTES).await?;
    let signature = get(control.as_ref(), &keys.signature, LONGEST_SIGNATURE_BYTES).await?;
    instance.trusted_keys()?.verify(
        &format!("the configuration {}", revision.short()),
        &bytes,
        &signature,
    )?;
    admit_document(&bytes, service, revision, applied)
}

/// Where a configuration lies in the control bucket.
pub(crate) struct ConfigurationKeys {
    /// The document.
    pub(crate) document: ObjectKey,
    /// Its signature.
    pub(crate) signature: ObjectKey,
}

/// Where this revision of a service's configuration lies.
pub(crate) fn configuration_keys(
    service: &ServiceKey,
    revision: &RevisionId,
) -> Result<ConfigurationKeys, StepError> {
    let key = service.configuration_key(revision);
    Ok(ConfigurationKeys { signature: parsed_key(&format!("{key}.minisig"))?, document: parsed_key(&key)? })
}

fn parsed_key(text: &str) -> Result<ObjectKey, StepError> {
    ObjectKey::parse(text).map_err(|error| refused("its name is no object key").because(error))
}

/// May this document, whose signature held, be applied? A pure decision.
///
/// # Errors
/// `Agent.ConfigurationRefused` when it is another document than the one asked for, of another service, older than
/// what is applied, or reaches for a file that is not a configuration's.
pub fn admit_document(
    bytes: &[u8],
    service: &ServiceKey,
    revision: &RevisionId,
    applied: Option<&AppliedConfiguration>,
) -> Result<ConfigurationDocument, StepError> {
    if Digest::of(bytes) != *revision {
        return Err(refused("its content does not have the digest that it is named by"));
    }
    let document: ConfigurationDocument = serde_json::from_slice(bytes)
        .map_err(|error| refused("it is not JSON of this form").because(error))?;
    if document.schema_version != 1 {
        return Err(refused("its schema version is not 1"));
    }
    if document.service != *service {
        return Err(refused("it belongs to another service"));
    }
    if let Some(applied) = applied {
        let same_counter_other_content = document.counter == applied.counter && *revision != applied.revision;
        if document.counter < applied.counter || same_counter_other_content {
            return Err(refused("a configuration with this or a later counter is applied already"));
        }
    }
    let mut paths: Vec<&str> = document.files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    if paths.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refused("it names a file twice"));
    }
    if let Some(problem) = document.files.iter().find_map(problem_with) {
        return Err(refused(&problem));
    }
    let nameless = |program: &rekindle_domain::configuration::ConfiguredProgram| {
        rekindle_domain::MachineId::parse(&program.name).is_err() || program.command.is_empty()
    };
    if document.programs.iter().any(nameless) {
        return Err(refused(
            "a program of it has no command, or a name that is not lower-case letters, digits and -",
        ));
    }
    Ok(document)
}

fn problem_with(file: &ConfigurationFile) -> Option<String> {
    let shown: String = file.path.chars().take(80).collect();
    let path = Path::new(&file.path);
    let plain = file.path.starts_with('/')
        && !file.path.ends_with('/')
        && !file.path.chars().any(char::is_control)
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !file.path.split('/').skip(1).any(|segment| segment.is_empty() || segment == ".");
    if !plain {
        return Some(format!("the path {shown:?} is not absolute and plain"));
    }
    if !is_allowed(path) {
        return Some(format!("the path {shown:?} is not one that a configuration may write"));
    }
    (file.mode & !0o777 != 0).then(|| format!("the mode of {shown:?} has more than permission bits"))
}

fn is_allowed(path: &Path) -> bool {
    let below = |root: &&str| path.starts_with(root) && path != Path::new(root);
    ALLOWED_ROOTS.iter().any(below) && !FORBIDDEN.iter().any(|place| path.starts_with(place))
}

/// Writes one file where it differs, and says whether it did.
fn write_file(places: &Places, wanted: &ConfigurationFile) -> Result<bool, StepError> {
    let path = places.inside(&wanted.path);
    refuse_detour(places, &path, wanted)?;
    if is_as_wanted(&path, wanted)? {
        return Ok(false);
    }
    write_atomically(&path, wanted.content.as_bytes(), wanted.mode)?;
    Ok(true)
}

fn is_as_wanted(path: &Path, wanted: &ConfigurationFile) -> Result<bool, StepError> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(description) = std::fs::symlink_metadata(path) else { return Ok(false) };
    let same_mode = description.permissions().mode() & 0o7777 == wanted.mode;
    if !description.is_file() || !same_mode || description.len() != wanted.content.len() as u64 {
        return Ok(false);
    }
    Ok(read_bounded(path, LONGEST_DOCUMENT_BYTES)?.is_some_and(|found| found == wanted.content.as_bytes()))
}

/// A symbolic link inside the image must not lead a write to where its path does not point.
fn refuse_detour(places: &Places, path: &Path, wanted: &ConfigurationFile) -> Result<(), StepError> {
    let root = places.root().canonicalize().map_err(|error| file("finding", places.root(), error))?;
    let Some(existing) = deepest_existing(path) else { return Ok(()) };
    let found = existing.canonicalize().map_err(|error| file("finding", &existing, error))?;
    let inside = found.strip_prefix(&root).ok().map(|relative| Path::new("/").join(relative));
    let rest = path.parent().and_then(|parent| parent.strip_prefix(&existing).ok()).unwrap_or(Path::new(""));
    let really = inside.map(|inside| inside.join(rest).join("file"));
    match really {
        Some(really) if is_allowed(&really) => Ok(()),
        _ => Err(refused(&format!("a symbolic link leads {} to another place", wanted.path))),
    }
}

fn deepest_existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|ancestor| ancestor.exists()).map(Path::to_path_buf)
}

fn refused(reason: &str) -> StepError {
    StepError::new(ErrorName::ConfigurationRefused, format!("the configuration is refused: {reason}"))
        .next_step("Publish a corrected configuration")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot make its own documents has failed")]
    use rekindle_domain::MachineKey;

    use super::*;

    fn service() -> ServiceKey {
        MachineKey::parse("acme/orders/database").unwrap().service()
    }

    fn document(path: &str, mode: u32, counter: u64) -> (Vec<u8>, RevisionId) {
        let file = ConfigurationFile { path: path.to_owned(), mode, content: "x".to_owned() };
        let document = ConfigurationDocument {
            schema_version: 1,
            service: service(),
            counter,
            files: vec![file],
            programs: vec![],
        };
        let bytes = serde_json::to_vec(&document).unwrap();
        let revision = Digest::of(&bytes);
        (bytes, revision)
    }

    #[test]
    fn only_paths_of_configurations_are_written() {
        for path in
            ["/etc/orders.conf", "/srv/a", "/opt/a/b", "/var/lib/orders/x", "/etc/rekindle/agent.toml"]
        {
            let (bytes, revision) = document(path, 0o644, 1);
            admit_document(&bytes, &service(), &revision, None).unwrap();
        }
        for path in [
            "etc/x",
            "/etc",
            "/etc/",
            "/usr/bin/x",
            "/etc/../usr/bin/x",
            "/etc//x",
            "/etc/./x",
            "/etc/a\nb",
            "/root/x",
            "/etc/rekindle/trusted-keys/mine.pub",
            "/var/lib/rekindle/state.json",
            "/etcetera/x",
            "",
        ] {
            let (bytes, revision) = document(path, 0o644, 1);
            let error = admit_document(&bytes, &service(), &revision, None).unwrap_err();
            assert_eq!(error.name, ErrorName::ConfigurationRefused, "{path:?}");
        }
        let (bytes, revision) = document("/etc/x", 0o4755, 1);
        assert!(
            admit_document(&bytes, &service(), &revision, None).is_err(),
            "a set-user-id file was accepted"
        );
    }

    #[test]
    fn another_document_service_or_age_is_refused() {
        let (bytes, revision) = document("/etc/x", 0o644, 4);
        let applied = |counter, revision| AppliedConfiguration { counter, revision };
        let other_service = MachineKey::parse("acme/other/database").unwrap().service();
        admit_document(&bytes, &service(), &revision, Some(&applied(4, revision.clone()))).unwrap();
        admit_document(&bytes, &service(), &revision, Some(&applied(3, Digest::of(b"3")))).unwrap();
        assert!(admit_document(&bytes, &service(), &Digest::of(b"x"), None).is_err());
        assert!(admit_document(&bytes, &other_service, &revision, None).is_err());
        assert!(admit_document(&bytes, &service(), &revision, Some(&applied(5, Digest::of(b"5")))).is_err());
        assert!(admit_document(&bytes, &service(), &revision, Some(&applied(4, Digest::of(b"4")))).is_err());
        assert!(admit_document(b"{}", &service(), &Digest::of(b"{}"), None).is_err());
    }

    #[test]
    fn a_link_does_not_lead_a_write_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::under(root.path());
        std::fs::create_dir_all(places.trusted_keys()).unwrap();
        std::fs::create_dir_all(places.inside("/srv")).unwrap();
        std::os::unix::fs::symlink(places.trusted_keys(), places.inside("/srv/link")).unwrap();
        std::os::unix::fs::symlink("/tmp", places.inside("/srv/away")).unwrap();
        let wanted =
            |path: &str| ConfigurationFile { path: path.to_owned(), mode: 0o644, content: "x".to_owned() };
        for path in ["/srv/link/mine.pub", "/srv/away/x", "/srv/link/deeper/x"] {
            let error = write_file(&places, &wanted(path)).unwrap_err();
            assert_eq!(error.name, ErrorName::ConfigurationRefused, "{path}");
        }
        assert!(write_file(&places, &wanted("/srv/new/file")).unwrap());
        assert!(
            !write_file(&places, &wanted("/srv/new/file")).unwrap(),
            "an unchanged file was written again"
        );
    }
}
