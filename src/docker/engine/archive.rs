//! Files on their way into containers and out of them.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bollard::{
    body_try_stream,
    query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions},
};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Call, Engine, Error, Result, segment};

/// In how large pieces an archive is sent.
const PIECE: usize = 64 << 10;
/// How many pieces that were received wait at most.
const WAITING: usize = 8;

/// What is to be at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Folder {
        mode: u32,
        user: u64,
        group: u64,
    },
    File {
        mode: u32,
        user: u64,
        group: u64,
        content: Bytes,
    },
    /// A symbolic link.
    Link {
        target: String,
    },
}

/// A tree of files. The same tree is always the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive(BTreeMap<String, Node>);

impl Archive {
    /// Puts something at a path, which is relative and has no `..`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another path.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<()> {
        let proper = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !path.split('/').all(proper) {
            return Err(Error::Invalid(format!("{path:?} is no path inside an archive")));
        }
        self.0.insert(path.to_owned(), node);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As tar; times are 0.
    ///
    /// # Errors
    /// [`Error::Invalid`] when something does not fit into an archive.
    pub fn to_tar(&self) -> Result<Bytes> {
        let unfit = |error: std::io::Error| Error::Invalid(format!("the files do not fit into an archive: {error}"));
        let mut tar = tar::Builder::new(Vec::new());
        for (path, node) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            match node {
                Node::Folder { mode, user, group } => {
                    describe(&mut header, tar::EntryType::Directory, *mode, *user, *group);
                    tar.append_data(&mut header, format!("{path}/"), std::io::empty()).map_err(unfit)?;
                }
                Node::File { mode, user, group, content } => {
                    describe(&mut header, tar::EntryType::Regular, *mode, *user, *group);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, content.as_ref()).map_err(unfit)?;
                }
                Node::Link { target } => {
                    describe(&mut header, tar::EntryType::Symlink, 0o777, 0, 0);
                    tar.append_link(&mut header, path, target).map_err(unfit)?;
                }
            }
        }
        tar.into_inner().map(Bytes::from).map_err(unfit)
    }
}

fn describe(header: &mut tar::Header, kind: tar::EntryType, mode: u32, user: u64, group: u64) {
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(user);
    header.set_gid(group);
    header.set_size(0);
}

impl Engine {
    /// Unpacks an archive (tar) in a folder of a container, which has to exist. In a container that was not started
    /// yet, the folder may be in a volume. Owners and modes are those of the archive.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload(&self, id: &str, folder: &str, archive: Bytes) -> Result<()> {
        self.upload_stream(id, folder, Pieces(archive), Arc::default()).await
    }

    /// The same of an archive that comes in pieces, whose bytes are counted as they leave. Nothing says how much of an archive
    /// that ended in an error was unpacked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload_stream(
        &self,
        id: &str,
        folder: &str,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        sent: Arc<AtomicU64>,
    ) -> Result<()> {
        let request = Call::Upload.of(id);
        let options = UploadToContainerOptions {
            path: folder.to_owned(),
            no_overwrite_dir_non_dir: Some("1".to_owned()),
            copy_uidgid: None,
        };
        let counted = sent.clone();
        let body = body_try_stream(archive.inspect_ok(move |piece| {
            counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }));
        let answer = self.docker.upload_to_container(segment(&request)?, Some(options), body);
        let limit = self.limits.transfer;
        tokio::select! {
            answer = answer => answer.map_err(|error| Error::from_library(&self.endpoint, request, error)),
            () = standstill(&sent, limit) => Err(Error::Timeout { request, after: limit }),
        }
    }

    /// A file or folder of a container as tar, of at most so many bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn download(&self, id: &str, path: &str, most: usize) -> Result<Bytes> {
        let request = Call::Download.of(id);
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let mut stream = Box::pin(self.docker.download_from_container(segment(&request)?, Some(options)));
        let mut archive = Vec::new();
        while let Some(piece) = self.next(&request, self.limits.transfer, &mut stream).await? {
            if archive.len().saturating_add(piece.len()) > most {
                return Err(Error::Invalid(format!("{path} is larger than {most} bytes")));
            }
            archive.extend_from_slice(&piece);
        }
        Ok(archive.into())
    }
}

impl Engine {
    /// A file or folder of a container as tar, piece by piece.
    pub fn download_stream(&self, id: &str, path: &str) -> ReceiverStream<Result<Bytes>> {
        let (engine, request) = (self.clone(), Call::Download.of(id));
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let (pieces, received) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let container = match segment(&request) {
                Ok(container) => container,
                Err(error) => return drop(pieces.send(Err(error)).await),
            };
            let mut stream = Box::pin(engine.docker.download_from_container(container, Some(options)));
            while let Some(piece) = engine.next(&request, engine.limits.transfer, &mut stream).await.transpose() {
                let ended = piece.is_err();
                if pieces.send(piece).await.is_err() || ended {
                    return;
                }
            }
        });
        ReceiverStream::new(received)
    }
}

/// The bytes of an archive.
struct Pieces(Bytes);

impl Stream for Pieces {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(PIECE);
        Poll::Ready(Some(Ok(self.0.split_to(length))))
    }
}

/// Ends when nothing more was sent for so long.
async fn standstill(sent: &AtomicU64, limit: Duration) {
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        sleep_until(Instant::now() + limit).await;
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Node {
        Node::File { mode: 0o440, user: 1000, group: 50, content: Bytes::copy_from_slice(content.as_bytes()) }
    }

    #[test]
    fn the_same_tree_is_the_same_bytes_in_whatever_order_it_was_made() {
        let long = "a".repeat(180);
        let parts = [
            ("etc", Node::Folder { mode: 0o755, user: 0, group: 0 }),
            ("etc/app.conf", file("port = 80\n")),
            ("etc/link", Node::Link { target: "app.conf".into() }),
            (long.as_str(), file("")),
        ];
        let mut one = Archive::default();
        let mut other = Archive::default();
        for (path, node) in &parts {
            one.insert(path, node.clone()).unwrap();
        }
        for (path, node) in parts.iter().rev() {
            other.insert(path, node.clone()).unwrap();
        }
        let bytes = one.to_tar().unwrap();
        assert_eq!(bytes, other.to_tar().unwrap());
        let mut read = tar::Archive::new(bytes.as_ref());
        let found: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap())
            })
            .collect();
        assert_eq!(
            found,
            [
                (long.clone(), 0o440, 1000, 50, 0),
                ("etc/".into(), 0o755, 0, 0, 0),
                ("etc/app.conf".into(), 0o440, 1000, 50, 0),
                ("etc/link".into(), 0o777, 0, 0, 0),
            ]
        );
    }

    #[test]
    fn no_path_leads_out_of_an_archive() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "."] {
            assert!(Archive::default().insert(path, file("x")).is_err(), "{path}");
        }
    }
}
