//! Processes of the reference server on one PostgreSQL, before a simulated cloud: as they stand behind a load balancer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use vip_adapters::hetzner::simulator::DEFAULT_TOKEN;
use vip_core::model::TenantId;
use vip_http::{NewApiKey, Scope};

/// Whom orders are for.
pub const TENANT: &str = "acme";
/// Longest time for a process to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Describes what all processes share.
#[derive(Debug)]
pub struct Deployment {
    folder: tempfile::TempDir,
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    /// The key of a caller that reads and writes for the tenant.
    pub key: String,
    /// The key of an operator.
    pub operator: String,
}

/// Is one place of the deployment; whoever stands there listens on the same address.
#[derive(Debug)]
pub struct Process {
    role: &'static str,
    address: std::net::SocketAddr,
    child: Option<Child>,
    /// It is gone when this closes; to wait for a child would close it at once.
    life: Option<ChildStdin>,
    starts: u32,
}

impl Deployment {
    /// Describes processes of a program on a database and a cloud.
    #[must_use]
    pub fn new(program: &Path, database: String, cloud: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tenant = TenantId::new(TENANT).expect("a name");
        let panel = NewApiKey::generate("panel", Some(tenant), [Scope::TenantRead, Scope::TenantWrite]).expect("a key");
        let root = NewApiKey::generate("root", None, [Scope::Operator]).expect("a key");
        let keys = folder.path().join("keys.json");
        let entries = serde_json::to_string(&[&panel.entry, &root.entry]).expect("JSON");
        std::fs::write(&keys, entries).expect("the keys are written");
        let variables = vec![
            ("VIP_DATABASE_URL", database),
            ("VIP_PROVIDER", "hetzner".to_owned()),
            ("HCLOUD_TOKEN", DEFAULT_TOKEN.to_owned()),
            ("HCLOUD_ENDPOINT", cloud.to_owned()),
            ("VIP_API_KEYS_FILE", keys.display().to_string()),
            ("VIP_CURSOR_KEY", "5a".repeat(32)),
            ("VIP_GRACE_SECONDS", "0.5".to_owned()),
            ("VIP_DRAIN_SECONDS", "20".to_owned()),
        ];
        let shown = |new: NewApiKey| new.key.expose_secret().to_owned();
        Self { folder, program: program.to_owned(), variables, key: shown(panel), operator: shown(root) }
    }

    /// Sets what else the environment of its processes says.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Starts a process with a role; it is ready when this returns.
    pub async fn start(&self, role: &'static str) -> Process {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let mut process = Process { role, address, child: None, life: None, starts: 0 };
        self.start_again(&mut process).await;
        process
    }

    /// Starts a process where one has ended.
    pub async fn start_again(&self, process: &mut Process) {
        assert!(process.child.is_none(), "somebody stands there");
        process.starts += 1;
        let mut command = Command::new(&self.program);
        let inherited = std::env::vars().map(|(name, _)| name);
        for name in inherited.filter(|name| name.starts_with("VIP_") || name.starts_with("HCLOUD_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(["--role", process.role, "--listen", &process.address.to_string()]);
        let log = File::create(self.log_of(process)).expect("a log");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("its output is ours"));
        let read = tokio::time::timeout(PATIENCE, output.read_line(&mut line)).await;
        read.expect("it says in time where it listens").expect("a readable line");
        assert!(line.starts_with("listening on "), "{line} {}", self.log(process));
        process.life = child.stdin.take();
        process.child = Some(child);
    }

    fn log_of(&self, process: &Process) -> PathBuf {
        self.folder.path().join(format!("{}-{}-{}", process.role, process.address.port(), process.starts))
    }

    /// Returns what the process of a place has logged since its last start.
    #[must_use]
    pub fn log(&self, process: &Process) -> String {
        std::fs::read_to_string(self.log_of(process)).expect("a readable log")
    }

    /// Tells a process to end, and demands that it does so in order.
    pub async fn end(&self, process: &mut Process) {
        let mut child = process.child.take().expect("a running process");
        let pid = child.id().expect("it has not ended by itself").to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill");
        assert!(told.success(), "kill: {told}");
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").expect("a status");
        process.life = None;
        assert!(status.success(), "{} ended with {status}: {}", process.role, self.log(process));
    }
}

impl Process {
    /// Returns the origin of what it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what it does.
    #[must_use]
    pub const fn role(&self) -> &'static str {
        self.role
    }
}
