//! The two skins: in process under a paused clock, and over HTTP on a real socket.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{Fault, FaultRule, Ledger, RouteMatcher, Simulator, SimulatorServer};
use super::{DEFAULT_TOKEN, order, request};
use crate::hetzner::transport::{Transport, TransportError};

fn create(name: &str) -> http::Request<bytes::Bytes> {
    request(Method::POST, "/v1/servers", Some(order(name)), Some(DEFAULT_TOKEN))
}

#[tokio::test(start_paused = true)]
async fn server_runs_after_virtual_minutes_in_no_time() {
    let simulator = Simulator::builder().create_time(Duration::from_secs(180)).build();
    let transport = simulator.transport();
    let answer = transport.send(create("web-1")).await.unwrap();
    assert_eq!(answer.status(), 201);
    tokio::time::advance(Duration::from_secs(600)).await;
    let list = request(Method::GET, "/v1/servers?status=running", None, Some(DEFAULT_TOKEN));
    let answer = simulator.transport().send(list).await.unwrap();
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["servers"][0]["name"], "web-1");
    assert_eq!(simulator.ledger().now.since_start(), Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn cut_connection_is_a_lost_answer() {
    let simulator = Simulator::builder().build();
    let rule = FaultRule::next(1, RouteMatcher::create_server(), Fault::CutAfter);
    simulator.add_fault(rule).unwrap();
    let result = simulator.transport().send(create("web-1")).await;
    assert!(matches!(result, Err(TransportError::Lost(_))));
    assert_eq!(simulator.ledger().live("default").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn request_that_its_caller_gave_up_had_its_effect() {
    let simulator = Simulator::builder().answer_time(Duration::from_secs(60)).build();
    let transport = simulator.transport();
    let send = transport.send(create("web-1"));
    assert!(tokio::time::timeout(Duration::from_secs(30), send).await.is_err());
    assert_eq!(simulator.ledger().live("default").count(), 1);
}

/// Sends bytes on a connection and reads until the end of a response without a body of chunks, or of the connection.
async fn exchange(stream: &mut TcpStream, text: &str) -> Vec<u8> {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    loop {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return answer;
        }
        answer.push(byte[0]);
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(head) = head else { continue };
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.lines().next().unwrap().trim().parse::<usize>().unwrap());
        if answer.len() == head + 4 + length {
            return answer;
        }
    }
}

async fn connect(server: &SimulatorServer) -> TcpStream {
    TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap()
}

async fn ask(stream: &mut TcpStream, method: &str, path: &str, body: &Value) -> (String, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer {DEFAULT_TOKEN}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = String::from_utf8(exchange(stream, &text).await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, serde_json::from_str(body).unwrap_or_default())
}

async fn serve(simulator: &Simulator) -> SimulatorServer {
    simulator.serve("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn cut_closes_the_socket_without_a_byte() {
    let simulator = Simulator::builder().build();
    simulator.add_fault(FaultRule::next(1, RouteMatcher::any(), Fault::CutBefore)).unwrap();
    let server = serve(&simulator).await;
    let mut stream = connect(&server).await;
    let text = "GET /v1/servers HTTP/1.1\r\nhost: sim\r\n\r\n";
    assert_eq!(exchange(&mut stream, text).await, b"");
    server.shutdown().await;
}

#[tokio::test]
async fn control_interface_reads_and_changes_the_world() {
    let server = serve(&Simulator::builder().build()).await;
    let mut stream = connect(&server).await;
    let foreign = json!({"name": "foreign", "labels": {"a": "b"}});
    let (status, body) = ask(&mut stream, "POST", "/_sim/servers", &foreign).await;
    assert_eq!(status, "201");
    let id = body["id"].clone();
    assert_eq!(ask(&mut stream, "POST", "/_sim/servers", &foreign).await.0, "409");
    let rule = json!({
        "route": {"method": "GET", "route": "/servers"},
        "when": {"next": {"requests": 1}},
        "fault": {"kind": "fail", "failure": "timeout", "effect": "none"},
    });
    assert_eq!(ask(&mut stream, "POST", "/_sim/faults", &json!([rule])).await.0, "204");
    assert_eq!(ask(&mut stream, "GET", "/v1/servers", &Value::Null).await.0, "504");
    assert_eq!(ask(&mut stream, "POST", "/_sim/faults", &rule).await.0, "204");
    assert_eq!(ask(&mut stream, "DELETE", "/_sim/faults", &Value::Null).await.0, "204");
    assert_eq!(ask(&mut stream, "GET", "/v1/servers", &Value::Null).await.0, "200");
    let path = format!("/_sim/servers/{id}");
    assert_eq!(ask(&mut stream, "DELETE", &path, &Value::Null).await.0, "204");
    assert_eq!(ask(&mut stream, "DELETE", &path, &Value::Null).await.0, "404");
    let (_, body) = ask(&mut stream, "GET", "/_sim/ledger", &Value::Null).await;
    let ledger: Ledger = serde_json::from_value(body).unwrap();
    assert_eq!((ledger.servers.len(), ledger.live("default").count()), (1, 0));
    assert_eq!(ledger.request_total(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn control_interface_refuses_what_it_does_not_know() {
    let server = serve(&Simulator::builder().build()).await;
    let mut stream = connect(&server).await;
    for (path, body) in [
        ("/_sim/faults", json!({"when": "always", "fault": {"kind": "cut_befor"}})),
        ("/_sim/faults", json!({"when": "always", "fault": {"kind": "cut_before"}, "rout": {}})),
        ("/_sim/servers", json!({"name": "x", "label": {}})),
    ] {
        assert_eq!(ask(&mut stream, "POST", path, &body).await.0, "400", "{body}");
    }
    assert_eq!(ask(&mut stream, "GET", "/_sim/nope", &Value::Null).await.0, "404");
    server.shutdown().await;
}

#[tokio::test]
async fn clients_connections_are_counted_and_the_observers_is_not() {
    let simulator = Simulator::builder().build();
    let server = serve(&simulator).await;
    let mut observer = connect(&server).await;
    let (_, body) = ask(&mut observer, "GET", "/_sim/connections", &Value::Null).await;
    assert_eq!(body, json!({"open": 0}));
    let mut client = connect(&server).await;
    ask(&mut client, "GET", "/v1/servers", &Value::Null).await;
    let (_, body) = ask(&mut observer, "GET", "/_sim/connections", &Value::Null).await;
    assert_eq!(body, json!({"open": 1}));
    server.shutdown().await;
    assert_eq!(simulator.open_connections(), 0);
}

#[tokio::test]
async fn shutdown_cuts_held_back_answers_and_leaves_no_task() {
    let simulator = Simulator::builder().answer_time(Duration::from_secs(3600)).build();
    let server = serve(&simulator).await;
    let mut stream = connect(&server).await;
    let text = format!("GET /v1/servers HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer {DEFAULT_TOKEN}\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    while simulator.ledger().request_total() == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
    assert_eq!(simulator.open_connections(), 0);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap_or_default();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn body_limit_holds_at_one_mebibyte_and_one_more() {
    let server = serve(&Simulator::builder().build()).await;
    for (length, expected) in [(1024 * 1024, "400"), (1024 * 1024 + 1, "413")] {
        let mut stream = connect(&server).await;
        let body = Value::String("x".repeat(length - 2));
        assert_eq!(ask(&mut stream, "POST", "/v1/servers", &body).await.0, expected);
    }
    server.shutdown().await;
}
