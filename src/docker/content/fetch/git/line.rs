//! What the parts of one exchange with a server share: its limits, whether it goes on, and what went wrong in it.
//!
//! The library reads and writes as if it could wait, in a thread that may; the sockets are those of the runtime.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::super::{Error, error::chain};

/// The line to one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    runtime: Handle,
    stop: Stop,
    host: String,
    /// How many bytes may still be received, and how many there were.
    left: AtomicU64,
    limit: AtomicU64,
    /// What happened first: the library only says that something did.
    failure: Mutex<Option<Error>>,
}

/// Ends an exchange from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    flag: Arc<AtomicBool>,
}

/// Ends an exchange when it is dropped.
pub(super) struct StopOnDrop(pub Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.flag.store(true, Ordering::Relaxed);
        self.0.token.cancel();
    }
}

impl Line {
    /// A line; to be made where there is a runtime.
    pub(super) fn new(host: String, stop: Stop, runtime: Handle) -> Self {
        Self(Arc::new(Shared {
            runtime,
            stop,
            host,
            left: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            failure: Mutex::new(None),
        }))
    }

    /// The server, as errors name it.
    pub(super) fn host(&self) -> String {
        self.0.host.clone()
    }

    /// Is set when the exchange has to end.
    pub(super) fn stopped(&self) -> &AtomicBool {
        &self.0.stop.flag
    }

    /// Allows so many bytes to be received, from now on.
    pub(super) fn allow(&self, bytes: u64) {
        self.0.left.store(bytes, Ordering::Relaxed);
        self.0.limit.store(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that were received.
    pub(super) fn count(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let left = self.0.left.load(Ordering::Relaxed);
        match left.checked_sub(bytes) {
            Some(left) => {
                self.0.left.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => {
                let limit = self.0.limit.load(Ordering::Relaxed);
                Err(self.fail(Error::TooLarge { what: format!("what {} sends", self.0.host), limit, unit: "bytes" }))
            }
        }
    }

    /// Waits for something.
    pub(super) fn wait<T>(&self, future: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
        let outcome = self.0.runtime.block_on(async {
            tokio::select! {
                outcome = future => outcome,
                () = self.0.stop.token.cancelled() => Err(self.protocol("it was given up")),
            }
        });
        outcome.map_err(|error| self.fail(error))
    }

    /// Remembers what went wrong, for [`Line::blame`].
    pub(super) fn fail(&self, error: Error) -> io::Error {
        let message = io::Error::other(error.to_string());
        self.0.failure.lock().get_or_insert(error);
        message
    }

    /// What went wrong, when the library says that something did.
    pub(super) fn blame(&self, error: &(dyn StdError + 'static)) -> Error {
        let failure = self.0.failure.lock().take();
        failure.unwrap_or_else(|| self.protocol(&printable(&chain(error))))
    }

    pub(super) fn protocol(&self, reason: &str) -> Error {
        Error::Protocol { host: self.host(), reason: reason.to_owned() }
    }
}

/// What a server says, as it can be told: one short line without control characters.
pub(super) fn printable(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if !word.is_empty() && line.len() < 400 {
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word.chars().take(200));
        }
    }
    line
}
