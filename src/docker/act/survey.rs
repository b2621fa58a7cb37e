//! Looks what users wrote into a volume beside what was delivered: a delivered file has the time that follows from what is in it.

use std::io::{BufRead, BufReader, Read};

use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{Work, deliver::TARGET};
use crate::docker::{
    content::Content,
    engine::{Error, Result},
    identity,
};

/// So many of the files are named.
const NAMED: usize = 5;
/// So much of a name is shown, in characters.
const SHOWN: usize = 80;

impl Work {
    /// What was written there, in words; nothing, if nothing was. What was removed is not noticed.
    pub(super) async fn survey(&self, volume: &str) -> Result<Option<String>> {
        let container = self.carrier(&identity::survey_name(volume), volume).await?;
        let archive = self.engine.download_stream(&container, &format!("{TARGET}/."));
        let reader = SyncIoBridge::new(StreamReader::new(Box::pin(archive.map_err(std::io::Error::other))));
        let surveyed = spawn_blocking(move || survey(reader)).await;
        let surveyed =
            surveyed.map_err(|error| Error::Invalid(format!("the volume could not be looked at: {error}")))?;
        self.dismiss(&container).await;
        let written = surveyed.map_err(|error| Error::Invalid(format!("the volume could not be read: {error}")))?;
        Ok(written.told())
    }
}

/// Files that were written by others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written {
    count: u64,
    named: Vec<String>,
}

impl Written {
    fn told(&self) -> Option<String> {
        let Self { count, named } = self;
        let (files, were) = if *count == 1 { ("file", "was") } else { ("files", "were") };
        let such = if usize::try_from(*count).is_ok_and(|count| count > named.len()) { ", such as" } else { ":" };
        (*count > 0).then(|| {
            format!("{count} {files} in it {were} written by the service or its users{such} {}", named.join(", "))
        })
    }
}

fn survey(archive: impl Read) -> std::io::Result<Written> {
    let mut archive = tar::Archive::new(archive);
    let mut written = Written::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mtime = entry.header().mtime()?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if mtime == Content::time_of(&digest(&mut entry)?) {
            continue;
        }
        written.count += 1;
        if written.named.len() < NAMED {
            let path = path.trim_start_matches("./");
            written.named.push(path.escape_debug().take(SHOWN).collect());
        }
    }
    Ok(written)
}

fn digest(file: impl Read) -> std::io::Result<[u8; 32]> {
    let (mut file, mut hash) = (BufReader::new(file), Sha256::new());
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(hash.finalize().into());
        }
        hash.update(piece);
        let length = piece.len();
        file.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::content::{Builder, Limits};

    #[test]
    fn what_was_written_is_told_from_what_was_delivered() {
        let mut builder = Builder::new(Limits::default()).unwrap();
        for path in ["a.txt", "site/b.txt"] {
            builder.file(path.as_bytes(), false, path.as_bytes()).unwrap();
        }
        let mut delivered = Vec::new();
        builder.finish().unwrap().write_tar(&[], &mut delivered).unwrap();
        assert_eq!(survey(delivered.as_slice()).unwrap(), Written::default());

        let mut archive = tar::Builder::new(Vec::new());
        for (path, content, mtime) in [
            ("./a.txt", "a.txt", Content::time_of(&Sha256::digest("a.txt").into())),
            ("./b.txt", "edited", Content::time_of(&Sha256::digest("b.txt").into())),
            ("./new\n.txt", "new", 1_700_000_000),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(mtime);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        let written = survey(archive.into_inner().unwrap().as_slice()).unwrap();
        assert_eq!(
            written.told().unwrap(),
            r"2 files in it were written by the service or its users: b.txt, new\n.txt"
        );
    }
}
