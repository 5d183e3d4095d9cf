//! A real Redis server of a test's own, in a folder of its own, that is killed with the test however that ends.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::authority::Certificate;

/// Starts the server beside a reader of standard input, and kills it at a word there, or when that ends: the kernel
/// closes the pipe when the test's process is gone, also by SIGKILL, and nobody else removes the folder then. The first
/// line says the server's process.
const GUARDED: &str = r#"
folder=$1
shift
redis-server "$@" >/dev/null 2>&1 &
echo $!
read -r word
kill -KILL $! 2>/dev/null
wait
[ -n "$word" ] || rm -rf "$folder"
"#;
/// Longest time until a server that was started answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks whether it does.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Says where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Socket,
    Port(u16),
    /// With TLS, and nothing without.
    Tls(u16),
}

/// The name by which tests with TLS are left out.
const TLS: &str = "redis_tls";

/// Is a server: append-only file on, nothing thrown away, no snapshots.
#[derive(Debug)]
pub struct RedisServer {
    // Ends before its folder is removed.
    running: Option<Running>,
    folder: tempfile::TempDir,
    place: Place,
    settings: Vec<String>,
    /// What it shows, where it listens with TLS.
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct Running {
    guard: Child,
    process: u32,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut input) = self.guard.stdin.take() {
            // The folder is ours: the next start finds its files there.
            input.write_all(b"stop\n").expect("the guard listens");
        }
        // A stopped server takes no SIGTERM; the guard kills it, and is waited for here so that nothing is left behind.
        self.guard.wait().expect("the guard ends");
    }
}

