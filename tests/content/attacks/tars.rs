//! Tar archives that lie, hold what is no file, or are damaged.

use super::{Attack, named};
use crate::{
    tar_bytes::{self, Head, entry, file, folder, gzip, hard_link, long, pax, tar},
    zip_bytes::{item, zip},
};

pub(super) fn attacks() -> Vec<Attack> {
    let sized = |size: &[u8]| tar(&[Head { size, ..Head::default() }.bytes(), vec![b'x'; 512]]);
    let mut wrong_sum = tar(&[file("a")]);
    wrong_sum[0] = b'b';
    let mut second = tar(&[file("a"), file("b")]);
    second[1024] = b'c';
    let mut gzip_sum = gzip(&tar(&[file("a")]));
    let at = gzip_sum.len() - 8;
    gzip_sum[at] ^= 1;
    let mut gzip_size = gzip(&tar(&[file("a")]));
    let at = gzip_size.len() - 1;
    gzip_size[at] ^= 1;
    let packed = gzip(&tar(&[file("a")]));
    let mut method = packed.clone();
    method[2] = 7;
    let mut reserved = packed.clone();
    reserved[3] = 0xe0;
    let with_content = |kind| tar(&[entry(b"a", kind, b"x")]);
    named(vec![
        ("tar: character device", tar(&[Head { kind: b'3', ..Head::default() }.bytes()]), "`a` is a device"),
        ("tar: block device", tar(&[Head { kind: b'4', ..Head::default() }.bytes()]), "`a` is a device"),
        ("tar: fifo", tar(&[Head { kind: b'6', ..Head::default() }.bytes()]), "`a` is a named pipe"),
        ("tar: sparse file", tar(&[Head { kind: b'S', ..Head::default() }.bytes()]), "`a` is a sparse file"),
        ("tar: several volumes", tar(&[Head { kind: b'M', ..Head::default() }.bytes()]), "a kind that is not known"),
        ("tar: name of a volume", tar(&[Head { kind: b'V', ..Head::default() }.bytes()]), "a kind that is not known"),
        ("tar: Solaris attributes", tar(&[Head { kind: b'A', ..Head::default() }.bytes()]), "a kind that is not known"),
        ("pax: sparse file", tar(&[pax(b'x', &[("GNU.sparse.major", b"1")]), file("a")]), "a sparse file in it"),
        ("pax: sparse file for all", tar(&[pax(b'g', &[("GNU.sparse.size", b"1")]), file("a")]), "a sparse file in it"),
        ("tar: hard link out", tar(&[hard_link("a", "/etc/shadow")]), "is absolute"),
        ("tar: hard link to a parent", tar(&[hard_link("a", "../shadow")]), "has `..` in it"),
        ("tar: hard link to nothing", tar(&[hard_link("a", "b"), file("b")]), "there is nothing at `b`"),
        ("tar: hard link to itself", tar(&[hard_link("a", "a")]), "there is nothing at `a`"),
        ("tar: hard link to a folder", tar(&[folder("b"), hard_link("a", "b")]), "`b` is a folder, and a file"),
        (
            "tar: hard link to a link",
            tar(&[tar_bytes::link("b", "c"), hard_link("a", "b")]),
            "`b` is a link, and a file",
        ),
        ("tar: hard link to the root", tar(&[hard_link("a", "./")]), "there is nothing at `./`"),
        ("tar: hard link over a file", tar(&[file("b"), file("a"), hard_link("a", "b")]), "`a` is there twice"),
        ("tar: hard link with content", with_content(b'1'), "has content all the same"),
        ("tar: link with content", with_content(b'2'), "has content all the same"),
        ("tar: folder with content", with_content(b'5'), "has content all the same"),
        ("tar: wrong checksum", wrong_sum, "no archive, or a damaged one"),
        ("tar: wrong checksum later on", second, "checksum of a header is wrong"),
        ("tar: negative size", sized(&[0xff; 12]), "no proper size"),
        ("tar: negative octal size", sized(b"-0000000001\0"), "no proper size"),
        ("tar: huge size", sized(b"77777777777\0"), "it ends within `a`"),
        ("tar: huge binary size", sized(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "it ends within `a`"),
        ("tar: size of more than 64 bits", sized(b"\x80\0\x01\0\0\0\0\0\0\0\0\x01"), "no proper size"),
        ("tar: size of no digits", sized(b"0000000000x\0"), "no proper size"),
        (
            "tar: huge folder",
            tar(&[Head { kind: b'5', size: b"77777777777\0", ..Head::default() }.bytes()]),
            "has content",
        ),
        ("pax: another size", tar(&[pax(b'x', &[("size", b"0")]), file("a")]), "has two sizes"),
        ("pax: negative size", tar(&[pax(b'x', &[("size", b"-1")]), file("a")]), "no proper size"),
        ("pax: huge size", tar(&[pax(b'x', &[("size", &[b'9'; 40])]), file("a")]), "no proper size"),
        ("pax: a name for all", tar(&[pax(b'g', &[("path", b"b")]), file("a")]), "what can hold for one only"),
        ("pax: a target for all", tar(&[pax(b'g', &[("linkpath", b"/etc")]), file("a")]), "what can hold for one only"),
        ("pax: two names", tar(&[pax(b'x', &[("path", b"b"), ("path", b"../c")]), file("a")]), "says the same twice"),
        ("pax: two headers", tar(&[pax(b'x', &[("path", b"b")]), pax(b'x', &[]), file("a")]), "is named twice"),
        ("pax and GNU", tar(&[pax(b'x', &[("path", b"b")]), long(b'L', b"../c"), file("a")]), "is named twice"),
        ("GNU: two names", tar(&[long(b'L', b"b"), long(b'L', b"c"), file("a")]), "is named twice"),
        ("pax: no name", tar(&[pax(b'x', &[("path", b"")]), file("a")]), "has an empty name"),
        ("pax: malformed", tar(&[entry(b"a", b'x', b"99 path=b\n"), file("a")]), "is malformed"),
        ("pax: no entry", tar(&[pax(b'x', &[("path", b"b")])]), "before the last entry"),
        ("GNU: no entry", tar(&[long(b'L', b"b")]), "before the last entry"),
        ("tar: no end", file("a"), "ends too early"),
        ("tar: half an end", [file("a"), vec![0; 512]].concat(), "ends too early"),
        (
            "tar: one empty block",
            [file("a"), vec![0; 512], file("b"), vec![0; 1024]].concat(),
            "something after its end",
        ),
        ("tar: something after the end", [tar(&[file("a")]), tar(&[file("b")])].concat(), "something after its end"),
        (
            "tar: a ZIP archive after the end",
            [tar(&[file("a")]), zip(&[item(b"b", b"")])].concat(),
            "something after its end",
        ),
        ("gzip: wrong checksum", gzip_sum, "damaged"),
        ("gzip: wrong size", gzip_size, "damaged"),
        ("gzip: unknown method", method, "damaged"),
        ("gzip: unknown flags", reserved, "damaged"),
        ("gzip: something after the end", [packed.as_slice(), b"x"].concat(), "damaged"),
        ("gzip: something after zeros", [packed.as_slice(), &[0; 9000], b"x"].concat(), "after the end of gzip"),
        ("gzip: a second archive after zeros", [packed.as_slice(), b"\0", &packed].concat(), "after the end of gzip"),
        ("gzip: a second archive", [packed.clone(), packed.clone()].concat(), "something after its end"),
        ("gzip: in gzip", gzip(&packed), "no tar archive"),
        ("gzip: a ZIP archive", gzip(&zip(&[item(b"a", b"x")])), "no tar archive"),
        ("gzip: nothing", gzip(b""), "no tar archive"),
        ("gzip: garbage", [b"\x1f\x8b\x08\0".as_slice(), &[0xff; 600]].concat(), "damaged"),
        (
            "gzip: a header without end",
            [b"\x1f\x8b\x08\x08\0\0\0\0\0\0".as_slice(), &[b'n'; 1 << 20]].concat(),
            "damaged",
        ),
    ])
}
