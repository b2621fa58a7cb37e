//! Archives as people make them, which are read as they are meant.

use std::io::{Cursor, Write};

use flate2::{Compression, GzBuilder};
use zip::write::SimpleFileOptions;

use crate::{
    listed, read,
    tar_bytes::{self, Head, entry, file, folder, gzip, hard_link, long, pax, tar},
    zip_bytes::{self, End, Item, deflated, descriptor, extra, item, large_end, zip, zip_with},
};

fn check(archives: Vec<(&str, Vec<u8>, &[&str])>) {
    for (name, bytes, expected) in archives {
        let content = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(listed(&content), expected, "{name}");
    }
}

#[test]
fn zip_archives() {
    let streamed = |signature| {
        let item = Item { flags: 8, local_sizes: Some((0, 0)), local_sum: Some(0), ..deflated(b"a", b"content") };
        Item { after: descriptor(&item, signature), ..item }
    };
    let large_streamed = || {
        let item = streamed(true);
        let sizes = [item.sizes.0.into(), item.sizes.1.into()].map(u64::to_le_bytes).concat();
        let after = [b"PK\x07\x08".as_slice(), &item.sum.to_le_bytes(), &sizes].concat();
        let local_extra = extra(1, &[0; 16]);
        Item { local_sizes: Some((u32::MAX, u32::MAX)), local_extra, after, ..item }
    };
    let sizes = [7_u64, 7].map(u64::to_le_bytes).concat();
    let local =
        Item { local_sizes: Some((u32::MAX, u32::MAX)), local_extra: extra(1, &sizes), ..item(b"a", b"content") };
    let mode = |mode| Item { mode, ..item(b"a", b"x") };
    let all = End { entries: Some(u16::MAX), size: Some(u32::MAX), offset: Some(u32::MAX), ..End::default() };
    let comment = || b"6c1f0e1a9c66e7c3d34e7f1d0c59bb6d0d3e1f0a".to_vec();
    check(vec![
        ("empty", zip(&[]), &[]),
        ("stored", zip(&[item(b"a", b"x")]), &["a \"x\""]),
        ("deflated", zip(&[deflated(b"a", b"xxxxxxxxxxxxxxxxxxxx")]), &["a \"xxxxxxxxxxxxxxxxxxxx\""]),
        ("an empty file, deflated", zip(&[deflated(b"a", b"")]), &["a \"\""]),
        ("an empty folder", zip(&[item(b"a/", b"")]), &["a/"]),
        ("a folder with a file's mode", zip(&[Item { mode: 0o100_755, ..item(b"a/", b"") }]), &["a/"]),
        ("an empty folder, deflated", zip(&[deflated(b"a/", b"")]), &["a/"]),
        ("folders that are not named", zip(&[item(b"a/b/c", b"x")]), &["a/", "a/b/", "a/b/c \"x\""]),
        ("folders after files", zip(&[item(b"a/b", b"x"), item(b"a/", b"")]), &["a/", "a/b \"x\""]),
        ("the root", zip(&[item(b"./", b""), item(b"./a", b"x")]), &["a \"x\""]),
        ("executable", zip(&[mode(0o100_755)]), &["a* \"x\""]),
        ("executable for others only", zip(&[mode(0o100_611)]), &["a \"x\""]),
        ("set user id", zip(&[mode(0o104_755)]), &["a* \"x\""]),
        ("made on DOS, with nonsense for a mode", zip(&[Item { system: 0, ..mode(0o120_777) }]), &["a \"x\""]),
        ("made on macOS", zip(&[Item { system: 19, ..mode(0o100_755) }]), &["a* \"x\""]),
        ("a link", zip(&[zip_bytes::link("a", "b/../c")]), &["a -> b/../c"]),
        (
            "a link to a link",
            zip(&[zip_bytes::link("x/a", "../b"), zip_bytes::link("b", "x")]),
            &["b -> x", "x/", "x/a -> ../b"],
        ),
        ("a link to its own folder", zip(&[zip_bytes::link("x/a", ".")]), &["x/", "x/a -> ."]),
        ("a link to the root", zip(&[zip_bytes::link("x/a", "..")]), &["x/", "x/a -> .."]),
        ("Unicode", zip(&[item("grün/日本.txt".as_bytes(), b"x")]), &["grün/", "grün/日本.txt \"x\""]),
        ("Unicode that says so", zip(&[Item { flags: 1 << 11, ..item("ü".as_bytes(), b"x") }]), &["ü \"x\""]),
        ("its name twice", zip(&[Item { extra: extra(0x7075, b"\x01\0\0\0\0a"), ..item(b"a", b"x") }]), &["a \"x\""]),
        ("aligned by zeros", zip(&[Item { local_extra: vec![0; 3], ..item(b"a", b"x") }]), &["a \"x\""]),
        ("names with spaces and dots", zip(&[item(b" a . ", b"x"), item(b"...", b"x")]), &[" a .  \"x\"", "... \"x\""]),
        (
            "names that look like git's",
            zip(&[item(b".gitignore", b""), item(b".github/x", b"")]),
            &[".github/", ".github/x \"\"", ".gitignore \"\""],
        ),
        (
            "from macOS",
            zip(&[item(b"__MACOSX/._a", b"x"), item(b".DS_Store", b"x")]),
            &[".DS_Store \"x\"", "__MACOSX/", "__MACOSX/._a \"x\""],
        ),
        ("streamed", zip(&[streamed(true)]), &["a \"content\""]),
        ("streamed, without a signature", zip(&[streamed(false)]), &["a \"content\""]),
        ("streamed, with 64 bits", zip(&[large_streamed()]), &["a \"content\""]),
        ("local sizes of 64 bits", zip(&[local]), &["a \"content\""]),
        (
            "an end of 64 bits",
            zip_with(&[item(b"a", b"x")], End { before: Some(large_end), ..End::default() }),
            &["a \"x\""],
        ),
        ("an end of 64 bits only", zip_with(&[item(b"a", b"x")], End { before: Some(large_end), ..all }), &["a \"x\""]),
        ("a comment", zip_with(&[item(b"a", b"x")], End { comment: comment(), ..End::default() }), &["a \"x\""]),
        ("an archive in an archive", zip(&[item(b"a.zip", b"PK\x05\x06")]), &["a.zip \"PK\\u{5}\\u{6}\""]),
    ]);
}

