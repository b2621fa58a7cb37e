//! Archives of all kinds, from which others are made by changing them.

use crate::{
    tar_bytes::{self, entry, gzip, hard_link, long, pax, tar},
    zip_bytes::{self, End, Item, deflated, descriptor, item, large_end, zip, zip_with},
};

/// By their names.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let streamed = Item { flags: 8, ..deflated(b"d/s", &[b'x'; 300]) };
    let streamed = Item { after: descriptor(&streamed, true), ..streamed };
    let items = [item(b"a", b"plain"), item(b"e/", b""), streamed, zip_bytes::link("l", "d/s")];
    let gnu = tar(&[long(b'L', &[b'n'; 120]), entry(b"n", b'0', b"x"), long(b'K', b"n"), tar_bytes::link("l", "a")]);
    let posix =
        [pax(b'g', &[("comment", b"x")]), pax(b'x', &[("path", b"p"), ("size", b"1")]), entry(b"n", b'0', b"y")];
    vec![
        ("a.zip", zip(&items)),
        ("large.zip", zip_with(&items, End { before: Some(large_end), comment: b"c".to_vec(), ..End::default() })),
        (
            "a.tar",
            tar(&[entry(b"a", b'0', b"x"), tar_bytes::link("l", "a"), hard_link("h", "a"), tar_bytes::folder("d/")]),
        ),
        ("gnu.tar", gnu),
        ("posix.tar", tar(&posix)),
        ("a.tar.gz", gzip(&tar(&[entry(b"a", b'0', &[b'x'; 2000])]))),
    ]
}
