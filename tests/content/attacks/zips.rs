//! ZIP archives that lie, hold what is no file, or are damaged; and files that are no archives.

use super::{Attack, named};
use crate::zip_bytes::{self, End, Item, deflated, descriptor, extra, item, large_end, zip, zip_with};

pub(super) fn attacks() -> Vec<Attack> {
    let a = || item(b"a", b"content");
    let one = |item: Item| zip(&[item]);
    let streamed = |after: fn(&Item) -> Vec<u8>| {
        let item = Item { flags: 8, local_sizes: Some((0, 0)), local_sum: Some(0), ..deflated(b"a", b"content") };
        Item { after: after(&item), ..item }
    };
    let mode = |mode: u32| one(Item { mode, ..a() });
    let large = |sizes: [u64; 2], more: &[u8]| {
        let field = extra(1, &[&sizes.map(u64::to_le_bytes).concat(), more].concat());
        Item { sizes: (u32::MAX, u32::MAX), local_sizes: Some((7, 7)), extra: field, ..a() }
    };
    let overlapping = || {
        let kernel = deflated(b"b", &vec![0; 1 << 20]);
        // The first entry's content is the second one, header and all.
        let inner = zip(std::slice::from_ref(&kernel));
        let inner = &inner[..30 + 1 + kernel.packed.len()];
        let first = item(b"a", inner);
        with_directory_only(first, Item { offset: Some(31), ..kernel })
    };
    let shared = zip(&[a(), Item { offset: Some(0), ..a() }]);
    let trailing = [one(a()), b"x".to_vec()].concat();
    let leading = [b"PK\x03\x04".to_vec(), one(a())].concat();
    let two_ends = zip_with(&[a()], End { comment: zip(&[item(b"b", b"")]), ..End::default() });
    named(vec![
        ("zip: encrypted", one(Item { flags: 1, ..a() }), "`a` is encrypted"),
        ("zip: strongly encrypted", one(Item { flags: 1 << 6, ..a() }), "`a` is encrypted"),
        ("zip: AES", one(Item { method: 99, ..a() }), "`a` is encrypted"),
        ("zip: encrypted directory", one(Item { flags: 1 << 13, ..a() }), "`a` is encrypted"),
        ("zip: encrypted in one header", one(Item { local_flags: Some(1), ..a() }), "differ in the flags"),
        ("zip: a patch", one(Item { flags: 1 << 5, ..a() }), "`a` is a patch"),
        ("zip: bzip2", one(Item { method: 12, ..a() }), "packed with bzip2"),
        ("zip: LZMA", one(Item { method: 14, ..a() }), "packed with LZMA"),
        ("zip: zstd", one(Item { method: 93, ..a() }), "packed with zstd"),
        ("zip: xz", one(Item { method: 95, ..a() }), "packed with xz"),
        ("zip: Deflate64", one(Item { method: 9, ..a() }), "packed with Deflate64"),
        ("zip: unknown method", one(Item { method: 77, ..a() }), "a method that is not known"),
        ("zip: two methods", one(Item { local_method: Some(8), ..a() }), "differ in the method"),
        ("zip: device", mode(0o020_644), "`a` is a device"),
        ("zip: block device", mode(0o060_644), "`a` is a device"),
        ("zip: fifo", mode(0o010_644), "`a` is a named pipe"),
        ("zip: socket", mode(0o140_644), "`a` is a socket"),
        ("zip: unknown kind", mode(0o150_644), "a kind that is not known"),
        ("zip: a folder that is a file", mode(0o040_755), "a folder by its mode"),
        (
            "zip: a link that is a folder",
            one(Item { name: b"a/".to_vec(), mode: zip_bytes::LINK, ..a() }),
            "a link by its mode",
        ),
        ("zip: a folder with content", one(item(b"a/", b"x")), "has content all the same"),
        ("zip: a link that is not UTF-8", one(Item { mode: zip_bytes::LINK, ..item(b"a", b"\xff") }), "is not UTF-8"),
        ("zip: another name", one(Item { local_name: Some(b"b".to_vec()), ..a() }), "differ in the name"),
        ("zip: a longer name", one(Item { local_name: Some(b"../a".to_vec()), ..a() }), "differ in the name"),
        ("zip: a second name", one(Item { extra: extra(0x7075, b"\x01\0\0\0\0../b"), ..a() }), "a second name, `../b`"),
        (
            "zip: a second local name",
            one(Item { local_extra: extra(0x7075, b"\x01\0\0\0\0b"), ..a() }),
            "a second name, `b`",
        ),
        ("zip: wrong checksum", one(Item { sum: 7, ..a() }), "has not the checksum"),
        ("zip: two checksums", one(Item { local_sum: Some(7), ..a() }), "differ in the checksum"),
        ("zip: size too small", one(Item { sizes: (13, 3), ..deflated(b"a", b"contentcontent") }), "damaged"),
        ("zip: says less than it unpacks", one(with_size(3)), "is larger than the directory says"),
        ("zip: says more than it unpacks", one(with_size(70)), "has not the size"),
        ("zip: says terabytes", one(with_size(u32::MAX - 1)), "has not the size"),
        ("zip: stored with two sizes", one(Item { sizes: (7, 8), ..a() }), "has two sizes all the same"),
        ("zip: stored and too large", one(Item { sizes: (70, 70), ..a() }), "share bytes"),
        (
            "zip: stored and too small",
            one(Item { sizes: (6, 6), sum: zip_bytes::sum(b"conten"), ..a() }),
            "belongs to no entry",
        ),
        ("zip: local sizes", one(Item { local_sizes: Some((6, 6)), ..a() }), "differ in the size"),
        ("zip: something within", one(padded()), "followed by something within its own bytes"),
        ("zip: no end of the stream", one(endless()), "ends too early"),
        ("zip: no stream at all", one(Item { method: 8, ..item(b"a", &[0xff; 20]) }), "damaged"),
        ("zip: shared bytes", shared, "share bytes"),
        ("zip: overlapping as in Fifield's bomb", overlapping(), "share bytes"),
        ("zip: a file twice", zip(&[a(), a()]), "`a` is there twice"),
        ("zip: an offset beyond", one(Item { offset: Some(9), ..a() }), "before its first entry"),
        ("zip: an offset far beyond", one(Item { offset: Some(u32::MAX - 1), ..a() }), "before its first entry"),
        ("zip: something before", leading, "its directory is not where"),
        ("zip: something after", trailing, "no end, or something follows it"),
        ("zip: something between", one(Item { after: b"hidden".to_vec(), ..a() }), "belongs to no entry"),
        ("zip: a hidden entry", hidden(), "belongs to no entry"),
        ("zip: no descriptor", one(streamed(|_| Vec::new())), "belongs to no entry"),
        (
            "zip: a lying descriptor",
            one(streamed(|item| descriptor(&Item { sum: 7, ..item.clone() }, true))),
            "differs from what",
        ),
        (
            "zip: a lying short descriptor",
            one(streamed(|item| descriptor(&Item { sizes: (1, 1), ..item.clone() }, false))),
            "differs from what",
        ),
        ("zip: a descriptor that is none", one(streamed(|_| vec![b'x'; 16])), "belongs to no entry"),
        ("zip: a descriptor not announced", one(Item { after: descriptor(&a(), true), ..a() }), "belongs to no entry"),
        (
            "zip: fewer entries",
            zip_with(&[a()], End { entries: Some(0), ..End::default() }),
            "more entries than its end says",
        ),
        ("zip: more entries", zip_with(&[a()], End { entries: Some(2), ..End::default() }), "ends too early"),
        (
            "zip: another offset",
            zip_with(&[a()], End { offset: Some(0), ..End::default() }),
            "its directory is not where",
        ),
        ("zip: another size", zip_with(&[a()], End { size: Some(0), ..End::default() }), "its directory is not where"),
        ("zip: two ends", two_ends, "it has two ends"),
        ("zip: second part", zip_with(&[a()], End { disk: 1, ..End::default() }), "of several parts"),
        ("zip: an entry of another part", one(Item { disk: 1, ..a() }), "of several parts"),
        ("zip: marked as a part", [b"PK\x07\x08".to_vec(), one(a())].concat(), "of several parts"),
        ("zip64: no sizes", one(Item { sizes: (u32::MAX, u32::MAX), ..a() }), "a header is too short"),
        ("zip64: too many sizes", one(large([7, 7], &[0; 8])), "contradict each other"),
        ("zip64: needless sizes", one(Item { extra: extra(1, &[0; 16]), ..a() }), "contradict each other"),
        ("zip64: twice", one(Item { extra: [extra(1, &[]), extra(1, &[])].concat(), ..a() }), "contradict each other"),
        ("zip64: another size", one(large([8, 8], &[])), "differ in the size"),
        ("zip64: huge", one(large([u64::MAX, u64::MAX], &[])), "differ in the size"),
        (
            "zip64: an extra field too long",
            one(Item { extra: b"\x01\0\xff\0".to_vec(), ..a() }),
            "a header is too short",
        ),
        (
            "zip64: local sizes",
            one(Item { local_sizes: Some((7, u32::MAX)), local_extra: extra(1, &[9; 16]), ..a() }),
            "contradict each other",
        ),
        (
            "zip64: lies of the count",
            zip_with(&[a()], large_lie(|o, s, n| large_end(o, s, n + 1))),
            "contradict each other",
        ),
        (
            "zip64: lies of the place",
            zip_with(&[a()], large_lie(|o, s, n| large_end(o + 1, s, n))),
            "its end is not where",
        ),
        (
            "zip64: several parts",
            zip_with(&[a()], large_lie(|o, s, n| patched(large_end(o, s, n), 72, 2))),
            "of several parts",
        ),
        (
            "zip64: a longer end",
            zip_with(&[a()], large_lie(|o, s, n| patched(large_end(o, s, n), 4, 45))),
            "its end is not where",
        ),
        ("zip64: billions of entries", zip_with(&[a()], billions()), "more than 1000 files"),
        ("7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "is a 7z archive"),
        ("RAR", b"Rar!\x1a\x07\0".to_vec(), "is a RAR archive"),
        ("bzip2", b"BZh91AY&SY".to_vec(), "packed with bzip2"),
        ("xz", b"\xfd7zXZ\0\0".to_vec(), "packed with xz"),
        ("zstd", b"\x28\xb5\x2f\xfd\0".to_vec(), "packed with zstd"),
        ("a program", b"\x7fELF\x02\x01\x01".to_vec(), "no archive, or a damaged one"),
        ("a self-extracting archive", [b"#!/bin/sh\n".to_vec(), one(a())].concat(), "no archive, or a damaged one"),
        ("an empty file", Vec::new(), "the file is empty"),
    ])
}

/// Says that it is of another size than it is.
fn with_size(size: u32) -> Item {
    let honest = deflated(b"a", b"content content");
    Item { sizes: (honest.sizes.0, size), ..honest }
}

/// Has something after the end of its deflated stream.
fn padded() -> Item {
    let mut item = deflated(b"a", b"content");
    item.packed.extend_from_slice(b"hidden");
    item.sizes.0 += 6;
    item
}

/// All content is there, but the stream's last block is not marked as the last.
fn endless() -> Item {
    let block = [[0, 7, 0, 0xf8, 0xff].as_slice(), b"content"].concat();
    let size = u32::try_from(block.len()).unwrap();
    Item { method: 8, sizes: (size, 7), packed: block, ..item(b"a", b"content") }
}

/// An entry that no directory knows, between two that it knows.
fn hidden() -> Vec<u8> {
    let secret = zip(&[item(b"secret", b"x")]);
    zip(&[Item { after: secret[..37].to_vec(), ..item(b"a", b"x") }, item(b"b", b"x")])
}

/// The first entry as it is, and the second in the directory only.
fn with_directory_only(first: Item, second: Item) -> Vec<u8> {
    let whole = zip(&[first.clone(), second.clone()]);
    let first_length = 30 + first.name.len() + first.packed.len();
    let second_length = 30 + second.name.len() + second.packed.len();
    let mut bytes = [&whole[..first_length], &whole[first_length + second_length..]].concat();
    let offset = bytes.len() - 6;
    bytes[offset..offset + 4].copy_from_slice(&u32::try_from(first_length).unwrap().to_le_bytes());
    bytes
}

fn large_lie(before: zip_bytes::Between) -> End {
    End { before: Some(before), ..End::default() }
}

fn billions() -> End {
    let before = |offset, size, _| large_end(offset, size, 1 << 40);
    End { entries: Some(u16::MAX), before: Some(before), ..End::default() }
}

fn patched(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    bytes[at] = byte;
    bytes
}
