//! Makes tar archives, byte by byte.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// What an entry's header says.
#[derive(Clone)]
pub struct Head<'a> {
    pub name: &'a [u8],
    pub kind: u8,
    pub mode: &'a [u8],
    pub size: &'a [u8],
    pub target: &'a [u8],
    pub magic: &'a [u8],
}

impl Default for Head<'_> {
    fn default() -> Self {
        Self { name: b"a", kind: b'0', mode: b"0000644\0", size: b"00000000000\0", target: b"", magic: b"ustar\x0000" }
    }
}

impl Head<'_> {
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, self.name);
        put(100, self.mode);
        put(108, b"0000000\x000000000\0");
        put(124, self.size);
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.target);
        put(257, self.magic);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// An entry of a kind, with its content, filled up to whole blocks.
pub fn entry(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}\0", content.len());
    let mut bytes = Head { name, kind, size: size.as_bytes(), ..Head::default() }.bytes();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub fn file(name: &str) -> Vec<u8> {
    entry(name.as_bytes(), b'0', b"x")
}

pub fn folder(name: &str) -> Vec<u8> {
    Head { name: name.as_bytes(), kind: b'5', mode: b"0000755\0", ..Head::default() }.bytes()
}

pub fn link(name: &str, target: &str) -> Vec<u8> {
    Head { name: name.as_bytes(), kind: b'2', target: target.as_bytes(), ..Head::default() }.bytes()
}

pub fn hard_link(name: &str, target: &str) -> Vec<u8> {
    Head { name: name.as_bytes(), kind: b'1', target: target.as_bytes(), ..Head::default() }.bytes()
}

/// GNU's long name (`L`) or long target (`K`).
pub fn long(kind: u8, name: &[u8]) -> Vec<u8> {
    entry(b"././@LongLink", kind, &[name, b"\0"].concat())
}

/// POSIX's extended header.
pub fn pax(kind: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    entry(b"PaxHeaders/a", kind, &pax_records(records))
}

pub fn pax_records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| length - length.to_string().len() == rest).unwrap();
        data.extend_from_slice(format!("{length} {key}=").as_bytes());
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    data
}

/// Entries, and the end.
pub fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}
