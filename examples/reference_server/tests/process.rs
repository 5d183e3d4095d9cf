//! The program as a process: it works without configuration, shows no secret, and ends in order.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

/// Lines that have to be there after one order: what happened, how long it took, how things stand.
const EXPORTED: [&str; 16] = [
    "vip_job_attempts_total{kind=\"vip.converge\",outcome=\"done\"}",
    "vip_job_attempts_total{kind=\"vip.converge\",outcome=\"snooze\"}",
    "vip_job_attempt_duration_seconds_bucket{",
    "vip_job_wait_seconds_bucket{kind=\"vip.converge\"",
    "vip_jobs{state=\"dead\"} 0",
    "vip_oldest_due_job_seconds",
    "vip_provider_calls_total{account=\"default\",call=\"create\",outcome=\"ok\"} 1",
    "vip_provider_call_duration_seconds_count{",
    "vip_provider_budget_left{account=\"default\"}",
    "vip_breaker_state{account=\"default\"} 0",
    "vip_loop_restarts{loop=",
    "vip_process_memory_bytes",
    "vip_http_requests_total{route=\"/v1/servers\",method=\"POST\",status=\"202\"} 1",
    "vip_health",
    "vip_cache_answers_total{cache=\"catalog:default\",outcome=\"miss\"} 1",
    "vip_cache_loads_total{cache=\"catalog:default\",outcome=\"ok\"} 1",
];

/// Flags, variables, and what the refusal says.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// Is the running program; it is killed if the test ends before it.
struct Program {
    child: Child,
    lines: Vec<String>,
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().and_then(|()| self.child.wait()).expect("a child can be ended");
        }
    }
}

fn command(flags: &[&str]) -> Command {
    let mut command = without_settings(env!("CARGO_BIN_EXE_reference-server"));
    command.args(flags);
    command
}

/// Makes the command of a program that is told nothing by the environment of the tests, and that on Linux dies with them, also if they
/// are killed.
fn without_settings(program: &str) -> Command {
    let mut command = Command::new(program);
    if cfg!(target_os = "linux") {
        command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIP_") || name.starts_with("HCLOUD_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).env("VIP_LOG", "info");
    command
}

impl Program {
    /// Starts it and reads the lines that it introduces itself with.
    fn start(flags: &[&str], lines: usize) -> Self {
        Self::spawn(&mut command(flags), lines)
    }

    fn spawn(command: &mut Command, lines: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines: Vec<String> = stdout.lines().take(lines).map(|line| line.unwrap()).collect();
        Self { child, lines }
    }

    fn address(&self) -> &str {
        let first = self.lines.first().expect("a first line");
        first.split_once("http://").unwrap().1.split(' ').next().unwrap()
    }

    /// Sends what the printed command would send.
    fn send(&self, head: &str, body: &str) -> (u16, String) {
        self.send_as("key of the tenant demo:  ", head, body)
    }

