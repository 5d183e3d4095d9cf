//! The token is in no log line, at any level, of us or of the HTTP crates beneath.

use tracing_subscriber::filter::LevelFilter;
use vip_core::model::UserData;
use vip_core::ports::ProviderClient;
use vip_tests::lines::Lines;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{TOKEN, client, context, create_request, id};

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
    let lines = lines.text();
    assert!(lines.contains("provider called") && lines.contains("throttled"), "{lines}");
    assert!(lines.contains(" TRACE "), "the crates beneath are heard too: {lines}");
    // The mock server, which plays the provider in the same thread, logs nothing of what it gets.
    for part in [TOKEN, &TOKEN[..12], "swordfish"] {
        let line = lines.lines().find(|line| line.contains(part));
        assert_eq!(line, None, "{part} is shown");
    }
}
