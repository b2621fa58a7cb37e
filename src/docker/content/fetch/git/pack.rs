//! What a pack would become, found out before anything of it is unpacked: a few bytes can stand for terabytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::ZlibDecoder;

use super::super::{Error, Result};

/// How large what a pack holds may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub objects: u64,
    /// Bytes of one object.
    pub object: u64,
    /// Bytes of all objects.
    pub total: u64,
}

const OFFSET_DELTA: u8 = 6;
const REFERENCE_DELTA: u8 = 7;

/// Goes through a pack, as received, and adds up what is in it. How many objects there are.
///
/// # Errors
/// [`Error::TooLarge`], and [`Error::Protocol`] if it is no pack.
pub(super) fn survey(pack: &mut dyn BufRead, bounds: Bounds, host: &str, name: &str) -> Result<u64> {
    let Bounds { objects, object, total } = bounds;
    let broken =
        |error: io::Error| Error::Protocol { host: host.to_owned(), reason: format!("a broken pack: {error}") };
    let large =
        |what: &str, limit: u64, unit: &'static str| Error::TooLarge { what: format!("{what} {name}"), limit, unit };
    let count = u64::from(header(pack).map_err(broken)?);
    if count > objects {
        return Err(large("the history of", objects, "objects"));
    }
    let mut sum: u64 = 0;
    for _ in 0..count {
        let (kind, size) = entry(pack).map_err(broken)?;
        if size > object {
            return Err(large("a file in", object, "bytes"));
        }
        let becomes = unpack(pack, kind, size).map_err(broken)?;
        if becomes > object {
            return Err(large("a file in", object, "bytes"));
        }
        sum = sum.saturating_add(becomes);
        if sum > total {
            return Err(large("all that is in", total, "bytes"));
        }
    }
    Ok(count)
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

/// The kind and the size of what follows; of a delta, its own size.
fn entry(pack: &mut dyn BufRead) -> io::Result<(u8, u64)> {
    let first = byte(pack)?;
    let kind = (first >> 4) & 7;
    let mut size = u64::from(first & 15);
    let mut shift = 4;
    let mut more = first & 0x80 != 0;
    while more {
        let next = byte(pack)?;
        size |= bits(next, shift)?;
        shift = shift.saturating_add(7);
        more = next & 0x80 != 0;
    }
    match kind {
        1..=4 => {}
        OFFSET_DELTA => while byte(pack)? & 0x80 != 0 {},
        REFERENCE_DELTA => pack.read_exact(&mut [0; 20])?,
        _ => return Err(invalid("an object of an unknown kind")),
    }
    Ok((kind, size))
}

fn bits(of: u8, shift: u32) -> io::Result<u64> {
    let value = u64::from(of & 0x7f);
    match value.checked_shl(shift) {
        Some(shifted) if shifted >> shift == value => Ok(shifted),
        Some(_) | None => Err(invalid("a size that is none")),
    }
}

/// Reads an object that claims to have a size, and gives the size of what it becomes.
fn unpack(pack: &mut dyn BufRead, kind: u8, size: u64) -> io::Result<u64> {
    let mut content = ZlibDecoder::new(pack).take(size.saturating_add(1));
    let mut start = Vec::new();
    content.by_ref().take(32).read_to_end(&mut start)?;
    let rest = io::copy(&mut content, &mut io::sink())?;
    if rest.saturating_add(start.len() as u64) != size {
        return Err(invalid("an object of another size than it says"));
    }
    if kind != OFFSET_DELTA && kind != REFERENCE_DELTA {
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
mod tests {
    use std::io::{Cursor, Write};

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { objects: 3, object: 1000, total: 2500 };

    fn deflate(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn object(kind: u8, claimed: usize, base: &[u8], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![(kind << 4) | (claimed & 15) as u8 | 0x80];
        bytes.extend([
            ((claimed >> 4) & 0x7f) as u8 | 0x80,
            ((claimed >> 11) & 0x7f) as u8 | 0x80,
            (claimed >> 18) as u8,
        ]);
        bytes.extend(base);
        bytes.extend(deflate(content));
        bytes
    }

    fn pack(count: u32, objects: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"PACK\0\0\0\x02".to_vec();
        bytes.extend(count.to_be_bytes());
        objects.iter().for_each(|object| bytes.extend(object));
        bytes
    }

    fn look(pack: Vec<u8>) -> String {
        match survey(&mut Cursor::new(pack), BOUNDS, "git.example", "the repository") {
            Ok(count) => count.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_a_pack_becomes_is_added_up() {
        let blob = |size: usize| object(3, size, &[], &vec![0; size]);
        let delta = |content: &[u8]| object(OFFSET_DELTA, content.len(), &[0x81, 0x01], content);
        for (bytes, expected) in [
            (pack(0, &[]), "0"),
            (pack(1, &[blob(1000)]), "1"),
            (pack(2, &[blob(20), delta(&[20, 0xe8, 0x07])]), "2"),
            (pack(1, &[object(REFERENCE_DELTA, 2, &[7; 20], &[20, 30])]), "1"),
            (pack(1, &[blob(1001)]), "a file in the repository is larger than 1000 bytes"),
            (pack(1, &[delta(&[20, 0xe9, 0x07])]), "a file in the repository is larger than 1000 bytes"),
            (pack(1, &[delta(&[20, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])]), "larger than 1000 bytes"),
            (pack(3, &[blob(900), blob(900), blob(900)]), "all that is in the repository is larger than 2500 bytes"),
            (pack(4, &[]), "the history of the repository is larger than 3 objects"),
            (pack(u32::MAX, &[]), "larger than 3 objects"),
            (pack(1, &[object(3, 10, &[], &[0; 5000])]), "another size"),
            (pack(1, &[object(3, 500, &[], &[0; 10])]), "another size"),
            (pack(1, &[object(5, 1, &[], &[0])]), "unknown kind"),
            (pack(1, &[]), "a broken pack"),
            (pack(1, &[vec![0xbf; 40]]), "a size that is none"),
            (b"<html>no pack at all".to_vec(), "does not begin as a pack"),
        ] {
            let found = look(bytes);
            assert!(found.contains(expected), "{found} instead of {expected}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_survived(garbage in proptest::collection::vec(any::<u8>(), 0..200), count in 0..4u32) {
            look(pack(count, &[garbage]));
        }
    }
}
