//! Content from hostile and from harmless archives, which are made on the spot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
#[path = "../fuzz/checks/archive.rs"]
mod checks;
mod damage;
mod delivered;
mod harmless;
mod properties;
mod seeds;
mod tar_bytes;
mod tools;
mod zip_bytes;

use std::io::Cursor;

use cloudfaster::docker::content::{Content, Entry, Error, Limits, archive};

/// Limits that an attack breaks soon.
const LIMITS: Limits =
    Limits { size: 40 << 20, file_size: 30 << 20, entries: 1000, depth: 16, path_length: 1024, ratio: 200 };

fn read(bytes: impl AsRef<[u8]>) -> Result<Content, Error> {
    archive::read(Cursor::new(bytes), LIMITS)
}

/// A tree as a list that can be compared and read.
fn listed(content: &Content) -> Vec<String> {
    let line = |(path, entry): (&str, &Entry)| match entry {
        Entry::Folder => format!("{path}/"),
        Entry::File { executable, .. } => {
            let bytes = content.read(path, 100).map_or_else(|error| error.to_string(), |bytes| text(&bytes));
            format!("{path}{} {bytes:?}", if *executable { "*" } else { "" })
        }
        Entry::Link { target } => format!("{path} -> {target}"),
    };
    content.entries().map(line).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
