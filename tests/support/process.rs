//! A child process: its output goes to a file, and what it says can be waited for.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// How long a program may take to say or do something before a test gives up.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A running program; it is killed when this is dropped.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    said: watch::Receiver<Said>,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    open: usize,
}

impl Process {
    /// Starts `program`; both its outputs go to `NAME.log` in `folder`, behind what is there already.
    pub async fn start<A: AsRef<OsStr>>(
        folder: &Path,
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &OsStr)],
    ) -> Self {
        let program = program.as_ref();
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started from {}: {error}", program.display()));
        let log = folder.join(format!("{name}.log"));
        let (sender, said) = watch::channel(Said { lines: Vec::new(), open: 2 });
        keep(child.stdout.take().unwrap(), &log, sender.clone()).await;
        keep(child.stderr.take().unwrap(), &log, sender).await;
        Self { name: name.to_owned(), log, child, said }
    }

    /// Waits until the program has said a line that `wanted` finds something in.
    pub async fn said<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut seen = 0;
        let waiting = async {
            loop {
                {
                    let said = self.said.borrow_and_update();
                    if let Some(found) = said.lines.get(seen..).unwrap_or_default().iter().find_map(|line| wanted(line))
                    {
                        return Some(found);
                    }
                    seen = said.lines.len();
                    if said.open == 0 {
                        return None;
                    }
                }
                if self.said.changed().await.is_err() {
                    return None;
                }
            }
        };
        match timeout(LIMIT, waiting).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("{} ended before it said {what}\n{}", self.name, self.output()),
            Err(_) => panic!("{} does not say {what}\n{}", self.name, self.output()),
        }
    }

    /// What it has said so far, earlier lives included.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// Asks it to end (SIGTERM) and waits for it.
    pub async fn stop(mut self) -> ExitStatus {
        let Some(pid) = self.child.id() else { return self.child.wait().await.unwrap() };
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await.unwrap();
        assert!(asked.success(), "{} cannot be asked to end", self.name);
        self.ended().await
    }

    /// Waits until it ends, for as long as it takes.
    pub async fn end(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(LIMIT, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("{} does not end\n{}", self.name, self.output()),
        }
    }
}

async fn keep(output: impl AsyncRead + Unpin + Send + 'static, log: &Path, said: watch::Sender<Said>) {
    let mut file = File::options().create(true).append(true).open(log).await.unwrap();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // One write for each line: two outputs share the file.
            if file.write_all(format!("{line}\n").as_bytes()).await.is_err() || file.flush().await.is_err() {
                break;
            }
            said.send_modify(|said| said.lines.push(line));
        }
        said.send_modify(|said| said.open -= 1);
    });
}
