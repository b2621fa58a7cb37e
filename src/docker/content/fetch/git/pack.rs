//! What a pack would become, found out before anything of it is unpacked: a few bytes can stand for terabytes.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read},
};

use flate2::bufread::ZlibDecoder;

use super::super::{Error, Result};

/// How large what a pack holds may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub objects: u64,
    /// Bytes of one object.
    pub object: u64,
    /// Bytes of all objects, and of the differences that some of them are sent as.
    pub total: u64,
}

impl Bounds {
    /// Bytes of an object and of those that it is a difference to, one after another: they are in memory together.
    fn chain(self) -> u64 {
        self.object.saturating_mul(4)
    }

    /// Bytes that the library may take for one thing, which for an object that is a difference are those of its base and
    /// of the difference too.
    pub(super) fn memory(self) -> Option<usize> {
        usize::try_from(self.chain()).ok()
    }
}

const OFFSET_DELTA: u8 = 6;
const REFERENCE_DELTA: u8 = 7;

/// How many differences git itself builds on each other at most.
const DEPTH: u32 = 4095;

/// How many differences to objects that are given by name are taken in; finding those takes time.
const NAMED: u32 = 20_000;

/// An object, and what has to be unpacked before it.
#[derive(Clone, Copy, Default)]
struct Chain {
    depth: u32,
    bytes: u64,
}

/// Goes through a pack, as received, and adds up what is in it. How many objects there are.
///
/// # Errors
/// [`Error::TooLarge`], and [`Error::Protocol`] if it is no pack.
pub(super) fn survey(pack: &mut dyn BufRead, bounds: Bounds, host: &str, name: &str) -> Result<u64> {
    let broken =
        |error: io::Error| Error::Protocol { host: host.to_owned(), reason: format!("a broken pack: {error}") };
    let large = |what: &str, limit: u64, unit: &'static str| {
        Err(Error::TooLarge { what: format!("{what} {name}"), limit, unit })
    };
    let mut pack = Counted { from: pack, at: 0 };
    let count = u64::from(header(&mut pack).map_err(broken)?);
    if count > bounds.objects {
        return large("the history of", bounds.objects, "objects");
    }
    let mut sum: u64 = 0;
    let mut chains: HashMap<u64, Chain> = HashMap::new();
    // Which object a name stands for is not known yet: as if each of these were built on all before it.
    let mut named = Chain::default();
    let mut by_name: u32 = 0;
    for _ in 0..count {
        let at = pack.at;
        let Entry { base, size } = entry(&mut pack, at).map_err(broken)?;
        if size > bounds.object {
            return large("a file in", bounds.object, "bytes");
        }
        let becomes = unpack(&mut pack, base, size).map_err(broken)?;
        if becomes > bounds.object {
            return large("a file in", bounds.object, "bytes");
        }
        let below = match base {
            Base::None => Chain::default(),
            Base::At(offset) => {
                sum = sum.saturating_add(size);
                let found = chains.get(&offset).copied();
                found.ok_or_else(|| broken(invalid("a difference to what is not there")))?
            }
            Base::Named => {
                sum = sum.saturating_add(size);
                named
            }
        };
        let chain = Chain { depth: below.depth.saturating_add(1), bytes: below.bytes.saturating_add(becomes) };
        if base == Base::Named {
            named.bytes = chain.bytes;
            by_name = by_name.saturating_add(1);
            if by_name > NAMED {
                return large("what differences are built on in", NAMED.into(), "objects");
            }
        }
        sum = sum.saturating_add(becomes);
        if sum > bounds.total {
            return large("all that is in", bounds.total, "bytes");
        }
        if chain.bytes > bounds.chain() {
            return large("what differences are built on in", bounds.chain(), "bytes");
        }
        if chain.depth > DEPTH {
            return large("what differences are built on in", DEPTH.into(), "objects");
        }
        chains.insert(at, chain);
    }
    Ok(count)
}

/// What comes before an object's content.
struct Entry {
    base: Base,
    /// Bytes of the object, or of the difference that it is sent as.
    size: u64,
}

/// What an object is sent as a difference to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    None,
    /// To the object there in the pack.
    At(u64),
    /// To an object that is given by its name.
    Named,
}

/// Counts what is read.
struct Counted<'a> {
    from: &'a mut dyn BufRead,
    at: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.at.saturating_add(amount as u64);
        self.from.consume(amount);
    }
}

fn byte(from: &mut dyn BufRead) -> io::Result<u8> {
    let mut one = [0];
    from.read_exact(&mut one)?;
    let [one] = one;
    Ok(one)
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The number of objects.
fn header(pack: &mut dyn BufRead) -> io::Result<u32> {
    let mut magic = [0; 8];
    pack.read_exact(&mut magic)?;
    if magic != *b"PACK\0\0\0\x02" {
        return Err(invalid("it does not begin as a pack does"));
    }
    let mut count = [0; 4];
    pack.read_exact(&mut count)?;
    Ok(u32::from_be_bytes(count))
}

fn entry(pack: &mut dyn BufRead, at: u64) -> io::Result<Entry> {
    let first = byte(pack)?;
    let mut size = u64::from(first & 15);
    let mut shift = 4;
    let mut more = first & 0x80 != 0;
    while more {
        let next = byte(pack)?;
        size |= bits(next, shift)?;
        shift = shift.saturating_add(7);
        more = next & 0x80 != 0;
    }
    let base = match (first >> 4) & 7 {
        1..=4 => Base::None,
        OFFSET_DELTA => {
            let back = distance(pack)?;
            Base::At(at.checked_sub(back).ok_or_else(|| invalid("a difference to what is not there"))?)
        }
        REFERENCE_DELTA => {
            pack.read_exact(&mut [0; 20])?;
            Base::Named
        }
        _ => return Err(invalid("an object of an unknown kind")),
    };
    Ok(Entry { base, size })
}

/// How far back the object is that another is a difference to.
fn distance(pack: &mut dyn BufRead) -> io::Result<u64> {
    let mut next = byte(pack)?;
    let mut value = u64::from(next & 0x7f);
    while next & 0x80 != 0 {
        next = byte(pack)?;
        let more = value.checked_add(1).and_then(|value| value.checked_mul(128));
        value = more.ok_or_else(|| invalid("a size that is none"))? | u64::from(next & 0x7f);
    }
    Ok(value)
}

fn bits(of: u8, shift: u32) -> io::Result<u64> {
    let value = u64::from(of & 0x7f);
    match value.checked_shl(shift) {
        Some(shifted) if shifted >> shift == value => Ok(shifted),
        Some(_) | None => Err(invalid("a size that is none")),
    }
}

/// Reads an object that claims to have a size, and gives the size of what it becomes.
fn unpack(pack: &mut dyn BufRead, base: Base, size: u64) -> io::Result<u64> {
    let mut content = ZlibDecoder::new(pack).take(size.saturating_add(1));
    let mut start = Vec::new();
    content.by_ref().take(32).read_to_end(&mut start)?;
    let rest = io::copy(&mut content, &mut io::sink())?;
    if rest.saturating_add(start.len() as u64) != size {
        return Err(invalid("an object of another size than it says"));
    }
    if base == Base::None {
        return Ok(size);
    }
    let mut start = start.as_slice();
    length(&mut start)?;
    length(&mut start)
}

/// A length as deltas write it.
fn length(from: &mut &[u8]) -> io::Result<u64> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let next = byte(from)?;
        value |= bits(next, shift)?;
        shift = shift.saturating_add(7);
        if next & 0x80 == 0 {
            return Ok(value);
        }
    }
}

#[cfg(test)]
mod tests;