impl RedisServer {
    /// Starts a server on a socket of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server on a socket of its own with other settings, as they stand on its command line.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        Self::new(Place::Socket, settings)
    }

    /// Starts a server on a free port.
    #[must_use]
    pub fn start_on_port() -> Self {
        Self::new(Place::Port(free_port()), &[])
    }

    /// Starts a server on a free port that speaks TLS alone; says so and starts none if it was built without, or if the
    /// test is to be left out.
    #[must_use]
    pub fn start_with_tls(test: &str, certificate: &Certificate) -> Option<Self> {
        let is_skipped = std::env::var("VIP_TEST_SKIP").is_ok_and(|names| names.split(',').any(|name| name == TLS));
        if is_skipped || !speaks_tls() {
            println!("SKIPPED {TLS}: {test}, because this redis-server was built without TLS, or it is to be left out");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let (chain, key) = (file("server.pem", &certificate.chain), file("key.pem", &certificate.key));
        let settings = ["--tls-cert-file", &chain, "--tls-key-file", &key, "--tls-auth-clients", "no"];
        Some(Self::new_in(folder, Place::Tls(free_port()), &settings, Some(certificate.clone())))
    }

    fn new(place: Place, settings: &[&str]) -> Self {
        Self::new_in(tempfile::tempdir().expect("a folder"), place, settings, None)
    }

    fn new_in(folder: tempfile::TempDir, place: Place, settings: &[&str], certificate: Option<Certificate>) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = Self { running: None, folder, place, settings, certificate };
        server.restart();
        server
    }

    /// Returns where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        match self.place {
            Place::Socket => format!("redis+unix://{}", self.socket().display()),
            Place::Port(port) => format!("redis://127.0.0.1:{port}"),
            Place::Tls(port) => {
                let certificate = self.certificate.as_ref().expect("TLS has a certificate");
                format!("rediss://{}:{port}", certificate.name)
            }
        }
    }

    fn client(&self) -> redis::Client {
        let Some(certificate) = &self.certificate else { return redis::Client::open(self.url()).expect("a URL") };
        let root_cert = Some(certificate.authority.clone().into_bytes());
        redis::Client::build_with_tls(self.url(), redis::TlsCertificates { client_tls: None, root_cert })
            .expect("a URL")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Returns the folder with its files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn arguments(&self) -> Vec<String> {
        let (port, socket) = match self.place {
            Place::Socket => ("0".to_owned(), self.socket().display().to_string()),
            Place::Port(port) => (port.to_string(), String::new()),
            Place::Tls(_) => ("0".to_owned(), String::new()),
        };
        let data = self.data().display().to_string();
        let mut arguments: Vec<String> = ["--bind", "127.0.0.1", "--port", &port, "--dir", &data]
            .into_iter()
            .chain(["--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"])
            .map(str::to_owned)
            .collect();
        if !socket.is_empty() {
            arguments.extend(["--unixsocket".to_owned(), socket]);
        }
        if let Place::Tls(port) = self.place {
            arguments.extend(["--tls-port".to_owned(), port.to_string()]);
        }
        arguments.extend(self.settings.iter().cloned());
        arguments
    }

    /// Sets other settings for the next start.
    pub fn change_settings(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    }

    /// Starts it again with the files that it left.
    pub fn restart(&mut self) {
        self.kill();
        std::fs::create_dir_all(self.data()).expect("a folder");
        let mut guard = Command::new("sh")
            .args(["-c", GUARDED, "sh"])
            .arg(self.folder.path())
            .args(self.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let mut byte = [0];
        let stdout = guard.stdout.as_mut().expect("its output is ours");
        while stdout.read(&mut byte).expect("a readable pipe") > 0 && byte != *b"\n" {
            line.push(char::from(byte[0]));
        }
        let process = line.parse().expect("the number of a process");
        self.running = Some(Running { guard, process });
        let end = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < end, "redis-server does not answer; is it installed? tests/run --install does it");
            std::thread::park_timeout(LOOK_PAUSE);
        }
    }

    /// Says whether it answers, and has read its files.
    fn answers(&self) -> bool {
        let connection = self.client().get_connection_with_timeout(Duration::from_secs(1));
        connection.and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection)).is_ok()
    }

    /// Kills it as a power cut would: what is not in its file yet is lost.
    pub fn kill(&mut self) {
        drop(self.running.take());
        if let Err(error) = std::fs::remove_file(self.socket()) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }

    /// Kills it and removes all its files: what it knew is gone.
    pub fn kill_and_wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.data()).expect("a folder to remove");
    }

    /// Stops it in the middle of whatever it does: connections stay, and nobody answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.running.as_ref().expect("a running server").process.to_string();
        let status = Command::new("kill").args([signal, &process]).status().expect("kill");
        assert!(status.success(), "kill {signal}: {status}");
    }

    /// Removes all keys while it runs.
    pub fn flush(&self) {
        let answer: String = self.ask(&["FLUSHALL"]);
        assert_eq!(answer, "OK");
    }

    /// Sends one command.
    #[must_use]
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.client().get_connection().expect("a connection");
        let mut command = redis::cmd(words.first().expect("a command"));
        words.iter().skip(1).for_each(|word| {
            command.arg(word);
        });
        command.query(&mut connection).expect("an answer")
    }

    /// Copies its files to another folder, as a backup does.
    pub fn copy_data(&self, to: &Path) {
        copy_folder(&self.data(), to);
    }

    /// Kills it and puts a copy of its files back.
    pub fn restore_data(&mut self, from: &Path) {
        self.kill_and_wipe();
        copy_folder(from, &self.data());
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Says whether redis-server knows what a TLS port is: it names the first setting that it does not know, and ends.
fn speaks_tls() -> bool {
    let words = ["--tls-port", "0", "--no-such-setting", "1"];
    let output = Command::new("redis-server").args(words).output().expect("redis-server");
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).contains("no-such-setting \"1\"")
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_test_is_gone_leaves_no_folder() {
        let mut server = RedisServer::start();
        let running = server.running.as_mut().unwrap();
        // As the kernel does it for a process that was killed, or that never drops what is static.
        drop(running.guard.stdin.take());
        running.guard.wait().unwrap();
        assert!(!server.folder.path().exists());
    }
}