    fn send_as(&self, whose: &str, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let length = body.len();
        write!(stream, "{head} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n").unwrap();
        write!(stream, "Authorization: Bearer {}\r\nIdempotency-Key: order-1\r\n", self.key_of(whose)).unwrap();
        write!(stream, "Content-Type: application/json\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Returns the printed command that orders a server, and its body.
    fn order(&self) -> (&str, &str) {
        let printed = self.lines.iter().find(|line| line.contains("curl -i")).expect("a command that works");
        (printed, printed.split("-d '").nth(1).unwrap().trim_end_matches('\''))
    }

    fn key(&self) -> &str {
        self.key_of("key of the tenant demo:  ")
    }

    fn key_of(&self, whose: &str) -> &str {
        self.lines.iter().find_map(|line| line.strip_prefix(whose)).unwrap_or("none")
    }

    /// Asks it to end, and returns its exit status and what it logged.
    fn end(mut self, sent: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([sent, &pid]).status().unwrap().success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

#[test]
fn without_configuration_it_takes_an_order_runs_the_server_and_ends_in_order() {
    let program = Program::start(&["--listen", "127.0.0.1:0"], 6);
    let (printed, order) = program.order();
    assert!(printed.contains(&format!("-H 'Authorization: Bearer {}'", program.key())), "{printed}");

    let (status, accepted) = program.send("POST /v1/servers", order);
    assert_eq!(status, 202, "{accepted}");
    let id = accepted.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (status, done) = program.send(&format!("GET /v1/operations/{id}?wait=30"), "");
    assert!(status == 200 && done.contains("\"status\":\"succeeded\""), "{done}");
    assert_eq!(program.send("GET /readyz", "").0, 200);
    assert_eq!(program.send("GET /v1/catalog", "").0, 200);
    assert_eq!(program.send("GET /metrics", "").0, 403, "metrics are an operator's");
    let (status, metrics) = program.send_as("key of an operator:      ", "GET /metrics", "");
    assert_eq!(status, 200);
    for expected in EXPORTED {
        assert!(metrics.contains(expected), "{expected} is missing in {metrics}");
    }
    assert!(!metrics.contains("demo") && !metrics.contains(id), "no tenant and no id is a label: {metrics}");

    let key = program.key().to_owned();
    let (code, log) = program.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("claimed") && !log.contains(&key), "{log}");
}

#[test]
fn it_says_first_that_no_server_is_real_and_warns_of_a_token_that_it_does_not_use() {
    let flags = ["--listen", "127.0.0.1:0"];
    for (variable, value) in [("HCLOUD_TOKEN", "c4n4ry"), ("HCLOUD_TOKEN_FILE", "c4n4ry"), ("VIP_QUOTA", "7")] {
        let program = Program::spawn(command(&flags).env(variable, value), 6);
        let expected =
            format!("listening on http://{} as all, with a simulated cloud: no server is real", program.address());
        assert_eq!(program.lines.first(), Some(&expected));
        let (code, log) = program.end("-TERM");
        let warned = log.contains(&format!("{variable} is not used: --provider hetzner orders real servers"));
        assert_eq!((code, warned), (Some(0), variable.starts_with("HCLOUD")), "{log}");
        assert!(!log.contains("c4n4ry"), "{log}");
    }
}

#[test]
fn what_it_cannot_do_is_said_and_the_exit_status_is_no_success() {
    let run = |flags: &[&str], variables: &[(&str, &str)]| -> Output {
        let mut command = command(flags);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let listens: [&str; 2] = ["--listen", &address];
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (no_keys, no_list) = (file("none.json", "[]"), file("list.json", "{\"c4n4ry\":1}"));
    let database = format!("sqlite://{}", folder.path().join("vip.db").display());
    let unwritable = format!("sqlite://{}", folder.path().join("nowhere/vip.db").display());
    let hetzner: [(&str, &str); 3] =
        [("HCLOUD_TOKEN", "c4n4ry"), ("HCLOUD_ENDPOINT", "here"), ("VIP_DATABASE_URL", &database)];
    assert!(run(&["migrate"], &[("VIP_DATABASE_URL", &database)]).status.success());
    let cases: [Case<'_>; 20] = [
        (&[], &[("VIP_DATABASE_URL", "mysql://u:c4n4ry@h/d")], "no adapter for `mysql:`"),
        (&[], &[("VIP_REDIS_URL", "redis://u:c4n4ry@127.0.0.1:1")], "queue on Redis"),
        (&["--provider", "hetzner"], &[], "HCLOUD_TOKEN"),
        (&listens, &[], "in use"),
        (&listens, &[], &format!("cannot listen on {address}")),
        (&["--api-keys-file", "nowhere.json"], &[], "nowhere.json"),
        (&["--api-keys-file", &no_keys], &[], "no key in it"),
        (&["--api-keys-file", &no_keys, "check"], &[], "no key in it"),
        (&["--api-keys-file", &no_list, "check"], &[], "list.json: not a list of API keys"),
        (&["check"], &[("VIP_LOG", "vip_core=loud")], "VIP_LOG"),
        (&["check"], &[("VIP_DATABASE_URL_FILE", "c4n4ry")], "VIP_DATABASE_URL_FILE: what it names cannot be read"),
        (&[], &[("VIP_DATABASE_URL", &unwritable)], "nowhere/vip.db: its folder is not there"),
        (&["migrate"], &[("VIP_DATABASE_URL", &unwritable)], "nowhere/vip.db: its folder is not there"),
        (&[], &[("VIP_DATABASE_URL", "c4n4ry")], "write `sqlite://vip.db`"),
        (&["check"], &[("VIP_DATABASE_URL", "c4n4ry")], "write `sqlite://vip.db`"),
        (&["check"], &[("VIP_DATABASE_URL", "mysql://u:c4n4ry@h/d")], "no adapter for `mysql:`"),
        (&["check"], &[("VIP_DATABASE_URL", "postgres://u:c4n4ry@h:port/d")], "not a URL of a PostgreSQL database"),
        (&["check"], &[("VIP_REDIS_URL", "c4n4ry")], "not a URL of a Redis server"),
        (&["--provider", "hetzner"], &hetzner, "HCLOUD_ENDPOINT"),
        (&["--provider", "hetzner", "check"], &hetzner, "HCLOUD_ENDPOINT"),
    ];
    for (flags, variables, expected) in cases {
        let output = run(flags, variables);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected) && !errors.contains("c4n4ry"), "{errors}");
    }
}

#[test]
fn a_flag_that_cannot_be_is_said_with_what_could_be_and_the_exit_status_of_wrong_usage() {
    let cases: [(&[&str], &str); 7] = [
        (&["--listen", "localhost:8700"], "such as 127.0.0.1:8700"),
        (&["--listen", "8700"], "such as 127.0.0.1:8700"),
        (&["--connections-per-address", "0"], "at least 1"),
        (&["--role", "everything"], "all, api, worker"),
        (&["--drain-seconds", "nan"], "--drain-seconds"),
        (&["--tenant-requests-per-minute", "0"], "1 to 1,000,000"),
        (&["chek"], "chek"),
    ];
    for (flags, expected) in cases {
        let output = command(flags).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn check_shows_where_everything_comes_from_and_no_secret() {
    let variables =
        [("VIP_DATABASE_URL", "postgres://u:c4n4ry@h/d"), ("HCLOUD_TOKEN", "c4n4ry"), ("VIP_ROLE", "worker")];
    let flags = ["--provider", "hetzner", "--role", "api", "check"];
    let output = command(&flags).envs(variables).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !shown.contains("c4n4ry"), "{shown}");
    assert!(shown.contains("role                     api"), "a flag counts more than the environment: {shown}");
    assert!(shown.contains("token from HCLOUD_TOKEN"), "{shown}");
}

#[test]
fn a_database_is_migrated_and_marked_as_restored_by_commands_that_need_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("vip.db").display());
    for (flags, says) in [
        (&["migrate"][..], "the schema is that of this version"),
        (&["mark-restored", "--operator", "on-call"], "0 servers wait for an operator, 0 rest as they are"),
    ] {
        let done = command(flags).env("VIP_DATABASE_URL", &url).output().unwrap();
        assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains(says), "{done:?}");
        let nameless = command(flags).output().unwrap();
        let error = String::from_utf8_lossy(&nameless.stderr).into_owned();
        assert!(nameless.status.code() == Some(1) && error.contains("VIP_DATABASE_URL"), "{error}");
    }
}

