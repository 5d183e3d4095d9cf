//! What 5,000 half-open connections from 50 addresses cost a server: memory, and the time of a client that behaves.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vip_core::Provisioner;
use vip_core::model::TenantId;
use vip_http::{Api, ApiKeys, NewApiKey, Scope, Server, ServerSettings};
use vip_tests::site::pause;

const CONNECTIONS: usize = 5_000;
const ADDRESSES: usize = 50;
/// How long they are held, and opened anew when the server ends them; `VIP_TEST_SECONDS` says otherwise.
const HELD: Duration = Duration::from_secs(30);
/// Requests of the client that behaves, before.
const REQUESTS: usize = 1_000;
const GROWTH_MOST: u64 = 20 * 1024 * 1024;
/// How many times the time without them.
const RATIO_MOST: f64 = 2.0;

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await,
        _ => measure().await,
    }
}

/// Is the server, in a process of its own.
async fn serve() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("vip.db").display());
    let backend = vip_adapters::connect(&url).await.unwrap();
    let provisioner = Provisioner::builder(backend).client_only().await.unwrap();
    let key = NewApiKey::generate("bench", Some(TenantId::new("acme").unwrap()), [Scope::TenantRead]).unwrap();
    let api = Api::new(&provisioner, ApiKeys::new([key.entry]).unwrap()).unwrap();
    let server = Server::bind(([127, 0, 0, 1], 0).into(), ServerSettings::default()).await.unwrap();
    println!("{} {}", server.local_address().unwrap(), secrecy::ExposeSecret::expose_secret(&key.key));
    let report = server.serve(api.application(), CancellationToken::new(), Duration::from_secs(1)).await;
    println!("{report:?}");
}

async fn measure() {
    let held = std::env::var("VIP_TEST_SECONDS").ok().map_or(HELD, |text| Duration::from_secs(text.parse().unwrap()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let (address, key) = line.trim().split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let pid = child.id().unwrap();

    let mut before = Vec::new();
    for _ in 0..REQUESTS {
        before.push(request(address, key).await);
    }
    let resident = memory(pid);
    let mut holders = JoinSet::new();
    for number in 0..CONNECTIONS {
        holders.spawn(hold(address, number));
    }
    let (mut during, mut most, began) = (Vec::new(), resident, Instant::now());
    while began.elapsed() < held {
        during.push(request(address, key).await);
        most = most.max(memory(pid));
    }
    holders.shutdown().await;
    child.kill().await.unwrap();

    let (without, with) = (percentile(&mut before), percentile(&mut during));
    let growth = most.saturating_sub(resident);
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    println!(
        "{CONNECTIONS} half-open connections from {ADDRESSES} addresses for {held:?}: memory {resident} + {growth} bytes; \
         p99 {without:?} without ({} requests), {with:?} with ({} requests), {ratio:.2} times",
        before.len(),
        during.len()
    );
    assert!(growth <= GROWTH_MOST, "memory grew by {growth} bytes");
    assert!(ratio <= RATIO_MOST, "p99 is {ratio:.2} times what it was");
}

/// Holds a connection that never finishes its header; opens it anew when the server ends it.
async fn hold(address: SocketAddr, number: usize) {
    let host = u8::try_from(number % ADDRESSES).unwrap() + 2;
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        let Ok(mut stream) = socket.connect(address).await else {
            pause(Duration::from_millis(100)).await;
            continue;
        };
        if stream.write_all(b"GET /v1/servers HTTP/1.1\r\nHost: a\r\nX: ").await.is_ok() {
            drop(stream.read(&mut [0; 64]).await);
        }
        pause(Duration::from_millis(100)).await;
    }
}

/// Makes one request on a connection of its own, as a client that behaves and has none yet.
async fn request(address: SocketAddr, key: &str) -> Duration {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("GET /v1/servers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    started.elapsed()
}

/// Returns the resident memory of a process.
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn percentile(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
