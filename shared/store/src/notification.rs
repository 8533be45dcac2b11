//! Says when a set description appears.
//!
//! What is said is only a hint that wakes somebody up: it may come twice, and after a start or a long pause
//! [`FolderWatch::scan`] tells what was missed.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rekindle_domain::{MachineKey, ObjectKey};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::{FolderStore, ObjectStore, StoreError};

/// The words at the even places of a set description's key; names given by people and ids lie between them.
const FIXED_SEGMENTS: [&str; 4] = ["customers", "services", "machines", "sets"];
const DESCRIPTION_NAME: &str = "set.json";
/// How long to rest when the machine's notifications cannot be read.
const REST_AFTER_A_FAILURE: Duration = Duration::from_secs(10);
const EVENT_BUFFER_BYTES: usize = 1 << 16;

/// Watches the control bucket for set descriptions.
#[derive(Debug)]
pub struct FolderWatch {
    watched: Arc<Watched>,
    events: AsyncFd<Arc<OwnedFd>>,
    found: VecDeque<ObjectKey>,
    /// Folders whose content has to be looked at: they may have been filled before they were watched. They stay here
    /// until they have been looked at, so that a caller who stops waiting loses nothing.
    unseen: Vec<String>,
}

#[derive(Debug)]
struct Watched {
    root: PathBuf,
    notifier: Arc<OwnedFd>,
    /// The prefix of each watched folder, by its number.
    prefixes: Mutex<HashMap<i32, String>>,
}

impl FolderWatch {
    /// Watches a control bucket from now on. What is there already is not said: [`scan`](Self::scan) after the start.
    ///
    /// # Errors
    /// When the machine allows no further watches, or the bucket cannot be read.
    pub async fn start(store: &FolderStore) -> Result<Self, StoreError> {
        let failure =
            |source| StoreError::Unavailable { what: "the bucket cannot be watched".to_owned(), source };
        let (watched, events) = begin(store.path()).map_err(failure)?;
        let looker = Arc::clone(&watched);
        let looked = tokio::task::spawn_blocking(move || looker.look(""));
        looked.await.map_err(io::Error::other).flatten().map_err(failure)?;
        Ok(Self { watched, events, found: VecDeque::new(), unseen: Vec::new() })
    }

    /// The next set description that appears; at least once for each. It may be dropped at any time.
    pub async fn next(&mut self) -> ObjectKey {
        loop {
            self.look_at_unseen().await;
            if let Some(key) = self.found.pop_front() {
                return key;
            }
            if let Err(error) = self.read_events().await {
                tracing::warn!(%error, "the notifications of the store cannot be read; it is looked through instead");
                tokio::time::sleep(REST_AFTER_A_FAILURE).await;
                self.unseen.push(String::new());
            }
        }
    }

    /// All set descriptions in a control bucket.
    ///
    /// # Errors
    /// When the bucket cannot be listed.
    pub async fn scan(store: &dyn ObjectStore) -> Result<Vec<ObjectKey>, StoreError> {
        let objects = store.list("customers/").await?;
        Ok(objects.into_iter().map(|object| object.key).filter(is_set_description).collect())
    }

    async fn look_at_unseen(&mut self) {
        while let Some(prefix) = self.unseen.last().cloned() {
            let looker = Arc::clone(&self.watched);
            let looked = tokio::task::spawn_blocking(move || looker.look(&prefix)).await;
            let prefix = self.unseen.pop().unwrap_or_default();
            match looked.map_err(io::Error::other).flatten() {
                Ok(keys) => self.found.extend(keys),
                // The sweep finds what is missed here: it compares what should be with what is.
                Err(error) => tracing::warn!(%error, prefix, "a folder of the store cannot be watched"),
            }
        }
    }

