//! ZIP, stored or deflated.
//!
//! Everything in a ZIP file is said twice: before each entry, and in the directory at the end. Here both have to say the same,
//! and entries, directory and end have to fill the file without a gap. So there is nothing in it that one
//! program sees and another does not, and entries cannot share their bytes (by which small files unpack to
//! terabytes). A library that reads ZIP leniently knows only one of each pair of things that contradict each other, and it
//! holds the whole directory in memory before any limit can be applied; so the structure is read here.

mod body;
mod directory;
mod fields;

use std::io::{BufReader, Read, Seek};

use flate2::Decompress;

use super::{Meter, exactly, piece};
use crate::docker::content::{Builder, Error, error::shown};
use body::Body;
use directory::{Directory, Record};
use fields::{Fields, Sizes};

/// Of a general flag: the sizes follow the content.
const DESCRIPTOR: u16 = 1 << 3;
/// Encrypted in one of three ways, or a patch to another file.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const PATCH: u16 = 1 << 5;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The kind of file in a Unix mode.
const KIND: u32 = 0o170_000;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File { executable: bool },
    Link,
}

/// Reads an archive of so many bytes.
pub(super) fn read(
    mut source: impl Read + Seek,
    size: u64,
    meter: &mut Meter,
    builder: &mut Builder,
) -> Result<(), Error> {
    let Directory { start, records } = directory::read(&mut source, size, builder.limits())?;
    source.rewind().map_err(Error::Source)?;
    let mut source = BufReader::new(source);
    let mut inflate = Decompress::new(false);
    let mut at = 0_u64;
    let mut following = records.iter().skip(1).map(|record| record.offset).chain([start]);
    for record in &records {
        let next = following.next().unwrap_or(start);
        if record.offset != at {
            return Err(Error::damaged("there is something before its first entry"));
        }
        let known = local(&mut source, record)?;
        let content_end = at.checked_add(known.length).and_then(|start| start.checked_add(record.sizes.packed));
        let gap = content_end.and_then(|end| next.checked_sub(end)).ok_or_else(|| overlap(record))?;
        let mut body = Body::new(source.by_ref().take(record.sizes.packed), &mut inflate, meter, record);
        entry(record, &mut body, builder)?;
        body.finish()?;
        descriptor(&mut source, record, gap)?;
        at = next;
    }
    if at != start {
        return Err(Error::damaged("there is something before its directory"));
    }
    Ok(())
}

fn overlap(record: &Record) -> Error {
    Error::damaged(format!("`{}` and the entry after it share bytes", shown(&record.name)))
}

/// What the header before an entry is worth knowing.
struct Local {
    /// In bytes, name and all.
    length: u64,
}

/// Reads the header before an entry, which has to say what the directory says.
fn local(mut source: impl Read, record: &Record) -> Result<Local, Error> {
    let contradiction = |what: &str| {
        Error::damaged(format!("the directory and the entry of `{}` differ in {what}", shown(&record.name)))
    };
    let head: [u8; 30] = exactly(&mut source)?;
    let mut fields = Fields(&head);
    if fields.u32()? != 0x0403_4b50 {
        return Err(Error::damaged(format!("`{}` is not where the directory says", shown(&record.name))));
    }
    let _version = fields.u16()?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    let _time = fields.u32()?;
    let sum = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let (name_length, extra_length) = (fields.u16()?, fields.u16()?);
    if usize::from(name_length) != record.name.len() {
        return Err(contradiction("the name"));
    }
    let name = piece(&mut source, name_length.into())?;
    let extra = piece(&mut source, extra_length.into())?;
    if name != record.name {
        return Err(contradiction("the name"));
    }
    if flags != record.flags {
        return Err(contradiction("the flags"));
    }
    if method != record.method {
        return Err(contradiction("the method"));
    }
    fields::same_name(&extra, &name)?;
    let sizes = Sizes::local(packed, size, &extra, &name)?;
    let is = |said: u64, real: u64| said == real || (record.flags & DESCRIPTOR != 0 && said == 0);
    if !is(sizes.packed, record.sizes.packed) || !is(sizes.size, record.sizes.size) {
        return Err(contradiction("the size"));
    }
    if !is(sum.into(), record.sum.into()) {
        return Err(contradiction("the checksum"));
    }
    Ok(Local { length: 30 + u64::from(name_length) + u64::from(extra_length) })
}

/// Reads what follows the content: nothing, or once more the sizes, in one of four forms that their length tells.
fn descriptor(mut source: impl Read, record: &Record, gap: u64) -> Result<(), Error> {
    let stray =
        || Error::damaged(format!("there is something after `{}` that belongs to no entry", shown(&record.name)));
    let expected = record.flags & DESCRIPTOR != 0;
    match gap {
        0 if !expected => return Ok(()),
        12 | 16 | 20 | 24 if expected => {}
        _ => return Err(stray()),
    }
    let data = piece(&mut source, gap)?;
    let mut fields = Fields(&data);
    if matches!(gap, 16 | 24) && fields.u32()? != 0x0807_4b50 {
        return Err(stray());
    }
    let sum = fields.u32()?;
    let (packed, size) =
        if gap < 20 { (fields.u32()?.into(), fields.u32()?.into()) } else { (fields.u64()?, fields.u64()?) };
    if (sum, packed, size) != (record.sum, record.sizes.packed, record.sizes.size) {
        let name = shown(&record.name);
        return Err(Error::damaged(format!("what follows `{name}` differs from what the directory says of it")));
    }
    Ok(())
}

fn entry(record: &Record, body: &mut Body<'_, impl std::io::BufRead>, builder: &mut Builder) -> Result<(), Error> {
    let Record { name, .. } = record;
    let refused = |what| Err(Error::Refused { path: shown(name), what });
    match kind(record)? {
        Kind::Folder => {
            if record.sizes.size != 0 {
                return refused("a folder and has content all the same: pack it again");
            }
            builder.folder(name)?;
            // A folder may be nothing, deflated.
            std::io::copy(body, &mut std::io::sink()).map_err(Error::of_reader).map(drop)
        }
        Kind::File { executable } => builder.file(name, executable, body),
        Kind::Link => {
            let most = builder.limits().path_length as u64;
            let mut target = Vec::new();
            body.take(most.saturating_add(1)).read_to_end(&mut target).map_err(Error::of_reader)?;
            builder.link(name, &target)
        }
    }
}

/// What an entry is, by its name and, where the archive was made on Unix, by its mode.
fn kind(record: &Record) -> Result<Kind, Error> {
    let refused = |what| Err(Error::Refused { path: shown(&record.name), what });
    let folder = record.name.ends_with(b"/");
    let mode = record.mode.unwrap_or_default();
    match mode & KIND {
        0 | 0o100_000 if folder => Ok(Kind::Folder),
        0o040_000 if folder => Ok(Kind::Folder),
        0 | 0o100_000 => Ok(Kind::File { executable: mode & 0o100 != 0 }),
        0o040_000 => refused("a folder by its mode and a file by its name: pack it again"),
        0o120_000 if folder => refused("a link by its mode and a folder by its name: pack it again"),
        0o120_000 => Ok(Kind::Link),
        0o020_000 | 0o060_000 => refused("a device: leave it out"),
        0o010_000 => refused("a named pipe: leave it out"),
        0o140_000 => refused("a socket: leave it out"),
        _ => refused("of a kind that is not known: pack only files, folders and links"),
    }
}
