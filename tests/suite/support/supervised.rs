//! A program that is started again when it ends, as the kubelet does with a container.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use super::process::Process;

type Starting = Pin<Box<dyn Future<Output = Process> + Send>>;
type Start = Arc<dyn Fn() -> Starting + Send + Sync>;

/// A program that runs until this is dropped.
pub struct Supervised {
    kill: mpsc::Sender<oneshot::Sender<()>>,
    ends: watch::Receiver<u32>,
}

impl Supervised {
    /// Starts it, and again whenever it has ended.
    pub async fn start(start: impl Fn() -> Starting + Send + Sync + 'static) -> Self {
        let start: Start = Arc::new(start);
        let mut process = start().await;
        let (kill, mut kills) = mpsc::channel::<oneshot::Sender<()>>(1);
        let (ended, ends) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    order = kills.recv() => {
                        process.kill().await;
                        if let Some(done) = order {
                            let _ = done.send(());
                        }
                        return;
                    }
                    _ = process.end() => {
                        ended.send_modify(|ends| *ends += 1);
                        process = start().await;
                    }
                }
            }
        });
        Self { kill, ends }
    }

    /// `kill -9`, for good.
    pub async fn kill(self) {
        let (done, killed) = oneshot::channel();
        self.kill.send(done).await.unwrap();
        killed.await.unwrap();
    }

    /// Waits until it has ended by itself, so many times in all.
    pub async fn ended(&mut self, times: u32) {
        self.ends.wait_for(|ends| *ends >= times).await.unwrap();
    }
}
