//! A pack on its way into a file, and the complaints that come in its place.

use std::{
    fs::File,
    io::{BufRead, Write},
    ops::ControlFlow,
    sync::Arc,
};

use gix_transport::client::blocking_io::ExtendedBufRead;
use parking_lot::Mutex;

use super::{super::error::chain, line::printable};

/// What the library, or the server through it, complains of.
pub(super) struct Failure(pub String);

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(chain(&error))
    }
}

/// Writes the pack that a server sends.
pub(super) fn receive<'a>(
    mut reader: Box<dyn ExtendedBufRead<'a> + Unpin + 'a>,
    into: &mut File,
) -> std::result::Result<(), Failure> {
    // In the old protocol, the library takes a complaint for the begin of the pack.
    if let Some(line) = reader.peek_data_line()
        && let Some(complaint) = line??.strip_prefix(b"ERR ")
    {
        return Err(Failure(printable(&String::from_utf8_lossy(complaint))));
    }
    let complaint = Arc::new(Mutex::new(Vec::new()));
    let heard = complaint.clone();
    // The bands are taken apart only if somebody listens.
    reader.set_progress_handler(Some(Box::new(move |is_error, text| {
        if is_error {
            heard.lock().extend(text.iter().take(400));
        }
        ControlFlow::Continue(())
    })));
    let copied = copy(&mut reader, into);
    let complaint = printable(&String::from_utf8_lossy(&complaint.lock()));
    match copied {
        Ok(()) if complaint.is_empty() => Ok(()),
        Err(error) if complaint.is_empty() => Err(error.into()),
        Ok(()) | Err(_) => Err(Failure(format!("it says {complaint:?}"))),
    }
}

fn copy(reader: &mut dyn BufRead, into: &mut File) -> std::io::Result<()> {
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        into.write_all(piece)?;
        let count = piece.len();
        reader.consume(count);
    }
}
