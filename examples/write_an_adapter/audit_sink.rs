//! An `AuditSink` that keeps each record as a file named by its number and hash, so that a repeat changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;
use vip_adapters::vip_core::model::{SealedRecord, TenantId};
use vip_adapters::vip_core::ports::{AuditSink, AuditSinkError, Randomness, SinkName, SystemRandomness};

/// Keeps audit records in a folder, one folder beneath it for each tenant.
#[derive(Debug)]
pub(crate) struct FolderSink {
    name: SinkName,
    folder: PathBuf,
}

impl FolderSink {
    pub(crate) fn new(name: SinkName, folder: PathBuf) -> Self {
        Self { name, folder }
    }
}

#[async_trait::async_trait]
impl AuditSink for FolderSink {
    fn name(&self) -> SinkName {
        self.name.clone()
    }

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        let folder = self.folder.join(tenant.as_str());
        open_folder(&self.folder, &folder).await.map_err(AuditSinkError::new)?;
        for record in batch {
            keep(&folder, record).await.map_err(AuditSinkError::new)?;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        Ok(())
    }
}

/// A new folder is there after a crash only if its parent has been on the disk since.
async fn open_folder(parent: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).await?;
    fs::File::open(parent).await?.sync_all().await
}

/// Writes aside and renames: after a crash a record is there whole, or not at all. What a crash, or a delivery that is dropped, leaves
/// aside is no record.
async fn keep(folder: &Path, record: &SealedRecord) -> io::Result<()> {
    // With leading zeros, so that the files sort as the numbers do. After a restore a number comes once more: it is the
    // hash that keeps the older record.
    let path = folder.join(format!("{:020}-{}.json", record.sequence, record.hash.as_str()));
    // Another worker may write the same record now: into a file that both write one would rename what the other has emptied.
    let aside = path.with_extension(format!("{:016x}.tmp", SystemRandomness.next_u64()));
    if let Err(error) = put(record, &aside, &path).await {
        // The next try has another name: on a full disk each would leave a file. Why this one failed is what has to be told.
        drop(fs::remove_file(&aside).await);
        return Err(error);
    }
    fs::File::open(folder).await?.sync_all().await
}

async fn put(record: &SealedRecord, aside: &Path, path: &Path) -> io::Result<()> {
    write(fs::File::create(aside).await?, &serde_json::to_vec(record)?).await?;
    fs::rename(aside, path).await
}

async fn write(mut file: fs::File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes).await?;
    // `write_all` hands the bytes over and does not wait for them. That the disk was full is said here, and not by `sync_all`.
    file.flush().await?;
    // `Ok` means kept, so the disk has to say so first.
    file.sync_all().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_fails_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        std::fs::write(&path, "").unwrap();
        // Opened to be read alone, it refuses the bytes where a full disk does: after `write_all` has taken them.
        let file = fs::File::open(&path).await.unwrap();
        write(file, b"{}").await.unwrap_err();
    }
}
