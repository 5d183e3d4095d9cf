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
/// Tries until a starting server has to answer, a tenth of a second each.
const START_TRIES: u32 = 300;

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
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.arg(programs().join(program)).stdin(Stdio::null()).stdout(Stdio::null());
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
}

impl Guarded {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            let chown = Command::new("chown").arg(USER).arg(folder.path()).status().expect("chown");
            assert!(chown.success(), "the folder can be given to {USER}");
        }
        let data = folder.path().join("data");
        run(command("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "vip", "-D"])
            .arg(&data));
        Self { folder, server: None }
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
        self.server = Some(command.stderr(log).spawn().expect("the server starts"));
        for _ in 0..START_TRIES {
            let ready = Command::new(programs().join("pg_isready")).arg("-q").arg("-h").arg(folder).status();
            if ready.expect("pg_isready starts").success() {
                return;
            }
            pause(Duration::from_millis(100)).await;
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

/// Is the role of the process that guards a server: obeys lines from its input, and ends the server when that closes.
pub async fn guard() {
    let mut guarded = Guarded::new();
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
    guard: Mutex<Guard>,
}

#[derive(Debug)]
struct Guard {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one; `actor` is the program of the suites' processes.
    #[must_use]
    pub fn start(actor: &Path) -> Self {
        let mut process = Command::new(actor)
            .arg("postgres")
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
        Self { folder, databases: AtomicU32::new(0), guard: Mutex::new(Guard { process, orders, answers }) }
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

    /// Makes an empty database; returns its name.
    pub async fn new_database(&self) -> String {
        self.new_database_like("template1").await
    }

    /// Makes a copy of a database that nobody uses at this moment; returns its name.
    pub async fn new_database_like(&self, template: &str) -> String {
        let name = format!("db_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        name
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
