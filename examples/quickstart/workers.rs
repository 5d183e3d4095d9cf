//! Two workers, each a process of its own: started, killed in the middle of their work, replaced, and ended in order.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::DEFAULT_TOKEN;
use vip_adapters::vip_core::Provisioner;

use crate::settings;

/// How long a worker may take to finish what it has begun.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs as a worker until the parent ends it or is gone.
pub(crate) async fn run_as_worker(store: &Path, endpoint: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let backend = vip_adapters::connect(&format!("sqlite://{}", store.display())).await?;
    let provisioner = Provisioner::builder(backend)
        .provider(HetznerClient::at(endpoint, DEFAULT_TOKEN)?)
        .timing(settings::quick())
        .start()
        .await?;
    // The parent holds the other end of our input: it closes when the parent is gone, however that came about.
    let mut parent = tokio::io::stdin();
    let mut nothing = [0; 1];
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = parent.read(&mut nothing) => None,
        why = provisioner.failed() => Some(why),
    };
    let report = provisioner.shutdown(DRAIN).await;
    match ended {
        None if report.within_deadline => Ok(()),
        None => Err(format!("the shutdown took too long: {report}").into()),
        Some(why) => Err(why.into()),
    }
}

/// Is the two workers of a story.
pub(crate) struct Workers {
    store: PathBuf,
    endpoint: String,
    children: Vec<Child>,
    /// Killed by us and not yet known to be gone: however they end, that is no disorder.
    killed: Vec<Child>,
    kills: u32,
}

impl Workers {
    /// Starts two workers.
    pub(crate) fn start(store: &Path, endpoint: String) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut workers =
            Self { store: store.to_owned(), endpoint, children: Vec::new(), killed: Vec::new(), kills: 0 };
        workers.replace()?;
        Ok(workers)
    }

    fn replace(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        while self.children.len() < 2 {
            let child = Command::new(std::env::current_exe()?)
                .arg("worker")
                .arg(&self.store)
                .arg(&self.endpoint)
                .stdin(Stdio::piped())
                // Ctrl-C reaches the group of the terminal: in a group of its own a worker is ended by its parent, in order.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            self.children.push(child);
        }
        Ok(())
    }

    /// Kills both workers as the power would, whatever they are doing, and starts two new ones.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the killed ones are known as such, and no new ones are there.
    pub(crate) async fn kill_and_replace(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.kill()?;
        self.bury().await?;
        self.replace()
    }

    fn kill(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        while let Some(mut child) = self.children.pop() {
            child.start_kill()?;
            self.killed.push(child);
            self.kills += 1;
        }
        Ok(())
    }

    /// Waits until the killed ones are gone.
    async fn bury(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        while let Some(child) = self.killed.last_mut() {
            child.wait().await?;
            self.killed.pop();
        }
        Ok(())
    }

    /// Returns how many workers were killed.
    pub(crate) const fn kills(&self) -> u32 {
        self.kills
    }

    /// Says which worker has ended by itself, if one has.
    pub(crate) fn check(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                return Err(format!("a worker ended by itself: {status}").into());
            }
        }
        Ok(())
    }

    /// Ends both workers in order; they finish what they have begun.
    pub(crate) async fn stop(mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        for child in &mut self.children {
            // A closed input is how a worker learns that its parent has no more need of it.
            drop(child.stdin.take());
        }
        for child in &mut self.children {
            let status = child.wait().await?;
            if !status.success() {
                return Err(format!("a worker did not end in order: {status}").into());
            }
        }
        self.bury().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(end: &str) -> Workers {
        let child = Command::new("sh").args(["-c", end]).stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        Workers { store: PathBuf::new(), endpoint: String::new(), children: vec![child], killed: Vec::new(), kills: 0 }
    }

    #[tokio::test]
    async fn an_interruption_while_workers_are_being_killed_is_no_disorder() {
        let mut workers = workers("read -r nothing");
        workers.kill().unwrap();
        assert_eq!((workers.kills(), workers.children.len()), (1, 0));
        workers.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_that_ends_by_itself_is_a_disorder() {
        let workers = workers("kill -KILL $$");
        let error = workers.stop().await.unwrap_err().to_string();
        assert!(error.starts_with("a worker did not end in order"), "{error}");
    }
}
