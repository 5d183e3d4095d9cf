//! Connections that break: before the request has left, and after.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use vip_adapters::hetzner::{HetznerClient, HetznerConfig};
use vip_core::ports::{ProviderClient, ProviderErrorKind as Kind};

use super::{TOKEN, client, context, create_request, created, name};

/// A server that answers every request with these bytes and closes the connection; it counts the requests.
struct RawServer {
    address: SocketAddr,
    tasks: JoinSet<usize>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl RawServer {
    async fn answering(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut requests = 0;
            loop {
                let (stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    _ = &mut stopped => return requests,
                };
                requests += usize::from(answer_once(stream, &answer).await);
            }
        });
        Self { address, tasks, stop }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn requests(mut self) -> usize {
        self.stop.send(()).unwrap();
        self.tasks.join_next().await.unwrap().unwrap()
    }
}

/// Answers one request and closes; false if there was none.
async fn answer_once(mut stream: TcpStream, answer: &[u8]) -> bool {
    let is_read = read_request(&mut stream).await;
    if is_read {
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    is_read
}

/// Reads one whole request; false if the connection ends before.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return true;
            }
        }
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

fn http(length: usize, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into()
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    // Bound and closed again: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = client(&format!("http://{address}"));
    for error in [
        client.create(&create_request(), &context()).await.unwrap_err(),
        client.find(&name(), &context()).await.unwrap_err(),
    ] {
        assert_eq!((error.kind, error.code.as_str()), (Kind::NotSent, "not_sent"));
    }
}

#[tokio::test]
async fn no_cause_shows_what_was_asked_for() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = RawServer::answering(Vec::new()).await;
    for url in [format!("http://{nobody}"), server.url()] {
        let error = client(&url).find(&name(), &context()).await.unwrap_err();
        let mut said = format!("{error} {error:?}");
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            said = format!("{said} {error} {error:?}");
            cause = error.source();
        }
        assert!(!said.contains(name().as_str()), "{said}");
    }
}

#[tokio::test]
async fn a_failed_or_endless_tls_handshake_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = HetznerConfig::new(TOKEN);
    config.base_url = format!("https://{}", listener.local_addr().unwrap());
    config.connect_timeout = Duration::from_millis(200);
    let client = HetznerClient::new(config).unwrap();
    // The system takes the connection, nobody says a word: the connect time-out ends it.
    let error = client.create(&create_request(), &context()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::NotSent, "not_sent"));
    let (silent, _) = listener.accept().await.unwrap();
    let request = create_request();
    let context = context();
    let (answer, ()) = tokio::join!(client.create(&request, &context), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    assert_eq!(answer.unwrap_err().kind, Kind::NotSent);
    drop(silent);
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_request_is_unknown_and_nothing_is_sent_again() {
    let whole = created().to_string();
    let half = &whole[..whole.len() / 2];
    for answer in [
        Vec::new(),
        b"HTTP/1.1 201 Cre".to_vec(),
        b"no HTTP at all\r\n\r\n".to_vec(),
        http(whole.len(), ""),
        http(whole.len(), half),
        // Closed where the body seems to end: what is missing shows only in the JSON.
        http(half.len(), half),
    ] {
        let server = RawServer::answering(answer.clone()).await;
        let error = client(&server.url()).create(&create_request(), &context()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unknown, "{}", String::from_utf8_lossy(&answer));
        assert_eq!(server.requests().await, 1);
    }
    let server = RawServer::answering(http(whole.len(), &whole)).await;
    assert!(client(&server.url()).create(&create_request(), &context()).await.is_ok());
}

#[tokio::test]
async fn a_create_on_a_used_connection_that_is_cut_is_unknown_and_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let list = r#"{"servers":[],"meta":{"pagination":{"next_page":null}}}"#;
    let (request, name, context) = (create_request(), name(), context());
    let calls = async {
        assert_eq!(client.find(&name, &context).await.unwrap(), None);
        client.create(&request, &context).await.unwrap_err().kind
    };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(read_request(&mut stream).await);
        stream.write_all(&http(list.len(), list)).await.unwrap();
        assert!(read_request(&mut stream).await, "the create comes on the same connection");
        drop(stream);
        // A second try would come on a second connection.
        listener.accept().await.unwrap();
    };
    tokio::select! {
        kind = calls => assert_eq!(kind, Kind::Unknown),
        () = server => panic!("the create was sent again"),
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_a_list_is_no_empty_list() {
    let list = r#"{"servers":[],"meta":{"pagination":{"next_page":null}}}"#;
    let server = RawServer::answering(http(list.len(), list)).await;
    assert_eq!(client(&server.url()).find(&name(), &context()).await.unwrap(), None);
    let server = RawServer::answering(http(list.len(), r#"{"servers":[]"#)).await;
    assert_eq!(client(&server.url()).find(&name(), &context()).await.unwrap_err().kind, Kind::Unknown);
}

#[tokio::test]
async fn a_proxy_is_used_if_it_is_asked_for() {
    let proxy = RawServer::answering(http(created().to_string().len(), &created().to_string())).await;
    let mut config = HetznerConfig::new(TOKEN);
    config.base_url = "http://127.0.0.1:1/v1".to_owned();
    config.proxy = Some(proxy.url().into());
    assert!(HetznerClient::new(config).unwrap().create(&create_request(), &context()).await.is_ok());
    assert_eq!(proxy.requests().await, 1);
}