#[test]
fn tar_archives() {
    let name = "n".repeat(150);
    let long_name = format!("d/{name}");
    let in_long = format!("{long_name} \"x\"");
    let in_long: &[&str] = &["d/", &in_long];
    let moded = |mode: &[u8; 8]| Head { mode, ..Head::default() }.bytes();
    let of = |head: Head<'_>| tar(&[head.bytes()]);
    let mut old = Head { magic: b"", kind: 0, ..Head::default() };
    let old_file = of(old.clone());
    old.name = b"a/";
    let old_folder = of(old);
    let mut prefixed = file("b");
    prefixed[345..348].copy_from_slice(b"d/e");
    prefixed[148..156].fill(b' ');
    let sum: u32 = prefixed[..512].iter().map(|byte| u32::from(*byte)).sum();
    prefixed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padded = [tar(&[file("a")]), vec![0; 10240 - 2048]].concat();
    let records: [(&str, &[u8]); 4] = [
        ("mtime", b"1.5"),
        ("path", "ü\u{1f600}".as_bytes()),
        ("SCHILY.xattr.user.x", b"\n\0\n1 a=b\n"),
        ("size", b"1"),
    ];
    check(vec![
        ("empty", vec![0; 10240], &[]),
        ("a file", tar(&[file("a")]), &["a \"x\""]),
        ("the old format", old_file, &["a \"\""]),
        ("a folder in the old format", old_folder, &["a/"]),
        ("an empty folder", tar(&[folder("a/")]), &["a/"]),
        ("a folder without a slash", tar(&[folder("a")]), &["a/"]),
        ("a folder twice", tar(&[folder("a"), file("a/b"), folder("a")]), &["a/", "a/b \"x\""]),
        ("the root", tar(&[folder("./"), file("./a")]), &["a \"x\""]),
        ("folders that are not named", tar(&[file("a/b/c")]), &["a/", "a/b/", "a/b/c \"x\""]),
        ("executable", tar(&[moded(b"0000755\0")]), &["a* \"\""]),
        ("set user id", tar(&[moded(b"0004755\0")]), &["a* \"\""]),
        ("with a file's kind in its mode", tar(&[moded(b"0100644\0")]), &["a \"\""]),
        ("contiguous", tar(&[entry(b"a", b'7', b"x")]), &["a \"x\""]),
        ("a link", tar(&[tar_bytes::link("d/a", "../b")]), &["d/", "d/a -> ../b"]),
        ("a link to nothing", tar(&[tar_bytes::link("storage", "app/public")]), &["storage -> app/public"]),
        ("a hard link", tar(&[file("d/a"), hard_link("b", "d/a")]), &["b \"x\"", "d/", "d/a \"x\""]),
        ("a hard link by another way", tar(&[file("a"), hard_link("./b", "./a")]), &["a \"x\"", "b \"x\""]),
        ("a prefix", tar(&[prefixed]), &["d/", "d/e/", "d/e/b \"x\""]),
        ("GNU's long name", tar(&[long(b'L', long_name.as_bytes()), file("n")]), in_long),
        ("POSIX's long name", tar(&[pax(b'x', &[("path", long_name.as_bytes())]), file("n")]), in_long),
        ("records that do not count", tar(&[pax(b'x', &records), file("a")]), &["ü\u{1f600} \"x\""]),
        ("git's header for all", tar(&[pax(b'g', &[("comment", b"6c1f")]), file("a")]), &["a \"x\""]),
        ("whole records", padded, &["a \"x\""]),
        ("packed, with whole records", [gzip(&tar(&[file("a")])), vec![0; 10240]].concat(), &["a \"x\""]),
        ("packed", gzip(&tar(&[file("a")])), &["a \"x\""]),
        ("an archive in an archive", tar(&[entry(b"a.tar", b'0', b"x")]), &["a.tar \"x\""]),
    ]);
}