#[test]
fn a_database_that_is_missing_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vip.db");
    let url = format!("sqlite://{}", file.display());
    // A process that goes on would end at the address of the provider.
    let variables = [("VIP_DATABASE_URL", url.as_str()), ("HCLOUD_TOKEN", "c4n4ry"), ("HCLOUD_ENDPOINT", "here")];
    let cases: [&[&str]; 4] = [
        &["--provider", "hetzner"],
        &["--provider", "hetzner", "--role", "api"],
        &["--provider", "hetzner", "--role", "worker"],
        &["mark-restored", "--operator", "on-call"],
    ];
    for flags in cases {
        let output = command(flags).envs(variables).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {errors}");
        assert!(!file.exists(), "{flags:?} made it");
        for expected in ["vip.db; is its volume there?", "run `reference-server migrate` once to make one"] {
            assert!(errors.contains(expected) && !errors.contains("c4n4ry"), "{errors}");
        }
    }
    let migrated = command(&["migrate"]).envs(variables).output().unwrap();
    assert!(migrated.status.success() && file.exists(), "{migrated:?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_it_makes_is_closed_to_other_users_of_the_machine_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vip.db");
    let mut migrate = without_settings("sh");
    migrate.args(["-c", "umask 000; exec \"$0\" migrate", env!("CARGO_BIN_EXE_reference-server")]);
    let made = migrate.env("VIP_DATABASE_URL", format!("sqlite://{}", file.display())).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
}

