//! The content of an entry of a ZIP file.

use std::io::{self, BufRead, Read, Take};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{DEFLATED, Meter, Record};
use crate::docker::content::{Error, error::shown};

/// An entry's content as it is unpacked, checked against what was said of it.
pub(super) struct Body<'a, R> {
    packed: Take<R>,
    /// Of a deflated one.
    inflate: Option<&'a mut Decompress>,
    ended: bool,
    meter: &'a mut Meter,
    record: &'a Record,
    sum: Crc,
    size: u64,
}

impl<'a, R: BufRead> Body<'a, R> {
    pub(super) fn new(packed: Take<R>, inflate: &'a mut Decompress, meter: &'a mut Meter, record: &'a Record) -> Self {
        inflate.reset(false);
        let inflate = (record.method == DEFLATED).then_some(inflate);
        Self { packed, inflate, ended: false, meter, record, sum: Crc::new(), size: 0 }
    }

    /// Judges what was read, which has to be all.
    pub(super) fn finish(self) -> Result<(), Error> {
        let name = shown(&self.record.name);
        let damaged = |what: &str| Err(Error::damaged(format!("`{name}` {what}")));
        if self.packed.limit() != 0 {
            damaged("is followed by something within its own bytes")
        } else if self.size != self.record.sizes.size {
            damaged("has not the size that the directory says")
        } else if self.sum.sum() != self.record.sum {
            damaged("has not the checksum that the directory says")
        } else {
            Ok(())
        }
    }
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        let count = match &mut self.inflate {
            Some(state) => inflate(&mut self.packed, state, into)?,
            None => match self.packed.read(into)? {
                0 if self.packed.limit() != 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            },
        };
        self.ended = count == 0;
        self.meter.count(count)?;
        self.size = self.size.saturating_add(count as u64);
        if self.size > self.record.sizes.size {
            let name = shown(&self.record.name);
            return Err(io::Error::other(Error::damaged(format!("`{name}` is larger than the directory says"))));
        }
        self.sum.update(into.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Unpacks some bytes; none once the deflated content has ended of itself.
fn inflate(packed: &mut impl BufRead, state: &mut Decompress, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let (taken, given) = (state.total_in(), state.total_out());
        let input = packed.fill_buf()?;
        let last = input.is_empty();
        let flush = if last { FlushDecompress::Finish } else { FlushDecompress::None };
        let status = state.decompress(input, into, flush);
        // The library's own error has no kind that tells it from one of the disk.
        let status = status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let taken = usize::try_from(state.total_in().saturating_sub(taken)).unwrap_or_default();
        let given = usize::try_from(state.total_out().saturating_sub(given)).unwrap_or_default();
        packed.consume(taken);
        match status {
            _ if given > 0 => return Ok(given),
            Status::StreamEnd => return Ok(0),
            Status::Ok | Status::BufError if last => return Err(io::ErrorKind::UnexpectedEof.into()),
            Status::Ok | Status::BufError if taken == 0 => return Err(io::ErrorKind::InvalidData.into()),
            Status::Ok | Status::BufError => {}
        }
    }
}