#[test]
fn gzip_in_several_members_and_with_a_name() {
    let whole = tar(&[file("a"), file("b")]);
    let (one, other) = whole.split_at(700);
    let mut second =
        GzBuilder::new().filename("a.tar").comment("x").extra([1, 2]).mtime(1).write(Vec::new(), Compression::fast());
    second.write_all(other).unwrap();
    let packed = [gzip(one), gzip(b""), second.finish().unwrap()].concat();
    assert_eq!(listed(&read(packed).unwrap()), ["a \"x\"", "b \"x\""]);
}

#[test]
fn archives_of_other_libraries() {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.add_directory("site", options).unwrap();
    zip.start_file("site/run", options.unix_permissions(0o755).large_file(true)).unwrap();
    zip.write_all(b"#!/bin/sh").unwrap();
    zip.start_file("site/plain", options.compression_method(zip::CompressionMethod::Stored)).unwrap();
    zip.write_all(b"x").unwrap();
    zip.add_symlink("site/link", "plain", options).unwrap();
    let zipped = read(zip.finish().unwrap().into_inner()).unwrap();

    let mut stream = zip::ZipWriter::new_stream(Vec::new());
    stream.start_file("site/run", options.unix_permissions(0o755)).unwrap();
    stream.write_all(b"#!/bin/sh").unwrap();
    let streamed = read(stream.finish().unwrap().into_inner()).unwrap();
    assert_eq!(listed(&streamed), ["site/", "site/run* \"#!/bin/sh\""]);

    let expected = ["site/", "site/link -> plain", "site/plain \"x\"", "site/run* \"#!/bin/sh\""];
    assert_eq!(listed(&zipped), expected);
    let mut packed = Vec::new();
    zipped.write_tar(&[], &mut packed).unwrap();
    assert_eq!(read(&packed).unwrap().digest(), zipped.digest());
    assert_eq!(read(gzip(&packed)).unwrap().digest(), zipped.digest());
}