    async fn read_events(&mut self) -> io::Result<()> {
        let mut ready = self.events.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); EVENT_BUFFER_BYTES];
        let mut reader = Reader::new(ready.get_inner(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
                    let noticed = self.watched.notice(event.wd(), event.events(), name);
                    match noticed {
                        Noticed::Nothing => {}
                        Noticed::Description(key) => self.found.push_back(key),
                        Noticed::Unseen(prefix) => self.unseen.push(prefix),
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe for the sake of types that lose their descriptor; an OwnedFd keeps it"
)]
fn begin(root: &Path) -> io::Result<(Arc<Watched>, AsyncFd<Arc<OwnedFd>>)> {
    let notifier = Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
    let events = AsyncFd::new(Arc::clone(&notifier))?;
    let watched = Watched { root: root.to_owned(), notifier, prefixes: Mutex::default() };
    Ok((Arc::new(watched), events))
}

/// What one event says.
enum Noticed {
    Nothing,
    Description(ObjectKey),
    Unseen(String),
}

impl Watched {
    fn notice(&self, number: i32, events: ReadFlags, name: &str) -> Noticed {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Noticed::Unseen(String::new());
        }
        if events.contains(ReadFlags::IGNORED) {
            self.prefixes().remove(&number);
            return Noticed::Nothing;
        }
        let Some(prefix) = self.prefixes().get(&number).cloned() else { return Noticed::Nothing };
        if events.contains(ReadFlags::ISDIR) {
            let inner = format!("{prefix}{name}/");
            return if may_hold_descriptions(&inner) { Noticed::Unseen(inner) } else { Noticed::Nothing };
        }
        match description_key(&prefix, name) {
            Some(key) => {
                self.leave(number);
                Noticed::Description(key)
            }
            None => Noticed::Nothing,
        }
    }

    /// Watches a folder and those in it; the set descriptions that are there.
    fn look(&self, prefix: &str) -> io::Result<Vec<ObjectKey>> {
        let mut keys = Vec::new();
        let mut prefixes = vec![prefix.to_owned()];
        while let Some(prefix) = prefixes.pop() {
            // First watched, then read: what comes in between is seen twice, not never.
            let Some(number) = self.watch(&prefix)? else { continue };
            for (name, is_folder) in entries(&self.root.join(&prefix))? {
                let inner = format!("{prefix}{name}/");
                if is_folder && may_hold_descriptions(&inner) {
                    prefixes.push(inner);
                } else if let Some(key) = description_key(&prefix, &name).filter(|_| !is_folder) {
                    self.leave(number);
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    /// The number of a folder that is watched from now on, unless it is gone again.
    fn watch(&self, prefix: &str) -> io::Result<Option<i32>> {
        let wanted =
            WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        // The root may be reached through a link; nothing in it may.
        let wanted = if prefix.is_empty() { wanted.difference(WatchFlags::DONT_FOLLOW) } else { wanted };
        let path = self.root.join(prefix.trim_end_matches('/'));
        let mut prefixes = self.prefixes();
        match inotify::add_watch(&self.notifier, path, wanted) {
            Ok(number) => {
                prefixes.insert(number, prefix.to_owned());
                Ok(Some(number))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::NOSPC) => Err(io::Error::other(
                "this machine allows no further watches; fs.inotify.max_user_watches raises their number",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// A set's folder is of no interest once its description is there: watches are few.
    fn leave(&self, number: i32) {
        self.prefixes().remove(&number);
        // It fails when the folder is gone already, and with it the watch.
        let _ = inotify::remove_watch(&self.notifier, number);
    }

    fn prefixes(&self) -> std::sync::MutexGuard<'_, HashMap<i32, String>> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in a folder, and whether each is a folder; none when the folder is gone.
fn entries(path: &Path) -> io::Result<Vec<(String, bool)>> {
    let listing = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut entries = Vec::new();
    for entry in listing {
        let entry = entry?;
        if let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) {
            entries.push((name, kind.is_dir()));
        }
    }
    Ok(entries)
}

/// Whether a set description can have a key with this prefix.
fn may_hold_descriptions(prefix: &str) -> bool {
    let segments: Vec<&str> = prefix.split_terminator('/').collect();
    let fixed = segments.iter().step_by(2);
    segments.len() <= 2 * FIXED_SEGMENTS.len()
        && fixed.zip(FIXED_SEGMENTS).all(|(found, word)| *found == word)
}

fn description_key(prefix: &str, name: &str) -> Option<ObjectKey> {
    if name != DESCRIPTION_NAME {
        return None;
    }
    ObjectKey::parse(&format!("{prefix}{name}")).ok().filter(is_set_description)
}

fn is_set_description(key: &ObjectKey) -> bool {
    MachineKey::of_set_description(key).is_some()
}

#[cfg(test)]
mod tests;
