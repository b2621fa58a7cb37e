//! Attacks, each of which is refused with its reason.

use std::collections::BTreeSet;

use crate::{
    read,
    tar_bytes::{self, Head, entry, file, folder, gzip, hard_link, long, pax, tar},
    zip_bytes::{self, End, Item, deflated, descriptor, extra, item, large_end, zip, zip_with},
};

/// What it is called, its bytes, and words that the refusal has.
type Attack = (String, Vec<u8>, &'static str);

/// Names, which are tried in ZIP and in tar.
fn names() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    vec![
        ("parent", bytes("../x"), "has `..` in it"),
        ("parent after folders", bytes("a/../../b"), "has `..` in it"),
        ("parent that stays inside", bytes("a/../b"), "has `..` in it"),
        ("parent at the end", bytes("a/.."), "has `..` in it"),
        ("absolute", bytes("/etc/passwd"), "is absolute"),
        ("absolute twice", bytes("//etc/passwd"), "is absolute"),
        ("drive", bytes("C:/x"), "is absolute"),
        ("drive with backslash", bytes("C:\\x"), "is absolute"),
        ("drive without folder", bytes("c:x"), "is absolute"),
        ("UNC", bytes("\\\\server\\share\\x"), "is absolute"),
        ("backslash", bytes("a\\b"), "has a backslash"),
        ("parent with backslash", bytes("..\\..\\x"), "has a backslash"),
        ("escape sequence", bytes("a\u{1b}[2Jb"), "control character"),
        ("line end", bytes("a\nb"), "control character"),
        ("control of the second set", bytes("a\u{9b}b"), "control character"),
        ("delete", bytes("a\u{7f}"), "control character"),
        ("not UTF-8", b"caf\xe9".to_vec(), "is not UTF-8"),
        ("overlong slash", b"..\xc0\xafx".to_vec(), "is not UTF-8"),
        ("surrogate", b"a\xed\xa0\x80".to_vec(), "is not UTF-8"),
        ("git", bytes(".git/config"), "git's own folder"),
        ("git in a folder", bytes("a/.git/hooks/post-checkout"), "git's own folder"),
        ("git in capitals", bytes(".GIT/config"), "git's own folder"),
        ("git by its short name", bytes("git~1/config"), "git's own folder"),
        ("git with a skipped letter", bytes(".g\u{200c}it/config"), "git's own folder"),
        ("git with dots", bytes(".git. ./config"), "git's own folder"),
        ("git by a stream", bytes(".git::$INDEX_ALLOCATION/config"), "git's own folder"),
        ("nothing but dots", bytes("./."), "is empty"),
    ]
}

/// What links point to.
const TARGETS: [(&str, &str, &str); 8] = [
    ("absolute", "/etc/passwd", "is absolute"),
    ("drive", "C:/Windows", "is absolute"),
    ("parent", "../x", "leads out of the tree"),
    ("parent in between", "b/../../x", "leads out of the tree"),
    ("backslash", "..\\x", "has a backslash"),
    ("itself", "a", "leads in a circle"),
    ("through itself", "a/b", "leads in a circle"),
    ("control", "b\u{1}", "control character"),
];

/// Trees of links and files whose whole is the attack: `>` is between a link and its target, a `/` is at the end of a folder's name.
const TREES: [(&str, &[&str], &str); 19] = [
    ("a file behind a link out", &["a>/etc", "a/passwd"], "is absolute"),
    ("a file behind a link", &["b/", "a>b", "a/passwd"], "since `a` is a link"),
    ("a link over a folder with files", &["a/passwd", "a>b"], "`a` is there twice"),
    ("a link through another", &["a/b/", "c>a/b", "d>c/../../../x"], "leads out of the tree"),
    ("a link through a chain", &["a/b/c/", "l1>a/b/c", "l2>l1/..", "l3>l2/..", "l4>l3/../.."], "leads out of the tree"),
    ("a link that is deeper than it looks", &["a/b/", "x/y>../a", "z>x/y/../.."], "leads out of the tree"),
    ("two links in a circle", &["a>b", "b>a"], "leads in a circle"),
    ("three links in a circle", &["d/a>../b", "b>c/x", "c>d/a"], "leads in a circle"),
    ("a file twice", &["a", "a"], "`a` is there twice"),
    ("a file twice, written differently", &["a/b", "./a//b"], "is there twice"),
    ("a file, then a folder", &["a", "a/"], "`a` is there twice"),
    ("a folder, then a file", &["a/", "a"], "`a` is there twice"),
    ("a file as a folder", &["a", "a/b"], "since `a` is a file"),
    ("case", &["README", "readme"], "`README` and `readme` differ only"),
    ("case of folders", &["A/x", "a/y"], "`A` and `a` differ only"),
    ("composed and decomposed", &["caf\u{e9}", "cafe\u{301}"], "differ only"),
    ("sharp s", &["stra\u{df}e", "STRASSE"], "differ only"),
    ("a dot at the end", &["a", "A."], "differ only"),
    ("a letter that is skipped", &["ab", "a\u{200c}b"], "differ only"),
];

