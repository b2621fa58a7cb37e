//! What has to hold of the reading of archives, whatever the bytes are. Called by the fuzz targets, and by the tests of
//! content with archives that were changed a little.

use std::io::Cursor;

use cloudfaster::docker::content::{Content, Entry, Limits, archive as archives};

use crate::{
    tar_bytes::{self, Head, entry, long, pax},
    zip_bytes::{Between, End, Item, deflated, descriptor, item, large_end, zip_with},
};

const LIMITS: Limits =
    Limits { size: 4 << 20, file_size: 3 << 20, entries: 200, depth: 8, path_length: 200, ratio: 50 };

/// An archive of any kind.
pub fn archive(bytes: &[u8]) {
    let Ok(content) = archives::read(Cursor::new(bytes), LIMITS) else { return };
    hold(&content);
    let mut packed = Vec::new();
    content.write_tar(&[], &mut packed).expect("content can be packed");
    let again = archives::read(Cursor::new(packed), LIMITS).expect("what is packed can be read");
    assert_eq!(again.digest(), content.digest());
}

/// A tar archive whose headers get right checksums first, which no mutation would find.
pub fn tar(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        let looks_like_header = block[257..].starts_with(b"ustar") || block[..100].contains(&0);
        if looks_like_header && block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    archive(&bytes);
}

/// A ZIP archive that is made of what the bytes say: entries first, then places in the archive and what is put there. So
/// headers, directory and checksums fit each other, but for a few.
pub fn zip(bytes: &[u8]) {
    let mut source = Source(bytes);
    let mut items = Vec::new();
    for _ in 0..source.byte() % 8 {
        let (how, name) = (source.byte(), source.bytes());
        let (content, mode) = (source.bytes(), [0, 0o100_644, 0o100_755, 0o120_777, 0o040_755, 0o010_644]);
        let item = if how & 1 == 0 { item(name, content) } else { deflated(name, content) };
        let streamed = Item { flags: 8, ..item.clone() };
        let item = if how & 2 == 0 { item } else { Item { after: descriptor(&item, how & 4 == 0), ..streamed } };
        items.push(Item { mode: mode[usize::from(how >> 3) % mode.len()], ..item });
    }
    let before = (source.byte() & 1 == 1).then_some(large_end as Between);
    let made = zip_with(&items, End { before, comment: source.bytes().to_vec(), ..End::default() });
    archive(&source.patched(made));
}

/// A tar archive that is made in the same way.
pub fn tar_entries(bytes: &[u8]) {
    let mut source = Source(bytes);
    let mut entries = Vec::new();
    for _ in 0..source.byte() % 8 {
        let kinds = b"00001255LKxgS37V";
        let kind = kinds[usize::from(source.byte()) % kinds.len()];
        let (name, content) = (source.bytes(), source.bytes());
        let short = &name[..name.len().min(100)];
        entries.push(match kind {
            b'L' | b'K' => long(kind, name),
            b'x' | b'g' => pax(kind, &[(["path", "linkpath", "size", "x"][name.len() % 4], content)]),
            b'0' => entry(short, kind, content),
            _ => {
                let target = &content[..content.len().min(100)];
                Head { name: short, kind, target, ..Head::default() }.bytes()
            }
        });
    }
    tar(&source.patched(tar_bytes::tar(&entries)));
}

/// Bytes that say what is to be made. Once there are no more, they are zero.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// So many bytes as the first one says.
    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Changes bytes, each at a place that two bytes say.
    fn patched(mut self, mut made: Vec<u8>) -> Vec<u8> {
        while !self.0.is_empty() && !made.is_empty() {
            let at = usize::from(self.byte()) << 8 | usize::from(self.byte());
            let length = made.len();
            made[at % length] = self.byte();
        }
        made
    }
}

/// All that a tree of files promises.
fn hold(content: &Content) {
    let mut size = 0;
    let mut count = 0;
    for (path, entry) in content.entries() {
        count += 1;
        assert!(path.len() <= LIMITS.path_length, "{path}");
        assert!(path.split('/').count() <= LIMITS.depth as usize, "{path}");
        assert!(
            !path.split('/').any(|part| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git")),
            "{path}"
        );
        assert!(!path.contains(['\\', '\0']), "{path}");
        if let Some((parent, _)) = path.rsplit_once('/') {
            assert_eq!(content.get(parent), Some(&Entry::Folder), "{path}");
        }
        match entry {
            Entry::Folder => {}
            Entry::File { size: of_file, .. } => {
                size += of_file;
                assert!(*of_file <= LIMITS.file_size, "{path}");
                assert_eq!(content.read(path, LIMITS.file_size).expect("readable").len() as u64, *of_file, "{path}");
            }
            Entry::Link { target } => assert!(!target.starts_with('/') && !target.is_empty(), "{path} -> {target}"),
        }
    }
    assert_eq!(size, content.size());
    assert!(size <= LIMITS.size && count <= LIMITS.entries);
}
