//! Tar: the old format, POSIX's, and GNU's.

mod number;
mod pax;

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::{exactly, piece};
use crate::docker::content::{Builder, Error, error::shown};
use number::{is_sum_right, number};
use pax::Extended;

/// Tar consists of blocks of so many bytes.
pub(super) const BLOCK: usize = 512;
/// How large an extended header may be, in bytes. Attributes of files, which are not kept, take most of it.
const EXTENDED: u64 = 1 << 20;
/// How many bytes of nothing may follow an archive's end. Some programs fill records up, of 10 KiB for the most part.
const PADDING: u64 = 16 << 20;

/// What entries before an entry say of it.
#[derive(Default)]
struct Before {
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    extended: Option<Extended>,
}

/// Whether a tar archive may begin like this; an empty one begins with its end.
pub(super) fn is_start(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|block| block == &[0; BLOCK] || is_sum_right(block))
}

/// Reads an archive to the end of the source.
pub(super) fn read(mut source: impl Read, builder: &mut Builder) -> Result<(), Error> {
    let mut before = Before::default();
    let mut globals = 0_u64;
    loop {
        let block: [u8; BLOCK] = exactly(&mut source)?;
        if block == [0; BLOCK] {
            return end(source, &before);
        }
        if !is_sum_right(&block) {
            return Err(Error::damaged("the checksum of a header is wrong"));
        }
        let header = Header::from_byte_slice(&block);
        let size = number(&header.as_old().size).ok_or_else(|| Error::damaged("a header has no proper size"))?;
        let name = header.path_bytes();
        let most = builder.limits().path_length as u64;
        match header.entry_type() {
            EntryType::GNULongName => once(&mut before.long_name, long(&mut source, size, most)?)?,
            EntryType::GNULongLink => once(&mut before.long_target, long(&mut source, size, most)?)?,
            EntryType::XHeader => once(&mut before.extended, pax::parse(&extended(&mut source, size)?)?)?,
            EntryType::XGlobalHeader => {
                globals = globals.saturating_add(1);
                if globals > builder.limits().entries {
                    return Err(Error::Entries { most: builder.limits().entries });
                }
                if pax::parse(&extended(&mut source, size)?)? != Extended::default() {
                    return Err(Error::damaged("a header says of all entries what can hold for one only"));
                }
            }
            kind => {
                let Before { long_name, long_target, extended } = std::mem::take(&mut before);
                let Extended { path, target, size: real } = extended.unwrap_or_default();
                if real.is_some_and(|real| real != size) {
                    return Err(Error::damaged("an entry has two sizes"));
                }
                let name = either(long_name, path)?.unwrap_or_else(|| name.into_owned());
                let short = || header.link_name_bytes().unwrap_or_default().into_owned();
                let target = either(long_target, target)?.unwrap_or_else(short);
                let executable = number(&header.as_old().mode).is_some_and(|mode| mode & 0o100 != 0);
                entry(&mut source, builder, Entry { kind, name: &name, target: &target, size, executable })?;
            }
        }
        pad(&mut source, size)?;
    }
}

/// An entry with all that was said of it.
struct Entry<'a> {
    kind: EntryType,
    name: &'a [u8],
    target: &'a [u8],
    size: u64,
    executable: bool,
}

fn entry(source: impl Read, builder: &mut Builder, entry: Entry<'_>) -> Result<(), Error> {
    let Entry { kind, name, target, size, executable } = entry;
    let refused = |what| Err(Error::Refused { path: shown(name), what });
    match kind {
        // Before there was a kind for folders, they were told by their names.
        EntryType::Directory => {}
        EntryType::Regular if name.ends_with(b"/") => {}
        EntryType::Regular | EntryType::Continuous => {
            let mut content = source.take(size);
            builder.file(name, executable, &mut content)?;
            return match content.limit() {
                0 => Ok(()),
                _ => Err(Error::damaged(format!("it ends within `{}`", shown(name)))),
            };
        }
        EntryType::Link | EntryType::Symlink => {}
        EntryType::Char | EntryType::Block => return refused("a device: leave it out"),
        EntryType::Fifo => return refused("a named pipe: leave it out"),
        EntryType::GNUSparse => return refused("a sparse file: pack it without `--sparse`"),
        _ => return refused("of a kind that is not known: pack only files, folders and links"),
    }
    match kind {
        _ if size != 0 => refused("no file and has content all the same: pack it again"),
        EntryType::Link => builder.copy(name, target),
        EntryType::Symlink => builder.link(name, target),
        _ => builder.folder(name),
    }
}

/// Takes what may be said once before each entry.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::damaged("an entry is named twice")),
    }
}

fn either(gnu: Option<Vec<u8>>, posix: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Error> {
    match (gnu, posix) {
        (Some(_), Some(_)) => Err(Error::damaged("an entry is named twice")),
        (gnu, posix) => Ok(gnu.or(posix)),
    }
}

/// The name that is the content of an entry, with a zero at its end.
fn long(source: impl Read, size: u64, most: u64) -> Result<Vec<u8>, Error> {
    if size > most.saturating_add(1) {
        let start = piece(source, size.min(most.min(EXTENDED)))?;
        return Err(Error::PathLength { path: shown(&start), most: usize::try_from(most).unwrap_or(usize::MAX) });
    }
    let mut name = piece(source, size)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn extended(source: impl Read, size: u64) -> Result<Vec<u8>, Error> {
    if size > EXTENDED {
        return Err(Error::damaged(format!("an extended header is larger than {EXTENDED} bytes")));
    }
    piece(source, size)
}

/// Skips what fills a content's last block up.
fn pad(source: impl Read, size: u64) -> Result<(), Error> {
    let block = BLOCK as u64;
    piece(source, (block - size % block) % block).map(drop)
}

/// An archive ends with two empty blocks, and nothing is said after them.
fn end(mut source: impl Read, before: &Before) -> Result<(), Error> {
    let Before { long_name: None, long_target: None, extended: None } = before else {
        return Err(Error::damaged("it ends before the last entry"));
    };
    let mut nothing = exactly::<BLOCK>(&mut source)? == [0; BLOCK];
    let mut padding = 0_u64;
    let mut rest = [0; 8 * BLOCK];
    while nothing {
        match source.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                padding = padding.saturating_add(count as u64);
                nothing = padding <= PADDING && rest.iter().take(count).all(|byte| *byte == 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::of_reader(error)),
        }
    }
    Err(Error::damaged("there is something after its end"))
}
