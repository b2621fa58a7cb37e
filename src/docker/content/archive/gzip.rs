//! Gzip, of one member or several.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Unpacks all members. After the last there may be zeros, by which bsdtar fills its records up, but nothing else.
pub(super) struct Members<R> {
    /// The member that is being read. None at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut().filter(|_| !into.is_empty()) {
            let count = member.read(into)?;
            if count > 0 {
                return Ok(count);
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else { break };
            match source.fill_buf()? {
                [] => {}
                [0, ..] => zeros(source)?,
                _ => self.member = Some(GzDecoder::new(source)),
            }
        }
        Ok(0)
    }
}

/// Reads to the end, where nothing but zeros may be.
fn zeros(mut source: impl BufRead) -> io::Result<()> {
    loop {
        let piece = source.fill_buf()?;
        if piece.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is something after the end of gzip"));
        }
        match piece.len() {
            0 => return Ok(()),
            length => source.consume(length),
        }
    }
}
