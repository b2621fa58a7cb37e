//! Archives that are cut off or changed on their way.

use cloudfaster::docker::content::{Content, Entry};

use crate::{
    read,
    tar_bytes::{entry, gzip, link, long, pax, tar},
    zip_bytes::{End, Item, deflated, descriptor, item, large_end, zip, zip_with},
};

fn zipped() -> Vec<Item> {
    let streamed = Item { flags: 8, system: 0, ..deflated(b"d/streamed", b"some content, some content") };
    let streamed = Item { after: descriptor(&streamed, true), ..streamed };
    vec![Item { system: 0, ..item(b"stored", b"plain") }, Item { system: 0, ..item(b"e/", b"") }, streamed]
}

fn tarred() -> Vec<u8> {
    let long_name = [b'n'; 120];
    tar(&[
        entry(b"a", b'0', b"some content"),
        link("l", "a"),
        long(b'L', &long_name),
        entry(b"n", b'0', b"x"),
        pax(b'x', &[("path", b"p")]),
        entry(b"n", b'0', b"y"),
    ])
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("zip", zip(&zipped())),
        ("zip64", zip_with(&zipped(), End { before: Some(large_end), comment: b"comment".to_vec(), ..End::default() })),
        ("tar", tarred()),
        ("tar.gz", gzip(&tarred())),
        ("empty zip", zip(&[])),
    ]
}

#[test]
fn no_beginning_of_an_archive_is_taken_for_the_whole() {
    for (name, bytes) in samples() {
        let whole = read(&bytes).unwrap();
        for length in 0..bytes.len() {
            match read(&bytes[..length]) {
                Ok(content) => assert_eq!(content.digest(), whole.digest(), "{name} of {length} bytes"),
                Err(error) => assert!(!error.is_passing(), "{name} of {length} bytes: {error}"),
            }
        }
    }
}

/// The files and their contents.
fn files(content: &Content) -> Vec<(&str, [u8; 32])> {
    let file = |(path, entry)| match entry {
        &Entry::File { digest, .. } => Some((path, digest)),
        Entry::Folder | Entry::Link { .. } => None,
    };
    content.entries().filter_map(file).collect()
}

#[test]
fn no_changed_bit_gives_other_files() {
    for (name, bytes) in samples().into_iter().filter(|(name, _)| *name != "tar") {
        let whole = read(&bytes).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                if let Ok(content) = read(&changed) {
                    assert_eq!(files(&content), files(&whole), "{name}: bit {bit} of byte {at}");
                }
            }
        }
    }
}
