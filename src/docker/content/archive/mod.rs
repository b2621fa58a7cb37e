//! Archives, from whoever sent them.
//!
//! An archive has one meaning or none: whatever two programs may understand differently (names that are given twice,
//! sizes that contradict each other, bytes that belong to nothing) is refused, and so is all that is no file, folder or
//! symbolic link.

mod gzip;
mod tar;
mod zip;

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{Builder, Content, Error, Limits};
use gzip::Members;

/// What the beginning of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Zip,
    Tar,
    Gzip,
    Other(&'static str),
}

/// Reads a ZIP, tar or tar.gz archive, which is recognised by what is in it. What is in the archive stays where it is: a
/// single folder around everything is not taken away ([`Content::subtree`] does that).
///
/// Of modes, only whether the owner may run a file is kept. A hard link becomes a file of its own. Names are UTF-8, in
/// ZIP archives too, whatever they say. Reads and writes files, and so blocks.
///
/// # Errors
/// When the archive is not to be trusted, breaks a limit, is damaged, or cannot be read.
pub fn read(mut source: impl Read + Seek, limits: Limits) -> Result<Content, Error> {
    let size = source.seek(SeekFrom::End(0)).map_err(Error::Source)?;
    source.rewind().map_err(Error::Source)?;
    let mut start = Vec::new();
    source.by_ref().take(tar::BLOCK as u64).read_to_end(&mut start).map_err(Error::Source)?;
    source.rewind().map_err(Error::Source)?;
    let mut meter = Meter::new(size, &limits);
    let mut builder = Builder::new(limits)?;
    match recognise(&start) {
        Format::Zip => zip::read(source, size, &mut meter, &mut builder)?,
        Format::Tar => tar::read(Metered { inner: BufReader::new(source), meter: &mut meter }, &mut builder)?,
        Format::Gzip => {
            let mut unpacked = BufReader::new(Members::new(BufReader::new(source)));
            let start = io::BufRead::fill_buf(&mut unpacked).map_err(Error::of_reader)?;
            if recognise(start) != Format::Tar {
                return Err(Error::Format { found: "what is packed with gzip is no tar archive" });
            }
            tar::read(Metered { inner: unpacked, meter: &mut meter }, &mut builder)?;
        }
        Format::Other(found) => return Err(Error::Format { found }),
    }
    builder.finish()
}

fn recognise(start: &[u8]) -> Format {
    match start {
        [] => Format::Other("the file is empty"),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Zip,
        [b'P', b'K', 7, 8, ..] | [b'P', b'K', b'0', b'0', ..] => {
            Format::Other("the file is a part of a ZIP archive of several parts")
        }
        [0x1f, 0x8b, ..] => Format::Gzip,
        [b'B', b'Z', b'h', ..] => Format::Other("the file is packed with bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Other("the file is packed with xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Other("the file is packed with zstd"),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Format::Other("the file is a 7z archive"),
        [b'R', b'a', b'r', b'!', ..] => Format::Other("the file is a RAR archive"),
        start if tar::is_start(start) => Format::Tar,
        _ => Format::Other("the file is no archive, or a damaged one"),
    }
}

/// Counts what an archive unpacks to.
struct Meter {
    unpacked: u64,
    most: u64,
    ratio: u64,
}

impl Meter {
    fn new(packed: u64, limits: &Limits) -> Self {
        let most = packed.saturating_mul(limits.ratio).max(Limits::RATIO_FROM);
        Self { unpacked: 0, most, ratio: limits.ratio }
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.unpacked = self.unpacked.saturating_add(bytes as u64);
        if self.unpacked > self.most { Err(io::Error::other(Error::Ratio { most: self.ratio })) } else { Ok(()) }
    }
}

struct Metered<'a, R> {
    inner: R,
    meter: &'a mut Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.meter.count(count)?;
        Ok(count)
    }
}

/// Reads a piece whole.
fn exactly<const N: usize>(mut source: impl Read) -> Result<[u8; N], Error> {
    let mut piece = [0; N];
    source.read_exact(&mut piece).map_err(Error::of_reader)?;
    Ok(piece)
}

/// Reads a piece whole, whose length was limited before.
fn piece(source: impl Read, length: u64) -> Result<Vec<u8>, Error> {
    let mut piece = Vec::new();
    source.take(length).read_to_end(&mut piece).map_err(Error::of_reader)?;
    if piece.len() as u64 == length { Ok(piece) } else { Err(Error::damaged("it ends too early")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_how_they_begin() {
        for (start, expected) in [
            (b"PK\x03\x04rest".as_slice(), Format::Zip),
            (b"PK\x05\x06", Format::Zip),
            (b"\x1f\x8b\x08", Format::Gzip),
            (&[0; 512], Format::Tar),
        ] {
            assert_eq!(recognise(start), expected);
        }
        for start in [b"".as_slice(), b"PK\x07\x08", b"Rar!", b"hello", &[0; 511], &[1; 512]] {
            assert!(matches!(recognise(start), Format::Other(_)), "{start:?}");
        }
    }
}
