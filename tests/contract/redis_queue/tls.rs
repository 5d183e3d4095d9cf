//! Redis behind TLS: it works as without, and a server that nobody vouches for is not told anything.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use vip_adapters::redis::{OpenError, RedisCache, RedisConfig, RedisQueue};
use vip_core::conformance::job_queue::{claim, enqueue, job, settle};
use vip_core::ports::{Enqueued, JobQueue, Settled, Verdict};
use vip_core::telemetry::causes;
use vip_tests::authority::Authority;
use vip_tests::redis_server::RedisServer;
use vip_tests::site::pause;

const SECOND: Duration = Duration::from_secs(1);

async fn refusal(url: &str, config: RedisConfig) -> OpenError {
    RedisQueue::open(url, config).await.unwrap_err()
}

#[tokio::test]
async fn a_queue_behind_tls_works_as_one_without_and_reconnects() {
    let authority = Authority::default();
    let Some(mut server) = RedisServer::start_with_tls("works", &authority.certificate_for("127.0.0.1")) else {
        return;
    };
    let config = || RedisConfig::queue().trust(authority.pem());
    let queue = RedisQueue::open(&server.url(), config()).await.unwrap();
    let other = RedisQueue::open(&server.url(), config()).await.unwrap();
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    let lease = claim(&queue, 1).await[0].lease.reference;
    assert_eq!(settle(&queue, lease, Verdict::Done).await, Settled::Applied);
    // The connection that blocks is another one.
    let begin = Instant::now();
    let later = async {
        pause(Duration::from_millis(50)).await;
        assert_eq!(enqueue(&other, job("b")).await, Enqueued::Inserted);
    };
    tokio::join!(queue.wait(30 * SECOND), later);
    assert!(begin.elapsed() < 10 * SECOND, "{:?}", begin.elapsed());
    server.restart();
    let reconnected = timeout(10 * SECOND, async {
        while queue.stats(&[]).await.is_err() {
            pause(Duration::from_millis(5)).await;
        }
    });
    reconnected.await.unwrap();
    assert_eq!(enqueue(&queue, job("c")).await, Enqueued::Inserted);
}

#[tokio::test]
async fn a_server_that_an_unknown_authority_vouches_for_is_refused() {
    let authority = Authority::default();
    let Some(server) = RedisServer::start_with_tls("unknown", &authority.certificate_for("127.0.0.1")) else { return };
    let of_the_same_name = RedisConfig::queue().trust(Authority::default().pem());
    for (config, why) in [(of_the_same_name, "BadSignature"), (RedisConfig::queue(), "UnknownIssuer")] {
        let error = refusal(&server.url(), config).await;
        assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
        assert!(causes(&error).to_string().contains(why), "{}", causes(&error));
    }
    let commands: String = server.ask(&["INFO", "commandstats"]);
    assert!(!commands.contains("cmdstat_info"), "a refused server is told nothing: {commands}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::default();
    let Some(server) = RedisServer::start_with_tls("name", &authority.certificate_for("localhost")) else { return };
    let url = server.url().replace("localhost", "127.0.0.1");
    let error = refusal(&url, RedisConfig::queue().trust(authority.pem())).await;
    assert!(causes(&error).to_string().contains("not valid for name"), "{}", causes(&error));
}

#[tokio::test]
async fn with_tls_at_one_end_alone_a_connection_fails_in_time() {
    let authority = Authority::default();
    let Some(server) = RedisServer::start_with_tls("one end", &authority.certificate_for("127.0.0.1")) else { return };
    let plain = RedisServer::start_on_port();
    let config = || RedisConfig::queue().connect_deadline(SECOND).answer_deadline(SECOND);
    let begin = Instant::now();
    let without = refusal(&server.url().replace("rediss:", "redis:"), config()).await;
    let with = refusal(&plain.url().replace("redis:", "rediss:"), config().trust(authority.pem())).await;
    assert!(matches!((&without, &with), (OpenError::Unavailable { .. }, OpenError::Unavailable { .. })));
    assert!(begin.elapsed() < 10 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn settings_that_would_prove_nothing_are_refused() {
    let authority = Authority::default().pem();
    let wrong = [
        ("redis://127.0.0.1:1", RedisConfig::queue().trust(authority.clone())),
        ("rediss://127.0.0.1:1/#insecure", RedisConfig::queue().trust(authority.clone())),
        ("REDISS://127.0.0.1:1/#insecure", RedisConfig::queue()),
        (" rediss://127.0.0.1:1/#insecure", RedisConfig::queue()),
        ("rediss://127.0.0.1:1", RedisConfig::queue().trust("")),
        ("rediss://127.0.0.1:1", RedisConfig::queue().trust("-----BEGIN CERTIFICATE-----")),
        ("rediss://127.0.0.1:1", RedisConfig::queue().trust(authority.replace("MII", "III"))),
    ];
    for (url, config) in wrong {
        let error = refusal(url, config.clone()).await;
        assert!(matches!(error, OpenError::Config { .. }), "{url}: {error:?}");
        let error = RedisCache::open(url, config).unwrap_err();
        assert!(matches!(error, OpenError::Config { .. }), "{url}: {error:?}");
    }
}