#[test]
fn who_only_accepts_starts_and_takes_orders_while_redis_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("vip.db").display());
    let variables = [
        ("VIP_DATABASE_URL", database.as_str()),
        ("VIP_REDIS_URL", "redis://:c4n4ry@127.0.0.1:1"),
        ("HCLOUD_TOKEN", "c4n4ry"),
        ("HCLOUD_ENDPOINT", "http://127.0.0.1:1/v1"),
    ];
    assert!(command(&["migrate"]).envs(variables).output().unwrap().status.success());
    let flags = |role| ["--provider", "hetzner", "--listen", "127.0.0.1:0", "--role", role];
    let program = Program::spawn(command(&flags("api")).envs(variables), 6);
    let (status, accepted) = program.send("POST /v1/servers", program.order().1);
    assert_eq!(status, 202, "{accepted}");
    let (code, log) = program.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the queue on Redis is away") && !log.contains("c4n4ry"), "{log}");
    let works = command(&flags("worker")).envs(variables).output().unwrap();
    let errors = String::from_utf8(works.stderr).unwrap();
    assert!(works.status.code() == Some(1) && errors.contains("queue on Redis"), "{errors}");
}

#[test]
fn a_key_that_it_makes_is_known_to_a_process_that_reads_its_entry() {
    let made = command(&["new-key", "--id", "panel", "--tenant", "acme", "--scope", "tenant:read"]).output().unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, entries) = made.split_once('\n').unwrap();
    assert!(!entries.contains(key) && entries.contains("\"tenant\":\"acme\""), "{entries}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, entries).unwrap();
    let program = Program::start(&["--listen", "127.0.0.1:0", "--api-keys-file", file.to_str().unwrap()], 1);
    let mut stream = TcpStream::connect(program.address()).unwrap();
    let request =
        format!("GET /v1/servers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(program.end("-INT").0, Some(0));
}

#[test]
fn a_key_whose_entry_a_server_would_refuse_is_not_made() {
    let made = command(&["new-key", "--id", "panel", "--scope", "tenant:read"]).output().unwrap();
    let errors = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.code() == Some(1) && errors.contains("a scope of a tenant and no tenant"), "{errors}");
    assert!(made.stdout.is_empty(), "a key was shown");
}

#[test]
fn told_a_second_time_it_ends_at_once_and_says_that_this_was_no_success() {
    let program = Program::start(&["--listen", "127.0.0.1:0", "--grace-seconds", "600"], 6);
    let pid = program.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    while program.send("GET /readyz", "").0 == 200 {}
    let (code, log) = program.end("-INT");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("told to end a second time"), "{log}");
}

/// A thread takes along what it started when it ends, as a process does however it ends.
#[cfg(target_os = "linux")]
#[test]
fn it_does_not_outlive_the_test_that_started_it() {
    use tokio::time::{Duration, Instant};

    let mut program = std::thread::spawn(|| Program::start(&["--listen", "127.0.0.1:0"], 6)).join().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while program.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it lives on");
        std::thread::yield_now();
    }
    assert_eq!(program.child.wait().unwrap().code(), None, "it ended by itself");
}

#[test]
fn every_flag_that_the_how_to_names_is_one() {
    let page = include_str!("../../../docs/how-to/host-over-http.md");
    let mut known = String::new();
    for flags in [&["--help"][..], &["new-key", "--help"]] {
        known.push_str(&String::from_utf8(command(flags).output().unwrap().stdout).unwrap());
    }
    // What cargo is told stands before what the program is told.
    let of_cargo = ["--", "--release", "--locked", "--path"];
    let named = page.split([' ', '`', '\n']).filter(|word| word.starts_with("--") && !of_cargo.contains(word));
    let unknown: Vec<&str> = named.clone().filter(|word| !known.contains(&format!("{word} "))).collect();
    assert!(named.count() >= 8 && unknown.is_empty(), "{unknown:?}");
}