fn tar_tree(entries: &[&str]) -> Vec<u8> {
    let made = entries.iter().map(|entry| match entry.split_once('>') {
        Some((name, target)) => tar_bytes::link(name, target),
        None if entry.ends_with('/') => folder(entry),
        None => file(entry),
    });
    tar(&made.collect::<Vec<_>>())
}

fn zip_tree(entries: &[&str]) -> Vec<u8> {
    let made = entries.iter().map(|entry| match entry.split_once('>') {
        Some((name, target)) => zip_bytes::link(name, target),
        None if entry.ends_with('/') => item(entry.as_bytes(), b""),
        None => item(entry.as_bytes(), b"x"),
    });
    zip(&made.collect::<Vec<_>>())
}

fn of_names() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (what, name, words) in names() {
        attacks.push((format!("zip name: {what}"), zip(&[item(&name, b"x")]), words));
        attacks.push((format!("tar name: {what}"), tar(&[entry(&name, b'0', b"x")]), words));
        attacks.push((format!("GNU name: {what}"), tar(&[long(b'L', &name), file("a")]), words));
        attacks.push((format!("pax name: {what}"), tar(&[pax(b'x', &[("path", &name)]), file("a")]), words));
    }
    for (what, target, words) in TARGETS {
        attacks.push((format!("zip link: {what}"), zip(&[zip_bytes::link("a", target)]), words));
        attacks.push((format!("tar link: {what}"), tar(&[tar_bytes::link("a", target)]), words));
        let lie = tar_bytes::link("a", "b");
        attacks.push((format!("GNU link: {what}"), tar(&[long(b'K', target.as_bytes()), lie.clone()]), words));
        let real = pax(b'x', &[("linkpath", target.as_bytes())]);
        attacks.push((format!("pax link: {what}"), tar(&[real, lie]), words));
    }
    for (what, entries, words) in TREES {
        attacks.push((format!("zip tree: {what}"), zip_tree(entries), words));
        attacks.push((format!("tar tree: {what}"), tar_tree(entries), words));
    }
    let chain: Vec<String> = (0..60).map(|number| format!("l{number:02}>l{:02}", number + 1)).collect();
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    attacks.push(("a long chain of links".into(), tar_tree(&chain), "through more than 40 links"));
    let doubling: Vec<String> = (0..30).map(|number| format!("l{number:02}>l{0:02}/../l{0:02}", number + 1)).collect();
    let doubling: Vec<&str> = doubling.iter().map(String::as_str).chain(["l30/"]).collect();
    attacks.push(("links that double at each step".into(), tar_tree(&doubling), "through more than 40 links"));
    attacks.push(("zip: NUL in a name".into(), zip(&[item(b"a\0.txt", b"x")]), "control character"));
    attacks.push(("zip: empty name".into(), zip(&[item(b"", b"x")]), "is empty"));
    attacks.push(("tar: empty name".into(), tar(&[entry(b"", b'0', b"x")]), "is empty"));
    attacks.push((
        "pax: NUL in a name".into(),
        tar(&[pax(b'x', &[("path", b"a\0b")]), file("a")]),
        "control character",
    ));
    attacks.push(("zip: empty link".into(), zip(&[zip_bytes::link("a", "")]), "leads nowhere"));
    attacks.push(("tar: empty link".into(), tar(&[tar_bytes::link("a", "")]), "leads nowhere"));
    attacks
}

fn of_size() -> Vec<Attack> {
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

fn of_tar() -> Vec<Attack> {
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

fn of_zip() -> Vec<Attack> {
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

fn named(attacks: Vec<(&str, Vec<u8>, &'static str)>) -> Vec<Attack> {
    attacks.into_iter().map(|(name, bytes, words)| (name.to_owned(), bytes, words)).collect()
}

fn refuse(attacks: Vec<Attack>, least: usize) {
    assert!(attacks.len() >= least, "{}", attacks.len());
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, bytes, words) in attacks {
        assert!(names.insert(name.clone()), "{name} is there twice");
        match read(&bytes) {
            Ok(content) => wrong.push(format!("{name}: read as {:?}", crate::listed(&content))),
            Err(error) if !error.to_string().contains(words) => wrong.push(format!("{name}: {error}")),
            Err(error) if error.is_passing() => wrong.push(format!("{name}: passes: {error}")),
            Err(error) if error.to_string().len() > 600 => wrong.push(format!("{name}: is told at length: {error}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_and_links_that_lead_out_or_are_ambiguous() {
    refuse(of_names(), 170);
}

#[test]
fn bombs() {
    refuse(of_size(), 24);
}

#[test]
fn tar_archives_that_lie() {
    refuse(of_tar(), 55);
}

#[test]
fn zip_archives_that_lie() {
    refuse(of_zip(), 80);
}
