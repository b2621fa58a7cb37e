use std::{
    collections::BTreeSet,
    io::{Read, Write},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::docker::content::Limits;

fn zip(text: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("index.html", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}

async fn received(bytes: &[u8], most: u64) -> Result<Archive, Error> {
    let mut incoming = Incoming::begin(most)?;
    for piece in bytes.chunks(7) {
        incoming.write(piece).await?;
    }
    incoming.finish(Limits::default()).await
}

async fn kept(store: &Store, namespace: &str, bytes: &[u8]) -> Artifact {
    store.put(namespace, received(bytes, 1 << 20).await.unwrap()).await.unwrap()
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("file://{}/not/there/yet", folder.path().display())).unwrap();
    (folder, store)
}

fn age(store: &Store, path: &str) {
    let file = store.folder.as_ref().unwrap().join(path);
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(file).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
}

#[tokio::test]
async fn an_archive_is_had_back_by_whoever_put_it_there() {
    let (_folder, store) = store();
    let bytes = zip("hello");
    let artifact = kept(&store, "ana", &bytes).await;
    assert_eq!(artifact.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(kept(&store, "ana", &bytes).await, artifact, "a second time");
    let mut read = Vec::new();
    store.get(&artifact, 1 << 20).await.unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);
    let others = Artifact { namespace: "eva".to_owned(), ..artifact.clone() };
    assert!(matches!(store.get(&others, 1 << 20).await, Err(Error::Missing(_))));
    assert!(matches!(store.get(&artifact, 10).await, Err(Error::TooLarge { most: 10 })));
    let escaping = Artifact { namespace: "../ana".to_owned(), ..artifact.clone() };
    assert!(matches!(store.get(&escaping, 1 << 20).await, Err(Error::Missing(_))));
    let path = store.folder.as_ref().unwrap().join("ana").join(&artifact.sha256);
    std::fs::write(path, "something else").unwrap();
    assert!(matches!(store.get(&artifact, 1 << 20).await, Err(Error::Altered(_))));
}

#[tokio::test]
async fn what_is_no_archive_or_too_large_is_not_taken() {
    assert!(matches!(received(b"hello", 100).await, Err(Error::Archive(_))));
    let bytes = zip("hello");
    assert!(matches!(received(&bytes[..bytes.len() - 4], 1 << 20).await, Err(Error::Archive(_))));
    let size = bytes.len() as u64;
    assert!(received(&bytes, size).await.is_ok());
    assert!(matches!(received(&bytes, size - 1).await, Err(Error::TooLarge { .. })));
}

#[tokio::test]
async fn what_nobody_names_goes_after_a_while() {
    let (_folder, store) = store();
    let mut all = Vec::new();
    for (namespace, text) in [("ana", "used"), ("ana", "unused"), ("eva", "used"), ("eva", "young")] {
        all.push(kept(&store, namespace, &zip(text)).await);
    }
    for artifact in &all[..3] {
        age(&store, &format!("{}/{}", artifact.namespace, artifact.sha256));
    }
    // An upload that ended with its process.
    let broken_off = format!("ana/{}#1", all[0].sha256);
    age(&store, &broken_off);
    let hour = Duration::from_secs(3600);
    let unknown = store.sweep(hour, async || Err::<_, Error>(Error::Missing("anything".to_owned()))).await;
    assert!(unknown.is_err());
    let used = BTreeSet::from([all[0].clone()]);
    let mut removed = store.sweep::<Error>(hour, async || Ok(used)).await.unwrap();
    removed.sort();
    let mut expected = all[1..3].to_vec();
    expected.sort();
    assert_eq!(removed, expected, "another namespace's does not count");
    assert!(store.get(&all[0], 1 << 20).await.is_ok() && store.get(&all[3], 1 << 20).await.is_ok());
    assert!(!store.folder.as_ref().unwrap().join(broken_off).exists());
}

#[test]
fn a_bucket_has_its_archives_below_the_prefix() {
    // Another test may have named one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = Store::open("s3://bucket/cloudfaster/uploads").unwrap();
    let artifact = Artifact { namespace: "ana".to_owned(), sha256: "ab".to_owned() };
    assert_eq!(store.location(&artifact).as_ref(), "cloudfaster/uploads/ana/ab");
    assert!(store.folder.is_none());
}

#[test]
fn a_url_that_names_no_store_is_refused_with_the_remedy() {
    for (url, complaint) in [
        ("/var/lib/artifacts", "relative URL"),
        ("ftp://example.com/", "ftp is no kind of store"),
        ("file://elsewhere/folder", "no folder of this machine"),
        ("file:///proc/nothing", "/proc/nothing"),
    ] {
        let told = Store::open(url).unwrap_err().to_string();
        assert!(told.contains(complaint) && told.contains("write file:///FOLDER or s3://BUCKET"), "{told}");
    }
}
