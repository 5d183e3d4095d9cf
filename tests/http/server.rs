//! The server over real sockets: what is not clear is refused, what takes too long ends, who went away costs nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vip_http::axum::extract::Request;
use vip_http::axum::middleware::{Next, from_fn};
use vip_http::limits;
use vip_http::{ServeReport, Server, ServerSettings};
use vip_tests::site::until;

use crate::app::{App, order};

/// How long requests may take once the server ends; less than the longest wait for an operation.
const DRAIN: Duration = Duration::from_secs(20);

/// Is an application behind a socket.
pub(crate) struct Served {
    app: App,
    /// Requests that were handed to the application.
    begun: Arc<AtomicUsize>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinSet<ServeReport>,
}

impl Served {
    pub(crate) async fn with(app: App, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let mut settings = ServerSettings::default();
        change(&mut settings);
        let server = Server::bind(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let address = server.local_address().unwrap();
        let (stop, mut serving) = (CancellationToken::new(), JoinSet::new());
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = begun.clone();
        let router = app.router.clone().layer(from_fn(move |request: Request, next: Next| {
            counted.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
        serving.spawn(server.serve(router, stop.clone(), DRAIN));
        Self { app, begun, address, stop, serving }
    }

    /// Waits until so many requests were handed to the application.
    async fn until_begun(&self, requests: usize) {
        until("the request is handled", async || self.begun.load(Ordering::SeqCst) >= requests).await;
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads until the other side ends it.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", self.app.acme.0)
    }

    fn order(&self, key: &str) -> String {
        let body = order("web-1").to_string();
        format!(
            "POST /v1/servers HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.app.acme.0,
            body.len()
        )
    }

    pub(crate) async fn end(mut self) -> ServeReport {
        self.stop.cancel();
        let report = self.serving.join_next().await.unwrap().unwrap();
        self.app.end().await;
        report
    }
}

/// Reads until the other side ends the connection; a reset is an end, too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Reads one answer with a length.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        text.push(char::from(byte[0]));
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    text + &String::from_utf8(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_programs_could_read_in_two_ways_is_refused_and_ends_the_connection() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    let hidden = served.get("/v1/servers");
    let head = "POST /v1/servers HTTP/1.1\r\nHost: a\r\n";
    let length = hidden.len() + 5;
    let cases = [
        ("CL.TE", format!("{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("TE.CL", format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{hidden}\r\n0\r\n\r\n")),
        ("TE.TE", format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{hidden}")),
        ("TE x", format!("{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("TE twice", format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}")),
        ("TE space", format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("TE of 1.0", format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("CL twice", format!("{head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n{hidden}")),
        ("CL differs", format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}")),
        ("CL list", format!("{head}Content-Length: 0, 0\r\n\r\n{hidden}")),
        ("CL plus", format!("{head}Content-Length: +0\r\n\r\n{hidden}")),
        ("CL minus", format!("{head}Content-Length: -1\r\n\r\n{hidden}")),
        ("CL hex", format!("{head}Content-Length: 0x0\r\n\r\n{hidden}")),
        ("LF", format!("GET /livez HTTP/1.1\nHost: a\n\n{hidden}")),
        ("LF in header", format!("GET /livez HTTP/1.1\r\nHost: a\nX: b\r\n\r\n{hidden}")),
        ("CR in header", format!("GET /livez HTTP/1.1\r\nHost: a\rX: b\r\n\r\n{hidden}")),
        ("fold", format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n{hidden}")),
        ("NUL", format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n{hidden}")),
        ("name", format!("GET /livez HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n{hidden}")),
    ];
    for (name, bytes) in cases {
        let answers = served.exchange(bytes.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 400 ") || answers.starts_with("HTTP/1.0 400 "), "{name}: {answers}");
        assert_eq!(answers.matches("HTTP/1.").count(), 1, "{name}: the hidden request was answered: {answers}");
    }
    assert_eq!(served.end().await.cut, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_before_the_answer_to_the_one_before_is_refused_and_one_after_it_is_not() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    let get = served.get("/v1/servers");
    let both = served.exchange(format!("{get}{get}").as_bytes()).await;
    assert!(both.starts_with("HTTP/1.1 200 ") && both.contains("HTTP/1.1 400 "), "{both}");
    assert!(both.contains("malformed_request") && both.ends_with('}'), "{both}");

    let mut stream = served.connect().await;
    for number in 0..5 {
        stream.write_all(served.order(&format!("order-{number}")).as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
        stream.write_all(get.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(served.end().await.cut, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_and_a_rest_that_last_too_long_end_the_connection() {
    let short = Duration::from_millis(300);
    let served = Served::with(App::accepting().await, |settings| settings.header = short).await;
    for begin in ["", "GET /livez HT", "GET /livez HTTP/1.1\r\nHost: a\r\n"] {
        assert_eq!(served.exchange(begin.as_bytes()).await, "", "{begin}");
    }
    assert_eq!(served.end().await.timed_out, 3);

    let served = Served::with(App::accepting().await, |settings| settings.idle = short).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "), "it is answered and then rests too long");
    assert_eq!(served.end().await.timed_out, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_connections_and_one_more_is_closed_at_once() {
    let served = Served::with(App::accepting().await, |settings| settings.connections_per_address = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
        held.push(stream);
    }
    assert_eq!(rest(&mut served.connect().await).await, "");
    drop(held.pop());
    let closing = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // Until the server has seen that one has gone, there is no place.
    let mut answers = String::new();
    until("there is a place again", async || {
        answers = served.exchange(closing).await;
        !answers.is_empty()
    })
    .await;
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(served.end().await.refused >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_do_not_keep_others_out() {
    let change = |settings: &mut ServerSettings| settings.unproven_per_address = 4;
    let served = Served::with(App::accepting().await, change).await;
    let port = served.address.port();
    let mut silent = Vec::new();
    for host in 2..52_u8 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHo").await.unwrap();
        silent.push(stream);
    }
    // These have all places of their address; whoever comes fifth is answered when they are given up, if not before.
    let waiting: Vec<TcpStream> = futures_util::future::join_all((0..4).map(|_| served.connect())).await;
    let closing = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let fifth = served.exchange(closing);
    let (answers, ()) = tokio::join!(fifth, async { drop(waiting) });
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    drop(silent);
    assert_eq!(served.end().await.cut, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_the_headers_have_their_most() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    let of_path = |length: usize| {
        let path = format!("/livez?{}", "q".repeat(length - "/livez?".len()));
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };
    assert!(served.exchange(of_path(limits::URI_BYTES).as_bytes()).await.starts_with("HTTP/1.1 200 "));
    let too_long = served.exchange(of_path(limits::URI_BYTES + 1).as_bytes()).await;
    assert!(too_long.starts_with("HTTP/1.1 414 ") && too_long.contains("uri_too_long"), "{too_long}");

    let of_headers = |count: usize| {
        let more: String = (2..count).map(|number| format!("X-{number}: 1\r\n")).collect();
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    };
    assert!(served.exchange(of_headers(limits::HEADERS).as_bytes()).await.starts_with("HTTP/1.1 200 "));
    assert!(served.exchange(of_headers(limits::HEADERS + 1).as_bytes()).await.starts_with("HTTP/1.1 431 "));

    let of_bytes = |count: usize| {
        let head = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n";
        head.replace("X: ", &format!("X: {}", "x".repeat(count - head.len())))
    };
    assert!(served.exchange(of_bytes(limits::HEADER_BYTES).as_bytes()).await.starts_with("HTTP/1.1 200 "));
    assert!(served.exchange(of_bytes(limits::HEADER_BYTES + 1).as_bytes()).await.starts_with("HTTP/1.1 431 "));
    assert_eq!(served.end().await.cut, 0);
}

/// As `docs/problems.md` says: there is no request yet that a document could be about.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_read_or_is_too_large_is_refused_without_a_body() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    for (status, headers) in [("400", "X: b\0c\r\n".to_owned()), ("431", "X: 1\r\n".repeat(limits::HEADERS))] {
        let answer = served.exchange(format!("GET /livez HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!(served.end().await.cut, 0);
}

/// Such a client reads once it has sent everything. A connection that is reset may take the answer with it, and its end is an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_reads_no_body_or_not_all_of_it_reaches_who_has_sent_all_of_it() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    let post = |headers: &str, length: usize| {
        let body = " ".repeat(length);
        format!("POST /v1/servers HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
    };
    let known = format!("Authorization: Bearer {}\r\nIdempotency-Key: order-1\r\n", served.app.acme.0);
    let cases = [
        ("401", post("", 64 * 1024)),
        ("415", post(&known, 64 * 1024)),
        ("413", post(&format!("{known}Content-Type: application/json\r\n"), limits::BODY_BYTES + 64 * 1024)),
    ];
    for (status, bytes) in cases {
        let mut stream = served.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        assert!(read.is_ok(), "{status}: {read:?} after {answer}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(served.end().await.cut, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_for_a_client_that_went_away_is_cancelled_but_not_an_order_that_is_committed() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    let mut stream = served.connect().await;
    stream.write_all(served.order("order-1").as_bytes()).await.unwrap();
    let accepted = answer(&mut stream).await;
    let id = accepted.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    stream.write_all(served.get(&format!("/v1/operations/{id}?wait=30")).as_bytes()).await.unwrap();
    served.until_begun(2).await;
    drop(stream);
    let mut gone = served.connect().await;
    gone.write_all(served.order("order-2").as_bytes()).await.unwrap();
    let tenant = served.app.provisioner.tenant("acme");
    let page = vip_core::model::PageRequest::first(vip_core::model::PageLimit::most());
    until("the order is committed", async || tenant.servers(&page).await.unwrap().items.len() == 2).await;
    drop(gone);
    // Whoever still waited would have to be cut: the wait is longer than the time to end.
    let report = served.end().await;
    assert_eq!((report.cut, report.requests), (0, 3), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_answers_what_it_has_and_takes_nothing_new() {
    let served = Served::with(App::accepting().await, |_| {}).await;
    let mut idle = served.connect().await;
    let mut busy = served.connect().await;
    busy.write_all(served.order("order-1").as_bytes()).await.unwrap();
    let accepted = answer(&mut busy).await;
    let id = accepted.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    busy.write_all(served.get(&format!("/v1/operations/{id}?wait=30")).as_bytes()).await.unwrap();
    served.until_begun(2).await;
    served.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    until("nobody listens", async || TcpStream::connect(served.address).await.is_err()).await;
    // What it waits for comes to its end.
    drop(served.app.provisioner.tenant("acme").cancel(id.parse().unwrap()).await.unwrap());
    let last = rest(&mut busy).await;
    assert!(last.starts_with("HTTP/1.1 200 ") && last.contains("connection: close"), "{last}");
    assert_eq!(served.end().await.cut, 0);
}

/// On one thread, so that nothing of the server runs between its end and the requests that are on their way then.
#[tokio::test]
async fn who_drains_says_so_with_each_answer_and_a_request_on_its_way_to_one_that_ends_is_answered() {
    let change = |settings: &mut ServerSettings| {
        (settings.unproven_per_address, settings.header) = (2, Duration::from_secs(60));
    };
    let served = Served::with(App::accepting().await, change).await;
    let (mut kept, mut fresh, get) = (served.connect().await, served.connect().await, served.get("/v1/servers"));
    kept.write_all(get.as_bytes()).await.unwrap();
    assert!(!answer(&mut kept).await.contains("connection: close"));
    served.app.api.drain();
    kept.write_all(get.as_bytes()).await.unwrap();
    assert!(rest(&mut kept).await.contains("connection: close"), "a client that keeps its connection looks elsewhere");
    let mut kept = served.connect().await;
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    // Waits for one of the two before it.
    let mut queued = served.connect().await;
    queued.write_all(get.as_bytes()).await.unwrap();
    served.stop.cancel();
    kept.write_all(b"\r\n").await.unwrap();
    fresh.write_all(get.as_bytes()).await.unwrap();
    for stream in [&mut kept, &mut fresh, &mut queued] {
        let last = rest(stream).await;
        assert!(last.starts_with("HTTP/1.1 200 ") && last.contains("connection: close"), "{last}");
    }
    let report = served.end().await;
    assert_eq!((report.cut, report.requests), (0, 5), "{report:?}");
}
