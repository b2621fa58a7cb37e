//! What holds for all trees, and for all bytes.

use std::collections::BTreeMap;

use cloudfaster::docker::content::{Builder, Content, Error, Limits};
use proptest::prelude::*;

use crate::{checks, read, seeds::seeds, tar_bytes::gzip};

#[derive(Clone, Debug)]
enum Node {
    Folder(BTreeMap<String, Node>),
    File(bool, Vec<u8>),
    Link(String),
}

/// Names of which no two are alike.
fn name() -> impl Strategy<Value = String> {
    let ends = prop::sample::select(vec!["", ".txt", " x", "é", "日本", "\u{1f600}", "-", "+"]);
    (0..6_u8, ends, prop_oneof![9 => Just(0_usize), 1 => 80..150_usize])
        .prop_map(|(number, end, more)| format!("{number}{}{end}_", "n".repeat(more)))
}

fn target() -> impl Strategy<Value = String> {
    (0..3_usize, prop::collection::vec(name(), 0..3), prop::bool::ANY).prop_map(|(up, names, slash)| {
        let parts: Vec<String> = std::iter::repeat_n("..".to_owned(), up).chain(names).collect();
        format!("./{}{}", parts.join("/"), if slash { "/" } else { "" })
    })
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => (any::<bool>(), prop::collection::vec(any::<u8>(), 0..2000)).prop_map(|(run, bytes)| Node::File(run, bytes)),
        1 => target().prop_map(Node::Link),
        1 => Just(Node::Folder(BTreeMap::new())),
    ];
    let inner =
        leaf.prop_recursive(4, 40, 6, |inner| prop::collection::btree_map(name(), inner, 0..6).prop_map(Node::Folder));
    prop::collection::btree_map(name(), inner, 0..6).prop_map(Node::Folder)
}

fn build(builder: &mut Builder, path: &str, node: &Node) -> Result<(), Error> {
    match node {
        Node::File(executable, bytes) => builder.file(path.as_bytes(), *executable, bytes.as_slice()),
        Node::Link(target) => builder.link(path.as_bytes(), target.as_bytes()),
        Node::Folder(nodes) => {
            if !path.is_empty() {
                builder.folder(path.as_bytes())?;
            }
            let path = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            nodes.iter().try_for_each(|(name, node)| build(builder, &path(name), node))
        }
    }
}

fn content(node: &Node) -> Result<Content, Error> {
    let mut builder = Builder::new(Limits::default())?;
    build(&mut builder, "", node)?;
    builder.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_global_rejects: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_is_read_as_it_was(tree in tree()) {
        let content = match content(&tree) {
            // Whether links are fit to be delivered is for others to say.
            Err(Error::Link { .. }) => return Err(TestCaseError::reject("links")),
            content => content.unwrap(),
        };
        let mut packed = Vec::new();
        content.write_tar(&[], &mut packed).unwrap();
        let read_again = read(&packed).unwrap();
        prop_assert_eq!(read_again.digest(), content.digest());
        prop_assert_eq!(read_again.size(), content.size());
        let mut again = Vec::new();
        read_again.write_tar(&[], &mut again).unwrap();
        prop_assert_eq!(&again, &packed);
        let unpacked = read(gzip(&packed)).unwrap();
        prop_assert_eq!(unpacked.digest(), content.digest());
    }

    #[test]
    fn no_bytes_make_reading_panic_or_break_a_limit(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        checks::archive(&bytes);
    }

    #[test]
    fn no_entries_make_reading_panic_or_break_a_limit(bytes in prop::collection::vec(any::<u8>(), 0..1000)) {
        checks::zip(&bytes);
        checks::tar_entries(&bytes);
    }

    #[test]
    fn no_change_of_an_archive_makes_reading_panic_or_break_a_limit(
        seed in any::<prop::sample::Index>(),
        packed in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(TOKENS)), 1..4),
    ) {
        let seeds = seeds();
        let mut bytes = seeds[seed.index(seeds.len())].1.clone();
        for (at, removed, token) in changes {
            let at = at.index(bytes.len() + 1);
            // Most changes keep the length, without which little would be reached.
            let end = if removed < 8 { at + token.len() } else { at + removed };
            bytes.splice(at..end.min(bytes.len()), token.iter().copied());
        }
        checks::archive(&bytes);
        if packed {
            checks::archive(&gzip(&bytes));
        } else {
            checks::tar(&bytes);
        }
    }
}

/// Bytes that mean something.
const TOKENS: &[&[u8]] = &[
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
    b"\0",
    b"\x01",
    b"\x08",
    b"\xff",
    b"\0\0",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x01\0\x10\0",
    b"/",
    b"..",
    b"../",
    b"\\",
    b".git",
    b"5",
    b"2",
    b"1",
    b"L",
    b"K",
    b"x",
    b"g",
    b"77777777777\0",
    b"00000000000\0",
    b"\x80\0\0\0",
    b"9 path=a\n",
    b"ustar  \0",
];
