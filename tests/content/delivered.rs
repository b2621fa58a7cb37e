//! What is done with content: it is read, cut, compared and sent.

use std::io::Write;

use cloudfaster::docker::content::{Builder, Content, Entry, Error, Limits};

use crate::{
    listed, read,
    tar_bytes::{self, Head, entry, file, folder, tar},
    zip_bytes::{item, zip},
};

#[test]
fn content_is_read_and_cut() {
    let content = read(tar(&[
        entry(b"site/a", b'0', b"same"),
        entry(b"site/b", b'0', b"same"),
        tar_bytes::link("site/l", "a"),
        tar_bytes::link("out/l", "../site/a"),
        file("site-2"),
    ]))
    .unwrap();
    assert_eq!(content.size(), 9);
    assert_eq!(content.read("site/b", 4).unwrap(), "same");
    assert!(matches!(content.read("site/b", 3), Err(Error::FileSize { most: 3, .. })));
    assert!(matches!(content.read("site/l", 9), Err(Error::Kind { found: "a link", .. })));
    assert!(matches!(content.read("site", 9), Err(Error::Kind { found: "a folder", .. })));
    assert!(matches!(content.read("nothing", 9), Err(Error::Missing { .. })));
    assert!(matches!(content.get("site/a"), Some(Entry::File { executable: false, size: 4, .. })));

    let site = content.subtree("site").unwrap();
    assert_eq!(listed(&site), ["a \"same\"", "b \"same\"", "l -> a"]);
    let alone = read(tar(&[entry(b"a", b'0', b"same"), entry(b"b", b'0', b"same"), tar_bytes::link("l", "a")]));
    assert_eq!((site.digest(), site.size()), (alone.unwrap().digest(), 8));
    assert_eq!(content.subtree(".").unwrap().digest(), content.digest());
    let error = content.subtree("out").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the link `l` to `../site/a` leads out of the tree: copy what it points to into the tree"
    );
    assert!(matches!(content.subtree("site/a"), Err(Error::Kind { found: "a file", .. })));
    assert!(matches!(content.subtree("site/"), Err(Error::Missing { .. })));
    assert!(matches!(content.subtree(".."), Err(Error::Missing { .. })));
}

#[test]
fn a_digest_tells_all_that_counts() {
    let digests: Vec<String> = [
        vec![],
        vec![file("a")],
        vec![file("b")],
        vec![entry(b"a", b'0', b"y")],
        vec![Head { mode: b"0000755\0", ..Head::default() }.bytes()],
        vec![Head::default().bytes()],
        vec![folder("a")],
        vec![tar_bytes::link("a", "b")],
        vec![tar_bytes::link("a", "c")],
        vec![file("a"), file("b")],
        vec![folder("a"), file("a/b")],
    ]
    .iter()
    .map(|entries| read(tar(entries)).unwrap().digest().to_owned())
    .collect();
    let different: std::collections::BTreeSet<&String> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
    assert!(digests.iter().all(|digest| digest.len() == 64));
    assert_eq!(read(zip(&[item(b"a/b", b"x")])).unwrap().digest(), digests[10]);
}

#[test]
fn what_is_sent_has_the_folders_that_are_asked_for() {
    let content = read(tar(&[file("public/a"), tar_bytes::link("public/l", "a")])).unwrap();
    let mut packed = Vec::new();
    content.write_tar(&["storage/app/cache", "public", "storage"], &mut packed).unwrap();
    let mut archive = ::tar::Archive::new(packed.as_slice());
    let told: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let path = entry.path().unwrap().display().to_string();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            // A file's time follows from what is in it.
            let is_file = header.entry_type().is_file();
            assert_eq!(header.mtime().unwrap() == Content::STAMP, !is_file, "{path}");
            format!("{path} {:o}", header.mode().unwrap())
        })
        .collect();
    let expected =
        ["public/ 755", "public/a 644", "public/l 777", "storage/ 755", "storage/app/ 755", "storage/app/cache/ 755"];
    assert_eq!(told, expected);
    for folder in ["", ".", "a/..", "/a", "a//b", "public/a", "public/a/b", "public/l"] {
        let error = content.write_tar(&[folder], std::io::sink()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{folder}");
    }
}

/// Takes so many bytes, and then fails a single time.
struct Broken(usize, Vec<u8>);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        if count == 0 {
            self.0 = usize::MAX;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.1.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn half_of_the_content_never_looks_like_all_of_it() {
    let content = read(tar(&[file("a"), file("b")])).unwrap();
    for most in 0..3072 {
        let mut out = Broken(most, Vec::new());
        assert!(content.write_tar(&[], &mut out).is_err(), "{most}");
        if let Ok(read) = read(&out.1) {
            assert_eq!(read.digest(), content.digest(), "{most}");
        }
    }
}

#[test]
fn a_builder_judges_what_comes_from_elsewhere_too() {
    let mut builder = Builder::new(Limits { size: 4, ..Limits::default() }).unwrap();
    builder.file(b"bin/run", true, b"abc".as_slice()).unwrap();
    builder.link(b"run", b"bin/run").unwrap();
    assert!(matches!(builder.file(b"b", false, b"de".as_slice()), Err(Error::Size { most: 4 })));
    let broken = std::io::Read::chain(b"d".as_slice(), Failing);
    let error = builder.file(b"c", false, broken).unwrap_err();
    assert!(error.is_passing(), "{error}");
    builder.file(b"d", false, b"e".as_slice()).unwrap();
    assert_eq!(listed(&builder.finish().unwrap()), ["bin/", "bin/run* \"abc\"", "d \"e\"", "run -> bin/run"]);
}

struct Failing;

impl std::io::Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}
