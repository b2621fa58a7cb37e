//! Everything that the reconcilers log, kept to be searched for what must not be there.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use tracing_subscriber::{filter::EnvFilter, fmt::MakeWriter};

static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Keep;

impl io::Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        KEPT.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Keeper;

impl<'a> MakeWriter<'a> for Keeper {
    type Writer = Keep;

    fn make_writer(&'a self) -> Keep {
        Keep
    }
}

/// Keeps the logs from here on, the most detailed of the project's own included.
pub fn keep() {
    let filter = EnvFilter::new("info,cloudfaster=debug,kube=debug,reqwest=debug");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::NEW)
        .with_writer(Keeper)
        .init();
}

/// What was logged so far, by all tests of this process.
pub fn kept() -> Arc<str> {
    String::from_utf8_lossy(&KEPT.lock()).into()
}

/// Writes what was logged so far to a file, for whoever looks into a failure.
pub fn write() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("machines.log");
    std::fs::write(&path, &*KEPT.lock()).expect("the logs are written");
    path
}
