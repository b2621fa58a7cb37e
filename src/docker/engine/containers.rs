//! Containers.

use std::time::Duration;

use bollard::{
    errors::Error as Library,
    models::{
        ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse, ContainerSummary, ContainerWaitResponse,
    },
    query_parameters::{
        CreateContainerOptions, KillContainerOptions, ListContainersOptions, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, RenameContainerOptions, RestartContainerOptions, StopContainerOptions,
        WaitContainerOptions,
    },
};

use super::{Call, Engine, Request, Result, filter, if_found, segment};

/// How long a stop may take if nobody says how long the container has.
const LONGEST_STOP: Duration = Duration::from_secs(3600);

/// What a removal takes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Kills the container if it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
}

impl Engine {
    /// The containers with all of these labels (`key` or `key=value`), whatever their state.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn list_containers(&self, labels: &[&str]) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptions { all: true, filters: Some(filter("label", labels)), ..Default::default() };
        self.call(Call::ListContainers.of(""), self.limits.read, self.docker.list_containers(Some(options))).await
    }

    /// A container, by id or name.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn inspect_container(&self, id: &str) -> Result<ContainerInspectResponse> {
        let request = Call::InspectContainer.of(id);
        let answer = self.docker.inspect_container(segment(&request)?, None);
        self.call(request.clone(), self.limits.read, answer).await
    }

    /// A container by id or name, if there is one.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn find_container(&self, id: &str) -> Result<Option<ContainerInspectResponse>> {
        if_found(self.inspect_container(id).await)
    }

    /// Creates a container, which is not started, and says its id and what the engine has to complain of.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn create_container(
        &self,
        name: &str,
        platform: Option<&str>,
        body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse> {
        let options =
            CreateContainerOptions { name: Some(name.to_owned()), platform: platform.unwrap_or_default().to_owned() };
        let answer = self.docker.create_container(Some(options), body);
        self.call(Call::CreateContainer.of(name), self.limits.write, answer).await
    }

    /// Starts a container; nothing happens if it runs.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let request = Call::StartContainer.of(id);
        let answer = self.docker.start_container(segment(&request)?, None);
        self.call(request.clone(), self.limits.write, answer).await
    }

    /// Stops a container, with so much time before it is killed, or its own; nothing happens if it does not run.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn stop_container(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let request = Call::StopContainer.of(id);
        let options = StopContainerOptions { signal: None, t: grace.map(seconds) };
        let answer = self.docker.stop_container(segment(&request)?, Some(options));
        self.call(request.clone(), self.patience(grace), answer).await
    }

    /// Stops a container if it runs, and starts it.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn restart_container(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let request = Call::RestartContainer.of(id);
        let options = RestartContainerOptions { signal: None, t: grace.map(seconds) };
        let answer = self.docker.restart_container(segment(&request)?, Some(options));
        self.call(request.clone(), self.patience(grace), answer).await
    }

    /// Sends a signal (`SIGHUP`, `SIGKILL`) to a container.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn kill_container(&self, id: &str, signal: &str) -> Result<()> {
        let request = Call::KillContainer.of(id);
        let options = KillContainerOptions { signal: signal.to_owned() };
        let answer = self.docker.kill_container(segment(&request)?, Some(options));
        self.call(request.clone(), self.limits.write, answer).await
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn pause_container(&self, id: &str) -> Result<()> {
        let request = Call::PauseContainer.of(id);
        self.call(request.clone(), self.limits.write, self.docker.pause_container(segment(&request)?)).await
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn unpause_container(&self, id: &str) -> Result<()> {
        let request = Call::UnpauseContainer.of(id);
        self.call(request.clone(), self.limits.write, self.docker.unpause_container(segment(&request)?)).await
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        let request = Call::RenameContainer.of(id);
        let answer = self.docker.rename_container(segment(&request)?, RenameContainerOptions { name: name.to_owned() });
        self.call(request.clone(), self.limits.write, answer).await
    }

    /// Removes a container; nothing happens if it is gone.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn remove_container(&self, id: &str, removal: Removal) -> Result<()> {
        let Removal { force, volumes } = removal;
        let request = Call::RemoveContainer.of(id);
        let options = RemoveContainerOptionsBuilder::new().force(force).v(volumes).build();
        let answer = self.docker.remove_container(segment(&request)?, Some(options));
        if_found(self.call(request.clone(), self.patience(None), answer).await).map(drop)
    }

    /// Waits, as long as it takes, until a container does not run, and says its exit code.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn wait_container(&self, id: &str) -> Result<i64> {
        let request = Call::WaitContainer.of(id);
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut stream = Box::pin(self.docker.wait_container(segment(&request)?, Some(options)));
        match futures::StreamExt::next(&mut stream).await {
            Some(Ok(ContainerWaitResponse { status_code, error: _ })) => Ok(status_code),
            // The library takes any code but 0 for an error.
            Some(Err(Library::DockerContainerWaitError { code, error: _ })) => Ok(code),
            Some(Err(error)) => Err(super::Error::from_library(&self.endpoint, request, error)),
            None => Err(ended(request)),
        }
    }

    /// The last lines of a container's log, standard output and error as they came, at most so many bytes.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn log_tail(&self, id: &str, lines: u32, most: usize) -> Result<String> {
        let request = Call::ReadLogs.of(id);
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = Box::pin(self.docker.logs(segment(&request)?, Some(options)));
        let mut tail = Tail::new(most);
        while let Some(output) = self.next(&request, self.limits.read, &mut stream).await? {
            tail.push(&output.into_bytes());
        }
        Ok(tail.into_text())
    }

    fn patience(&self, grace: Option<Duration>) -> Duration {
        grace.unwrap_or(LONGEST_STOP).saturating_add(self.limits.stop)
    }
}

pub(super) fn ended(request: Request) -> super::Error {
    super::Error::ReplyLost { request, reason: "the engine ended the connection".to_owned() }
}

fn seconds(grace: Duration) -> i32 {
    // Rounded up: less than a second would be none.
    i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// The last bytes of what was printed.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    most: usize,
    cut: bool,
}

impl Tail {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most, cut: false }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        let surplus = self.bytes.len().saturating_sub(self.most);
        if surplus > 0 {
            self.bytes.drain(..surplus);
            self.cut = true;
        }
    }

    /// As text, from the beginning of a line.
    pub(super) fn into_text(self) -> String {
        let Self { bytes, most: _, cut } = self;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.split_once('\n') {
            Some((_, rest)) if cut => rest.to_owned(),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_line() {
        let mut tail = Tail::new(12);
        for line in ["first\n", "second\n", "third\n"] {
            tail.push(line.as_bytes());
        }
        assert_eq!(tail.into_text(), "third\n");
        let mut tail = Tail::new(12);
        tail.push(b"one\ntwo\n");
        assert_eq!(tail.into_text(), "one\ntwo\n");
        let mut tail = Tail::new(4);
        tail.push(b"endless");
        assert_eq!(tail.into_text(), "less");
    }

    #[test]
    fn part_of_a_second_is_not_lost() {
        assert_eq!(seconds(Duration::from_millis(500)), 1);
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_secs(u64::MAX)), i32::MAX);
    }
}
