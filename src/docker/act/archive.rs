//! Content on its way to an engine.

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::docker::delivery::Parcel;

/// In how large pieces an archive is sent, in bytes.
const PIECE: usize = 64 << 10;
/// How many of them wait at most.
const WAITING: usize = 8;
/// The two blocks of zeros that end an archive: what comes after them is not read.
const END: usize = 1024;

/// A parcel as tar, piece by piece, behind the entries of another archive, or nothing. One that cannot be read to its end ends with an error, so that nobody takes it for whole.
pub(super) fn stream(parcel: Parcel, first: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (pieces, received) = mpsc::channel(WAITING);
    let written = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PIECE, Pieces(pieces));
        let folders: Vec<&str> = parcel.folders.iter().map(String::as_str).collect();
        parcel.content.write_tar(&folders, &mut out)?;
        out.flush()
    });
    let end = stream::once(async move {
        match written.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(_) => Some(Err(io::Error::other("the archive could not be written to its end"))),
        }
    });
    let first = first.slice(..first.len().saturating_sub(END));
    let first = (!first.is_empty()).then_some(Ok(first));
    stream::iter(first).chain(ReceiverStream::new(received).map(Ok)).chain(end.filter_map(std::future::ready))
}

/// What is written is sent on.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the archive any more");
        self.0.blocking_send(Bytes::copy_from_slice(piece)).map_err(gone)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
