//! The directory at the end of a ZIP file.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::{
    DEFLATED, ENCRYPTED, PATCH, STORED, exactly,
    fields::{self, Fields, Sizes},
    piece,
};
use crate::docker::content::{Error, Limits, error::shown};

/// The length of the end, without its comment, and of what is before it in archives with numbers of 64 bits.
const END: u64 = 22;
const LOCATOR: u64 = 20;
const LARGE_END: u64 = 56;

/// Systems whose modes are known: Unix and macOS.
const UNIX: [u8; 2] = [3, 19];

/// All entries of an archive.
pub(super) struct Directory {
    /// Where it begins, and the entries end.
    pub(super) start: u64,
    /// In the order of the file.
    pub(super) records: Vec<Record>,
}

/// What the directory says of an entry.
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) sum: u32,
    pub(super) sizes: Sizes,
    pub(super) offset: u64,
    /// The mode, if the archive was made on Unix.
    pub(super) mode: Option<u32>,
}

/// Where the directory is.
struct End {
    entries: u64,
    size: u64,
    offset: u64,
    /// Where what follows the directory begins.
    position: u64,
}

pub(super) fn read(mut source: impl Read + Seek, size: u64, limits: &Limits) -> Result<Directory, Error> {
    let End { entries, size, offset, position } = find(&mut source, size)?;
    if offset.checked_add(size) != Some(position) {
        return Err(Error::damaged("its directory is not where its end says"));
    }
    if entries > limits.entries {
        return Err(Error::Entries { most: limits.entries });
    }
    source.seek(SeekFrom::Start(offset)).map_err(Error::Source)?;
    let mut source = BufReader::new(source).take(size);
    let mut records = Vec::new();
    for _ in 0..entries {
        records.push(record(&mut source, limits)?);
    }
    if source.limit() != 0 {
        return Err(Error::damaged("its directory has more entries than its end says"));
    }
    records.sort_by_key(|record| record.offset);
    Ok(Directory { start: offset, records })
}

fn record(mut source: impl Read, limits: &Limits) -> Result<Record, Error> {
    let head: [u8; 46] = exactly(&mut source)?;
    let mut fields = Fields(&head);
    if fields.u32()? != 0x0201_4b50 {
        return Err(Error::damaged("its directory has fewer entries than its end says"));
    }
    let [_version, system] = fields.u16()?.to_le_bytes();
    let _needed = fields.u16()?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    let _time = fields.u32()?;
    let sum = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let (name_length, extra_length, comment_length) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let disk = fields.u16()?;
    let _internal = fields.u16()?;
    let external = fields.u32()?;
    let offset = fields.u32()?;
    let name = piece(&mut source, name_length.into())?;
    if name.len() > limits.path_length {
        return Err(Error::PathLength { path: shown(&name), most: limits.path_length });
    }
    let extra = piece(&mut source, extra_length.into())?;
    piece(&mut source, comment_length.into())?;
    if disk != 0 {
        return Err(parts());
    }
    if let Some(what) = unreadable(flags, method) {
        return Err(Error::Refused { path: shown(&name), what });
    }
    fields::same_name(&extra, &name)?;
    let (sizes, offset) = Sizes::central(packed, size, offset, &extra, &name)?;
    if method == STORED && sizes.packed != sizes.size {
        return Err(Error::damaged(format!("`{}` is stored, and has two sizes all the same", shown(&name))));
    }
    let mode = UNIX.contains(&system).then_some(external >> 16);
    Ok(Record { name, flags, method, sum, sizes, offset, mode })
}

fn unreadable(flags: u16, method: u16) -> Option<&'static str> {
    match method {
        _ if flags & ENCRYPTED != 0 => Some("encrypted: pack it without a password"),
        99 => Some("encrypted: pack it without a password"),
        _ if flags & PATCH != 0 => Some("a patch: pack the whole file"),
        STORED | DEFLATED => None,
        9 => Some("packed with Deflate64: pack it with Deflate"),
        12 => Some("packed with bzip2: pack it with Deflate"),
        14 => Some("packed with LZMA: pack it with Deflate"),
        93 => Some("packed with zstd: pack it with Deflate"),
        95 => Some("packed with xz: pack it with Deflate"),
        _ => Some("packed by a method that is not known: pack it with Deflate"),
    }
}

