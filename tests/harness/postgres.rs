//! A PostgreSQL server for the suites, in a process that ends with the test, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::site::pause;

/// Where Debian has its server programs, newest first.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who runs the server if we are root, which it refuses.
const USER: &str = "postgres";
/// Tries until a starting server has to answer, and the pause between two.
const START_TRIES: (u32, Duration) = (1_000, Duration::from_millis(30));

/// Empties every table but those that opening fills; the triggers that keep audit records are off meanwhile.
const EMPTY: &str = "SET session_replication_role = replica;
    DELETE FROM vip.servers; DELETE FROM vip.operations; DELETE FROM vip.keys; DELETE FROM vip.quotas;
    DELETE FROM vip.sightings; DELETE FROM vip.accounts; DELETE FROM vip.audit; DELETE FROM vip.audit_heads;
    DELETE FROM vip.audit_deliveries; DELETE FROM vip.jobs; DELETE FROM vip.leases;";

/// Finds the folder of the server's programs.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(DEBIAN)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.retain(|bin| bin.join("initdb").exists());
    versions.sort();
    versions.pop().expect("PostgreSQL's server is not there; type: tests/run --install")
}

fn is_root() -> bool {
    // A folder that was just made belongs to whoever we are.
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::MetadataExt::uid(&folder.path().metadata().expect("its owner")) == 0
}

/// Makes a command of a server program that dies with us and is not run by root.
fn command(program: &str) -> Command {
    dying_with_us(&programs().join(program))
}

fn dying_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.arg(program).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Is a server in a folder of its own; run by the process that guards it.
struct Guarded {
    folder: tempfile::TempDir,
    server: Option<Child>,
    /// Settings beside ours, each `name=value`; of two the later one counts.
    settings: Vec<String>,
}

impl Guarded {
    fn new(settings: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            let chown = Command::new("chown").arg(USER).arg(folder.path()).status().expect("chown");
            assert!(chown.success(), "the folder can be given to {USER}");
        }
        let data = folder.path().join("data");
        run(command("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "vip", "-D"])
            .arg(&data));
        Self { folder, server: None, settings }
    }

    async fn start(&mut self) {
        let folder = self.folder.path();
        let log = std::fs::File::create(folder.join(format!("log-{}", std::process::id()))).expect("a log");
        let mut command = command("postgres");
        command.arg("-D").arg(folder.join("data"));
        // A socket in our folder and no port: nobody else meets it.
        command.arg("-k").arg(folder);
        for setting in ["listen_addresses=", "max_connections=400", "shared_buffers=128MB", "autovacuum_naptime=5s"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        self.server = Some(command.stderr(log).spawn().expect("the server starts"));
        for _ in 0..START_TRIES.0 {
            let ready = Command::new(programs().join("pg_isready")).arg("-q").arg("-h").arg(folder).status();
            if ready.expect("pg_isready starts").success() {
                return;
            }
            pause(START_TRIES.1).await;
        }
        panic!(
            "the server does not answer: {:?}",
            std::fs::read_to_string(folder.join(format!("log-{}", std::process::id())))
        );
    }

    /// Ends it at once, without a checkpoint and without a word to its clients.
    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        run(command("pg_ctl").args(["stop", "-m", "immediate", "-w", "-D"]).arg(self.folder.path().join("data")));
        server.wait().expect("it ends");
    }
}

/// Is the role of the process that guards a pooler before a server: it ends when its input closes.
pub async fn guard_pooler(server: &str, mode: &str) {
    let more = match mode {
        // Two connections at the server for all: whoever relies on having its own is found out.
        "transaction" => "default_pool_size = 2",
        // As its users are told to, so that drivers may connect that ask for more than it knows.
        "session" => "ignore_startup_parameters = extra_float_digits,options",
        other => panic!("unknown mode: {other}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let name = |file: &str| folder.path().join(file).display().to_string();
    let settings = format!(
        "[databases]\n* = host={server} user=vip\n[pgbouncer]\nlisten_port = 6432\nlisten_addr =\nunix_socket_dir = {}\n\
         auth_type = any\npool_mode = {mode}\n{more}\nmax_client_conn = 200\nlogfile = {}\n",
        folder.path().display(),
        name("log"),
    );
    std::fs::write(name("settings"), settings).expect("the settings are written");
    if is_root() {
        let chown = Command::new("chown").args(["-R", USER]).arg(folder.path()).status().expect("chown");
        assert!(chown.success(), "the folder can be given to {USER}");
    }
    let mut pooler = dying_with_us("pgbouncer".as_ref()).args(["-q", &name("settings")]).spawn().expect("it starts");
    while !folder.path().join(".s.PGSQL.6432").exists() {
        assert!(pooler.try_wait().expect("it can be asked").is_none(), "{:?}", std::fs::read_to_string(name("log")));
        pause(START_TRIES.1).await;
    }
    println!("{}", folder.path().display());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("its input is read to the end");
    pooler.kill().and_then(|()| pooler.wait()).expect("it ends");
}

/// Is the role of the process that guards a server: obeys lines from its input, and ends the server when that closes.
pub async fn guard(settings: Vec<String>) {
    let mut guarded = Guarded::new(settings);
    guarded.start().await;
    println!("{}", guarded.folder.path().display());
    // Line by line in a thread: the server has to die with the thread that started it, so that stays here.
    let (sender, mut orders) = tokio::sync::mpsc::channel(1);
    let reader = std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.blocking_send(line.expect("a readable line")).is_err() {
                break;
            }
        }
    });
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            "stop" => guarded.stop(),
            "start" => guarded.start().await,
            other => panic!("unknown order: {other}"),
        }
        println!("done");
    }
    reader.join().expect("the reader ends");
    guarded.stop();
}

