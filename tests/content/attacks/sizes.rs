//! Too much of everything.

use super::{Attack, named};
use crate::{
    tar_bytes::{self, entry, file, folder, gzip, hard_link, long, pax, tar},
    zip_bytes::{self, Item, deflated, item, zip},
};

pub(super) fn attacks() -> Vec<Attack> {
    let long_name = [b"a/".repeat(8), vec![b'b'; 4096]].concat();
    let part = vec![b'p'; 256];
    let deep = "d/".repeat(17);
    let zeros = vec![0; 20 << 20];
    let noise: Vec<u8> = (0..31_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let half = noise.get(..21 << 20).unwrap();
    let many = |count: usize| (0..count).map(|number| format!("f{number}")).collect::<Vec<_>>();
    let implied: Vec<Vec<u8>> = (0..300).map(|number| file(&format!("{number}/a/b/c"))).collect();
    let mut rows = vec![
        ("zip: a name of 4 KB", zip(&[item(&long_name, b"x")]), "is longer than 1024 bytes"),
        ("GNU: a name of 4 KB", tar(&[long(b'L', &long_name), file("a")]), "is longer than 1024 bytes"),
        ("pax: a name of 4 KB", tar(&[pax(b'x', &[("path", &long_name)]), file("a")]), "is longer than 1024 bytes"),
        (
            "GNU: a target of 4 KB",
            tar(&[long(b'K', &long_name), tar_bytes::link("a", "b")]),
            "is longer than 1024 bytes",
        ),
        (
            "GNU: a name of 32 MB",
            gzip(&tar(&[long(b'L', &vec![b'a'; 32 << 20]), file("a")])),
            "is longer than 1024 bytes",
        ),
        (
            "pax: a header of 2 MB",
            gzip(&tar(&[pax(b'x', &[("comment", &vec![b'a'; 2 << 20])])])),
            "is larger than 1048576",
        ),
        ("zip: a target of 4 KB", zip(&[Item { mode: zip_bytes::LINK, ..item(b"a", &long_name) }]), "is too long"),
        ("zip: a part of 256 bytes", zip(&[item(&part, b"x")]), "a part longer than 255 bytes"),
        ("GNU: a part of 256 bytes", tar(&[long(b'L', &part), file("a")]), "a part longer than 255 bytes"),
        ("zip: folders in folders", zip(&[item(deep.as_bytes(), b"")]), "has more than 16 parts"),
        ("tar: folders in folders", tar(&[folder(&deep)]), "has more than 16 parts"),
        ("zip: a bomb", zip(&[deflated(b"a", &zeros)]), "more than 200 times its size"),
        ("tar.gz: a bomb", gzip(&tar(&[entry(b"a", b'0', &zeros)])), "more than 200 times its size"),
        (
            "tar.gz: a bomb of nothing",
            gzip(&[vec![0; 16 << 20], vec![0; 4 << 20]].concat()),
            "more than 200 times its size",
        ),
        ("zip: a large file", zip(&[item(b"a", &noise)]), "`a` is larger than 31457280 bytes"),
        ("tar: a large file", tar(&[entry(b"a", b'0', &noise)]), "`a` is larger than 31457280 bytes"),
        ("zip: large together", zip(&[item(b"a", half), item(b"b", half)]), "larger than 41943040 bytes together"),
        (
            "tar: large together",
            tar(&[entry(b"a", b'0', half), hard_link("b", "a")]),
            "larger than 41943040 bytes together",
        ),
        ("tar: folders that are not named", tar(&implied), "more than 1000 files, folders and links"),
        ("tar: the same folder", tar(&vec![folder("a"); 1001]), "more than 1000 files, folders and links"),
        ("tar: global headers", tar(&vec![pax(b'g', &[]); 1001]), "more than 1000 files, folders and links"),
        (
            "tar: padding",
            gzip(&[tar(&[entry(b"a", b'0', half)]), vec![0; 17 << 20]].concat()),
            "something after its end",
        ),
    ];
    let files: Vec<Vec<u8>> = many(1001).iter().map(|name| file(name)).collect();
    rows.push(("tar: many files", tar(&files), "more than 1000 files, folders and links"));
    let items: Vec<Item> = many(1001).iter().map(|name| item(name.as_bytes(), b"")).collect();
    rows.push(("zip: many files", zip(&items), "more than 1000 files, folders and links"));
    named(rows)
}