fn parts() -> Error {
    Error::Format { found: "the file is a part of a ZIP archive of several parts" }
}

/// Finds the end, which is at the very end. Its comment may be anything, but not hold another end that would fit as well.
fn find(mut source: impl Read + Seek, size: u64) -> Result<End, Error> {
    let length = size.min(END + u64::from(u16::MAX));
    source.seek(SeekFrom::Start(size - length)).map_err(Error::Source)?;
    let tail = piece(&mut source, length)?;
    let mut found = None;
    for at in 0..tail.len() {
        let Some(rest) = tail.get(at..).filter(|rest| rest.starts_with(b"PK\x05\x06")) else { continue };
        let comment = rest.get(20..22).and_then(|field| field.try_into().ok()).map(u16::from_le_bytes);
        if comment.is_some_and(|comment| END + u64::from(comment) == rest.len() as u64)
            && found.replace((size - rest.len() as u64, rest)).is_some()
        {
            return Err(Error::damaged("it has two ends"));
        }
    }
    let (position, end) = found.ok_or_else(|| Error::damaged("it has no end, or something follows it"))?;
    let mut fields = Fields(end);
    let _signature = fields.u32()?;
    let (disk, directory_disk) = (fields.u16()?, fields.u16()?);
    let (here, entries) = (fields.u16()?, fields.u16()?);
    let (size, offset) = (fields.u32()?, fields.u32()?);
    let large = match position.checked_sub(LOCATOR) {
        Some(locator) => large(&mut source, locator)?,
        None => None,
    };
    let fits = |small: u64, saturated: u64, large: u64| small == large || small == saturated;
    match large {
        Some(large) => {
            let agree = fits(entries.into(), u16::MAX.into(), large.entries)
                && fits(here.into(), u16::MAX.into(), large.entries)
                && fits(size.into(), u32::MAX.into(), large.size)
                && fits(offset.into(), u32::MAX.into(), large.offset)
                && [disk, directory_disk].iter().all(|disk| matches!(*disk, 0 | u16::MAX));
            if agree { Ok(large) } else { Err(Error::damaged("its two ends contradict each other")) }
        }
        None if disk != 0 || directory_disk != 0 || here != entries => Err(parts()),
        None => Ok(End { entries: entries.into(), size: size.into(), offset: offset.into(), position }),
    }
}

/// The end with numbers of 64 bits, if there is one: it is right before what tells where it is.
fn large(mut source: impl Read + Seek, locator: u64) -> Result<Option<End>, Error> {
    source.seek(SeekFrom::Start(locator)).map_err(Error::Source)?;
    let data: [u8; LOCATOR as usize] = exactly(&mut source)?;
    let mut fields = Fields(&data);
    if fields.u32()? != 0x0706_4b50 {
        return Ok(None);
    }
    let (disk, position, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
    if disk != 0 || disks != 1 {
        return Err(parts());
    }
    if position.checked_add(LARGE_END) != Some(locator) {
        return Err(Error::damaged("its end is not where it says"));
    }
    source.seek(SeekFrom::Start(position)).map_err(Error::Source)?;
    let data: [u8; LARGE_END as usize] = exactly(&mut source)?;
    let mut fields = Fields(&data);
    if (fields.u32()?, fields.u64()?) != (0x0606_4b50, LARGE_END - 12) {
        return Err(Error::damaged("its end is not where it says"));
    }
    let _versions = fields.u32()?;
    let disks = (fields.u32()?, fields.u32()?);
    let (here, entries) = (fields.u64()?, fields.u64()?);
    let (size, offset) = (fields.u64()?, fields.u64()?);
    if disks != (0, 0) || here != entries {
        return Err(parts());
    }
    Ok(Some(End { entries, size, offset, position }))
}
