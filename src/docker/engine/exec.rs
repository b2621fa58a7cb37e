//! Commands in running containers: Compose's hooks.

use std::time::Duration;

use bollard::{
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use tokio::time::timeout;

use super::{Call, Engine, Error, Result, containers::Tail, segment};

/// How much of a command's output is kept.
const KEPT: usize = 4096;

/// A command that is to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    pub arguments: Vec<String>,
    /// The container's own if none is given.
    pub user: Option<String>,
    pub privileged: bool,
    pub working_dir: Option<String>,
    /// `KEY=value`, beside the container's own.
    pub environment: Vec<String>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    pub exit_code: i64,
    /// The last 4 KiB of what it printed.
    pub output: String,
}

impl Engine {
    /// Runs a command in a container to its end, which has to come in this time. The command goes on if it does not.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec(&self, id: &str, command: &Command, limit: Duration) -> Result<Executed> {
        let request = Call::Exec.of(id);
        let Command { arguments, user, privileged, working_dir, environment } = command;
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(arguments.clone()),
            user: user.clone(),
            privileged: Some(*privileged),
            working_dir: working_dir.clone(),
            env: Some(environment.clone()),
            ..ExecConfig::default()
        };
        let created = self.docker.create_exec(segment(&request)?, config);
        let created = self.call(request.clone(), self.limits.write, created).await?.id;
        let started = self.docker.start_exec(&created, Some(StartExecOptions::default()));
        let started = self.call(request.clone(), self.limits.write, started).await?;
        let StartExecResults::Attached { mut output, input: _input } = started else {
            return Err(Error::Decode { request, reason: "its output is not attached".to_owned() });
        };
        let mut tail = Tail::new(KEPT);
        let read = async {
            while let Some(part) = futures::StreamExt::next(&mut output).await {
                let part = part.map_err(|error| Error::from_library(&self.endpoint, request.clone(), error))?;
                tail.push(&part.into_bytes());
            }
            Ok::<_, Error>(())
        };
        match timeout(limit, read).await {
            Ok(read) => read?,
            Err(_) => return Err(Error::Timeout { request, after: limit }),
        }
        let ended = self.call(request.clone(), self.limits.read, self.docker.inspect_exec(&created)).await?;
        match ended.exit_code {
            Some(exit_code) if ended.running != Some(true) => Ok(Executed { exit_code, output: tail.into_text() }),
            _ => Err(Error::ReplyLost { request, reason: "the output ended before the command".to_owned() }),
        }
    }
}
