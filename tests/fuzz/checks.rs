//! What has to hold whatever the bytes are. Called by the fuzz targets, and by the tests with archives that were changed a little.

use std::io::Cursor;

use cloudfaster::docker::content::{Content, Entry, Limits, archive as archives};

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
