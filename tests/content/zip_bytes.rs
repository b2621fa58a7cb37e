//! Makes ZIP archives, byte by byte, and lets each byte lie.

use std::io::Write;

use flate2::{Compression, Crc, write::DeflateEncoder};

pub const LINK: u32 = 0o120_777;

/// Both headers of an entry, and its content. The local one says what the central one says, but for what is set.
#[derive(Clone)]
pub struct Item {
    pub name: Vec<u8>,
    pub local_name: Option<Vec<u8>>,
    pub flags: u16,
    pub local_flags: Option<u16>,
    pub method: u16,
    pub local_method: Option<u16>,
    pub packed: Vec<u8>,
    pub sum: u32,
    pub local_sum: Option<u32>,
    /// Packed and unpacked.
    pub sizes: (u32, u32),
    pub local_sizes: Option<(u32, u32)>,
    pub extra: Vec<u8>,
    pub local_extra: Vec<u8>,
    /// 3 is Unix, 0 is DOS.
    pub system: u8,
    pub mode: u32,
    pub disk: u16,
    /// Where the directory says that the entry is, instead of where it is.
    pub offset: Option<u32>,
    /// What follows the content.
    pub after: Vec<u8>,
}

pub fn item(name: &[u8], content: &[u8]) -> Item {
    let size = u32::try_from(content.len()).unwrap();
    Item {
        name: name.to_vec(),
        local_name: None,
        flags: 0,
        local_flags: None,
        method: 0,
        local_method: None,
        packed: content.to_vec(),
        sum: sum(content),
        local_sum: None,
        sizes: (size, size),
        local_sizes: None,
        extra: Vec::new(),
        local_extra: Vec::new(),
        system: 3,
        mode: 0,
        disk: 0,
        offset: None,
        after: Vec::new(),
    }
}

pub fn deflated(name: &[u8], content: &[u8]) -> Item {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(content).unwrap();
    let packed = packed.finish().unwrap();
    let sizes = (u32::try_from(packed.len()).unwrap(), u32::try_from(content.len()).unwrap());
    Item { method: 8, packed, sizes, ..item(name, content) }
}

pub fn link(name: &str, target: &str) -> Item {
    Item { mode: LINK, ..item(name.as_bytes(), target.as_bytes()) }
}

pub fn sum(content: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(content);
    sum.sum()
}

/// An extra field.
pub fn extra(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&kind.to_le_bytes(), &length.to_le_bytes(), content].concat()
}

/// What follows a content whose sizes were not known before.
pub fn descriptor(item: &Item, signature: bool) -> Vec<u8> {
    let numbers = [item.sum, item.sizes.0, item.sizes.1];
    let signature = if signature { b"PK\x07\x08".as_slice() } else { b"" };
    [signature, &numbers.map(u32::to_le_bytes).concat()].concat()
}

/// What the end says. The rest it says as it is.
#[derive(Default)]
pub struct End {
    pub disk: u16,
    pub entries: Option<u16>,
    pub size: Option<u32>,
    pub offset: Option<u32>,
    pub comment: Vec<u8>,
    /// What is between the directory and the end.
    pub before: Option<Between>,
}

/// Made of the directory's offset, size and number of entries.
pub type Between = fn(u64, u64, u64) -> Vec<u8>;

pub fn zip(items: &[Item]) -> Vec<u8> {
    zip_with(items, End::default())
}

pub fn zip_with(items: &[Item], end: End) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for item in items {
        let offset = item.offset.unwrap_or(u32::try_from(bytes.len()).unwrap());
        let local_name = item.local_name.as_ref().unwrap_or(&item.name);
        let (packed, size) = item.local_sizes.unwrap_or(item.sizes);
        bytes.extend_from_slice(b"PK\x03\x04\x14\0");
        put16(&mut bytes, &[item.local_flags.unwrap_or(item.flags), item.local_method.unwrap_or(item.method)]);
        put32(&mut bytes, &[0x21_0000, item.local_sum.unwrap_or(item.sum), packed, size]);
        put16(&mut bytes, &[short(local_name), short(&item.local_extra)]);
        bytes.extend([local_name, &item.local_extra, &item.packed, &item.after].into_iter().flatten());

        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&[20, item.system, 20, 0]);
        put16(&mut directory, &[item.flags, item.method]);
        put32(&mut directory, &[0x21_0000, item.sum, item.sizes.0, item.sizes.1]);
        put16(&mut directory, &[short(&item.name), short(&item.extra), 0, item.disk, 0]);
        put32(&mut directory, &[item.mode << 16, offset]);
        directory.extend(item.name.iter().chain(&item.extra));
    }
    let (offset, size, entries) = (bytes.len(), directory.len(), items.len());
    bytes.extend(directory);
    if let Some(before) = end.before {
        bytes.extend(before(offset as u64, size as u64, entries as u64));
    }
    let entries = end.entries.unwrap_or(u16::try_from(entries).unwrap());
    bytes.extend_from_slice(b"PK\x05\x06");
    put16(&mut bytes, &[end.disk, end.disk, entries, entries]);
    let (size, offset) = (u32::try_from(size).unwrap(), u32::try_from(offset).unwrap());
    put32(&mut bytes, &[end.size.unwrap_or(size), end.offset.unwrap_or(offset)]);
    put16(&mut bytes, &[short(&end.comment)]);
    bytes.extend(end.comment);
    bytes
}

/// The end with numbers of 64 bits, and what tells where it is.
pub fn large_end(offset: u64, size: u64, entries: u64) -> Vec<u8> {
    let mut bytes = b"PK\x06\x06".to_vec();
    bytes.extend(44_u64.to_le_bytes());
    put16(&mut bytes, &[45, 45]);
    put32(&mut bytes, &[0, 0]);
    bytes.extend([entries, entries, size, offset].map(u64::to_le_bytes).concat());
    bytes.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    bytes.extend((offset + size).to_le_bytes());
    put32(&mut bytes, &[1]);
    bytes
}

fn short(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap()
}

fn put16(bytes: &mut Vec<u8>, numbers: &[u16]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn put32(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}
