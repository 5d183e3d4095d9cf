//! The token is in no log line, at any level, of us or of the HTTP crates beneath.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use vip_core::model::UserData;
use vip_core::ports::ProviderClient;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{TOKEN, client, context, create_request, id};

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_log_line_shows_the_token_or_what_the_provider_said() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    // For the whole process: a subscriber of one thread misses what another thread has asked about first.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let text = format!("Limit of '3600' requests per hour for token '{TOKEN}...' reached, swordfish");
    let body = serde_json::json!({"error": {"code": "rate_limit_exceeded", "message": text}});
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(429).set_body_json(body)).mount(&server).await;
    let mut request = create_request();
    request.user_data = Some(UserData::new("swordfish"));
    let client = client(&server.uri());
    client.create(&request, &context()).await.unwrap_err();
    client.get(&id(), &context()).await.unwrap_err();
    tracing::info!(?client, "shown");
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("provider called") && lines.contains("throttled"), "{lines}");
    assert!(lines.contains(" TRACE "), "the crates beneath are heard too: {lines}");
    // The mock server, which plays the provider in the same thread, logs nothing of what it gets.
    for part in [TOKEN, &TOKEN[..12], "swordfish"] {
        let line = lines.lines().find(|line| line.contains(part));
        assert_eq!(line, None, "{part} is shown");
    }
}
