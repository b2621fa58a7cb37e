//! Removing what nobody names any more.

use std::{
    collections::BTreeSet,
    io,
    path::{Path as Folder, PathBuf},
    time::{Duration, SystemTime},
};

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use tokio::task::spawn_blocking;

use super::{Artifact, Error, Store};

impl Store {
    /// Removes what is older than that and not in use; which was. What is in use is asked for after it was seen what is
    /// there: an archive is in the store before a service names it.
    ///
    /// # Errors
    /// [`Error::Store`], or why it is not known what is in use. Nothing is removed then.
    pub async fn sweep<E: From<Error>>(
        &self,
        age: Duration,
        in_use: impl AsyncFnOnce() -> Result<BTreeSet<Artifact>, E>,
    ) -> Result<Vec<Artifact>, E> {
        let before = Timestamp::now().as_second().saturating_sub_unsigned(age.as_secs());
        let is_old = |seen: &ObjectMeta| seen.last_modified.timestamp() < before;
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let all: Vec<ObjectMeta> = self.objects.list(prefix).try_collect().await.map_err(Error::Store)?;
        let old: Vec<Artifact> =
            all.iter().filter(|seen| is_old(seen)).filter_map(|seen| self.named(&seen.location)).collect();
        let mut removed = Vec::new();
        if !old.is_empty() {
            let in_use = in_use().await?;
            for artifact in old.into_iter().filter(|artifact| !in_use.contains(artifact)) {
                let location = self.location(&artifact);
                // It may have been uploaded again since.
                match self.objects.head(&location).await {
                    Ok(seen) if is_old(&seen) => {}
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => continue,
                    Err(error) => return Err(Error::Store(error).into()),
                }
                self.objects.delete(&location).await.map_err(Error::Store)?;
                removed.push(artifact);
            }
        }
        if let Some(folder) = self.folder.clone() {
            let swept = spawn_blocking(move || sweep_broken_off(&folder, age)).await;
            swept.map_err(io::Error::other).flatten().map_err(Error::Spool)?;
        }
        Ok(removed)
    }

    /// The archive of a location; nothing of ours has another form.
    fn named(&self, location: &Path) -> Option<Artifact> {
        let parts: Vec<_> = location.prefix_match(&self.prefix)?.collect();
        let [namespace, sha256] = parts.as_slice() else { return None };
        let is_hash = sha256.as_ref().len() == 64 && sha256.as_ref().bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Artifact { namespace: namespace.as_ref().to_owned(), sha256: sha256.as_ref().to_owned() })
    }
}

/// Removes what uploads left in a folder that ended with their process; the store itself does not show it.
fn sweep_broken_off(folder: &Folder, age: Duration) -> io::Result<()> {
    for namespace in files(folder)? {
        if !namespace.is_dir() {
            continue;
        }
        for file in files(&namespace)? {
            let is_part = file.file_name().is_some_and(|name| name.to_string_lossy().contains('#'));
            if is_part && modified(&file).is_some_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age)) {
                std::fs::remove_file(&file)?;
            }
        }
    }
    Ok(())
}

fn files(folder: &Folder) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        // It was removed with its last archive.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn modified(file: &Folder) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|data| data.modified()).ok()
}
