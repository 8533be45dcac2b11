//! A control bucket in memory that remembers every write, so that paused time passes while it is used.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectBody, ObjectDescription, ObjectStore, StoreError};
use tokio::io::AsyncReadExt as _;

/// What lies under a key.
#[derive(Debug, Clone)]
enum Object {
    Bytes(Bytes),
    /// An object of this length that nobody may read.
    Unreadable(u64),
}

impl Object {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Unreadable(size_bytes) => *size_bytes,
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<ObjectKey, Object>,
    /// Everything that was ever written under a key.
    writes: BTreeMap<ObjectKey, Vec<Bytes>>,
    /// Whoever writes waits for ever.
    takes_nothing: bool,
}

/// A bucket in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

impl MemoryStore {
    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> T {
        work(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts an object there at once.
    pub fn place(&self, key: &ObjectKey, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.with(|content| {
            content.writes.entry(key.clone()).or_default().push(bytes.clone());
            content.objects.insert(key.clone(), Object::Bytes(bytes));
        });
    }

    /// Puts an object there that is too long for anybody to read: whoever does has failed the test.
    pub fn place_unreadable(&self, key: &ObjectKey, size_bytes: u64) {
        self.with(|content| content.objects.insert(key.clone(), Object::Unreadable(size_bytes)));
    }

    /// From now on whoever writes an object dies before it is written, or not any more.
    pub fn take_nothing(&self, takes_nothing: bool) {
        self.with(|content| content.takes_nothing = takes_nothing);
    }

    /// Takes an object away at once.
    pub fn remove(&self, key: &ObjectKey) {
        self.with(|content| content.objects.remove(key));
    }

    /// Everything that was ever written under a key, in order.
    pub fn writes(&self, key: &ObjectKey) -> Vec<Bytes> {
        self.with(|content| content.writes.get(key).cloned().unwrap_or_default())
    }

    fn object(&self, key: &ObjectKey) -> Result<Object, StoreError> {
        let object = self.with(|content| content.objects.get(key).cloned());
        object.ok_or_else(|| StoreError::NotFound { key: key.clone() })
    }
}

async fn read(mut body: ObjectBody) -> Bytes {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).await.unwrap();
    bytes.into()
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put_new(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError> {
        if self.object(key).is_ok() {
            return Err(StoreError::AlreadyExists { key: key.clone() });
        }
        self.put(key, body).await
    }

    async fn put(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError> {
        let bytes = read(body).await;
        if self.with(|content| content.takes_nothing) {
            std::future::pending::<()>().await;
        }
        let size_bytes = bytes.len() as u64;
        self.place(key, bytes);
        Ok(ObjectDescription { key: key.clone(), size_bytes })
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectDescription, StoreError> {
        let size_bytes = self.object(key)?.size_bytes();
        Ok(ObjectDescription { key: key.clone(), size_bytes })
    }

    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let object = self.object(key)?;
        let found_bytes = object.size_bytes();
        if found_bytes > limit_bytes {
            return Err(StoreError::TooLarge { key: key.clone(), found_bytes, limit_bytes });
        }
        match object {
            Object::Bytes(bytes) => Ok(bytes),
            Object::Unreadable(_) => panic!("{key} was read although it is too long"),
        }
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        match self.object(key)? {
            Object::Unreadable(_) => panic!("a part of {key} was read although it is too long"),
            Object::Bytes(bytes) if range.end <= bytes.len() as u64 => {
                Ok(bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()))
            }
            Object::Bytes(_) => Err(StoreError::ShortObject { key: key.clone(), end: range.end }),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError> {
        Ok(self.with(|content| {
            let objects = content.objects.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
            objects
                .map(|(key, object)| ObjectDescription { key: key.clone(), size_bytes: object.size_bytes() })
                .collect()
        }))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.remove(key);
        Ok(())
    }
}