/// Is a running server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    databases: AtomicU32,
    /// Databases that nobody uses any more: emptying one is quicker than making one.
    used: Mutex<Vec<String>>,
    guard: Mutex<Guard>,
}

#[derive(Debug)]
struct Guard {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Is a running pooler.
#[derive(Debug)]
pub struct PgBouncer {
    guard: Child,
    folder: String,
}

impl PgBouncer {
    /// Starts one in transaction mode before a server.
    #[must_use]
    pub fn of_transactions(actor: &Path, server: &Server) -> Self {
        Self::start(actor, server, "transaction")
    }

    /// Starts one in session mode, which leaves out the settings that a session is opened with.
    #[must_use]
    pub fn of_sessions(actor: &Path, server: &Server) -> Self {
        Self::start(actor, server, "session")
    }

    fn start(actor: &Path, server: &Server, mode: &str) -> Self {
        let mut guard = Command::new(actor)
            .arg("pgbouncer")
            .arg(&server.folder)
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the actor starts");
        let mut folder = String::new();
        let output = guard.stdout.take().expect("its output is ours");
        BufReader::new(output).read_line(&mut folder).expect("it says where the pooler is");
        assert!(!folder.is_empty(), "the pooler did not start");
        Self { guard, folder: folder.trim().to_owned() }
    }

    /// Returns the URL of a database behind the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://vip@localhost:6432/{database}?host={}", self.folder)
    }

    /// Ends it and demands that its guard succeeded.
    pub fn stop(mut self) {
        drop(self.guard.stdin.take());
        assert!(self.guard.wait().expect("it can be waited for").success(), "the guard of the pooler failed");
    }
}

impl Server {
    /// Starts one; `actor` is the program of the suites' processes.
    #[must_use]
    pub fn start(actor: &Path) -> Self {
        Self::start_with(actor, &[])
    }

    /// Starts one with settings beside ours, each `name=value`.
    #[must_use]
    pub fn start_with(actor: &Path, settings: &[&str]) -> Self {
        let mut process = Command::new(actor)
            .arg("postgres")
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the actor starts");
        let orders = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().expect("its output is ours"));
        let mut folder = String::new();
        answers.read_line(&mut folder).expect("it says where the server is");
        let folder = PathBuf::from(folder.trim());
        assert!(folder.exists(), "the server did not start");
        let guard = Mutex::new(Guard { process, orders, answers });
        Self { folder, databases: AtomicU32::new(0), used: Mutex::default(), guard }
    }

    /// Returns the folder of the server's socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the URL of a database, for a role.
    #[must_use]
    pub fn url_for(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost/{database}?host={}", self.folder.display())
    }

    /// Returns the URL of a database, for the role that may do everything.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_for("vip", database)
    }

    /// Makes a database without a schema of ours; returns its name.
    pub async fn new_database(&self) -> String {
        let name = format!("db_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.run("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// Finds or makes a database without a row of ours; returns its name.
    pub async fn empty_database(&self) -> String {
        let used = self.used.lock().expect("nobody panicked with it").pop();
        match used {
            Some(database) => {
                self.run(&database, EMPTY).await;
                database
            }
            None => self.new_database().await,
        }
    }

    /// Takes back a database that has our schema and that nobody uses any more.
    pub fn take_back(&self, database: &str) {
        self.used.lock().expect("nobody panicked with it").push(database.to_owned());
    }

    /// Runs statements in a database, as the role that may do everything.
    pub async fn run(&self, database: &str, statements: &str) {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&self.url(database)).await.expect("it connects");
        let text = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(text).execute(&mut connection).await.expect("the statements run");
        connection.close().await.expect("it closes");
    }

    /// Ends the server at once, as a crash would; connections break.
    pub fn crash(&self) {
        self.order("stop");
    }

    /// Starts it again; it repairs itself first.
    pub fn restart(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut guard = self.guard.lock().expect("nobody panicked with it");
        let orders = guard.orders.as_mut().expect("it is open");
        writeln!(orders, "{order}").and_then(|()| orders.flush()).expect("the guard listens");
        let mut answer = String::new();
        guard.answers.read_line(&mut answer).expect("the guard answers");
        assert_eq!(answer.trim(), "done", "the guard of the server did not obey");
    }

    /// Ends it and demands that its guard succeeded.
    pub fn stop(self) {
        let mut guard = self.guard.into_inner().expect("nobody panicked with it");
        drop(guard.orders.take());
        assert!(guard.process.wait().expect("it can be waited for").success(), "the guard of the server failed");
    }
}
