//! A `Cache` that keeps each value as a file with the time until which it holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::fs;
use vip_adapters::vip_core::model::Timestamp;
use vip_adapters::vip_core::ports::{Cache, CacheError, CacheKey, Clock, Randomness, SystemRandomness};

/// Keeps values in a folder. It removes nothing by itself: a folder that the system empties is the place for it.
#[derive(Debug)]
pub(crate) struct FolderCache {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

/// Is what stands in a file. The key stands there, too: two keys may have one hash.
#[derive(Serialize, Deserialize)]
struct Entry {
    tenant: Option<String>,
    name: String,
    until: Timestamp,
    value: Vec<u8>,
}

impl FolderCache {
    pub(crate) fn new(folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { folder, clock }
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.folder.join(format!("{:016x}", hasher.finish()))
    }
}

#[async_trait::async_trait]
impl Cache for FolderCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Vec<u8>>, CacheError> {
        let bytes = match fs::read(self.path(key)).await {
            Ok(bytes) => bytes,
            // Only this one is a miss. Any other failure is the caller's to see.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CacheError::new(error)),
        };
        let entry: Entry = serde_json::from_slice(&bytes).map_err(CacheError::new)?;
        let is_asked_for = entry.tenant.as_deref() == key.tenant().map(|tenant| tenant.as_str());
        let is_fresh = entry.until > self.clock.now();
        Ok((is_asked_for && entry.name == key.name() && is_fresh).then_some(entry.value))
    }

    async fn put(&self, key: &CacheKey, value: &[u8], time_to_live: Duration) -> Result<(), CacheError> {
        let tenant = key.tenant().map(ToString::to_string);
        let until = self.clock.now().plus(time_to_live);
        let entry = Entry { tenant, name: key.name().to_owned(), until, value: value.to_vec() };
        let bytes = serde_json::to_vec(&entry).map_err(CacheError::new)?;
        fs::create_dir_all(&self.folder).await.map_err(CacheError::new)?;
        let path = self.path(key);
        // Of its own: somebody else may put the same key now.
        let aside = path.with_extension(format!("{:016x}.tmp", SystemRandomness.next_u64()));
        fs::write(&aside, bytes).await.map_err(CacheError::new)?;
        fs::rename(aside, path).await.map_err(CacheError::new)
    }

    async fn invalidate(&self, key: &CacheKey) -> Result<(), CacheError> {
        match fs::remove_file(self.path(key)).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CacheError::new(error)),
        }
    }
}
