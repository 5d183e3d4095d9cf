//! Secrets leave no trace, in whatever form: not in logs, metrics, errors, `Debug` or the audit, nor in the file after use.

use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use metrics_exporter_prometheus::PrometheusBuilder;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::level_filters::LevelFilter;
use vip_adapters::hetzner::simulator::{Effect, Failure, Fault, FaultRule, RouteMatcher, Simulator, SimulatorServer};
use vip_adapters::hetzner::{HetznerClient, HetznerConfig};
use vip_core::model::{Labels, Power, ProviderActionId, ProviderName, ProviderServerId, TenantId, UserData};
use vip_core::ports::{CreateRequest, ProviderClient, ProviderError, RequestContext};
use vip_tests::site::{Site, spec};
use vip_tests::truth;

use crate::cloud::TENANT;

/// Each holds what every way of writing it down has to escape.
const TOKEN: &str = r#"canary/t0ken+7f3a"quoted"\back%41&of=the~account"#;
const USER_DATA: &str = "canary user-data 9d1c \"quoted\" \\back /slash+plus & ümlaut <7c1f9e52>";
const ROOT_PASSWORD: &str = r#"canary-root-5b2e"quoted"\/+&%"#;
const PROXY_PASSWORD: &str = "canary-proxy-1e77";
/// What the text of a 429 shows of a token, and no more than that may stand anywhere either.
const TOKEN_PART_BYTES: usize = 16;
const SECRETS: [&str; 4] = [TOKEN, USER_DATA, ROOT_PASSWORD, PROXY_PASSWORD];
/// What a URL library leaves as it is in a path.
const IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'%').add(b'\\');

/// Every form in which a secret could stand somewhere.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let inner = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let url = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let json = inner(serde_json::to_string(secret).unwrap());
    let mut forms = vec![
        secret.to_owned(),
        json.clone(),
        // JSON in JSON, and what `Debug` of a string shows.
        inner(serde_json::to_string(&json).unwrap()),
        inner(format!("{secret:?}")),
        inner(format!("{:?}", format!("{secret:?}"))),
        url.clone(),
        url.replace("%20", "+"),
        url.to_lowercase(),
        utf8_percent_encode(secret, IN_PATH).to_string(),
    ];
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        // In base64 a text reads in three ways, by what stands before it; the ends mix with their neighbours.
        forms.extend((0..3).map(|start| {
            let text = engine.encode(secret.as_bytes().get(start..).unwrap());
            text[..text.len() - 2].to_owned()
        }));
    }
    let mut bytes: Vec<Vec<u8>> = forms.into_iter().map(String::into_bytes).collect();
    // A list of numbers is what `Debug` of bytes shows.
    bytes.push(inner(format!("{:?}", secret.as_bytes())).into_bytes());
    bytes
}

fn all_forms() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = SECRETS.into_iter().flat_map(forms).collect();
    all.extend(forms(&TOKEN[..TOKEN_PART_BYTES]));
    all.sort();
    all.dedup();
    all
}

/// Counts how often bytes stand in others.
fn hits(shown: &[u8], wanted: &[u8]) -> usize {
    shown.windows(wanted.len()).filter(|window| *window == wanted).count()
}

fn demand_silence(what: &str, shown: &[u8]) {
    for form in all_forms() {
        assert_eq!(hits(shown, &form), 0, "{} stands in {what}", String::from_utf8_lossy(&form));
    }
}

fn demand_silent_debug(what: &str, shown: &impl Debug) {
    demand_silence(what, format!("{shown:?} {shown:#?}").as_bytes());
}

fn demand_silent_error(error: &(dyn Error + 'static)) {
    let mut said = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        said = format!("{said} {error} {error:?} {error:#?}");
        next = error.source();
    }
    demand_silence("an error", said.as_bytes());
}

fn files(folder: &Path) -> Vec<u8> {
    fs::read_dir(folder).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn cloud() -> Simulator {
    Simulator::builder()
        .create_time(Duration::from_millis(50))
        .delete_time(Duration::from_millis(20))
        .rate_limit_per_hour(1_000_000)
        .root_password(ROOT_PASSWORD)
        .project("first", TOKEN)
        .build()
}

fn client(server: &SimulatorServer) -> HetznerClient {
    HetznerClient::at(format!("{}/v1", server.url()), TOKEN).unwrap()
}

fn order(name: &str) -> CreateRequest {
    CreateRequest {
        name: ProviderName::new(name).unwrap(),
        server_type: "cpx22".to_owned(),
        location: "fsn1".to_owned(),
        image: "ubuntu-24.04".to_owned(),
        // Without a key the answer carries a root password.
        ssh_keys: Vec::new(),
        labels: Labels::new(),
        user_data: Some(UserData::new(USER_DATA)),
        power: Power::On,
    }
}

/// What goes wrong while the canaries are on their way; the texts of the provider carry them too.
fn faults() -> Vec<Fault> {
    let message = format!("{TOKEN} {USER_DATA} {ROOT_PASSWORD}");
    let refuse = |status, code: &str| Fault::Refuse { status, code: code.to_owned(), message: message.clone() };
    vec![
        Fault::TooManyRequests,
        refuse(422, "invalid_input"),
        refuse(409, "conflict"),
        refuse(500, "server_error"),
        refuse(403, TOKEN),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Fail { failure: Failure::BadGatewayHtml, effect: Effect::Applied },
        Fault::ActionFails { code: message.clone(), message },
    ]
}

/// Makes calls under every fault, and without one; whatever comes of them says nothing.
async fn provoke(simulator: &Simulator, client: &HetznerClient) {
    let context = RequestContext::new(Duration::from_secs(30));
    for (number, fault) in faults().into_iter().enumerate() {
        simulator.add_fault(FaultRule::next(3, RouteMatcher::any(), fault)).unwrap();
        let created = client.create(&order(&format!("probe-{number}-0123456789ab")), &context).await;
        let looked = client.get(&ProviderServerId::new("7").unwrap(), &context).await;
        let deleted = client.delete(&ProviderServerId::new("7").unwrap(), &context).await;
        let errors = [created.as_ref().err(), looked.as_ref().err(), deleted.as_ref().err()];
        errors.into_iter().flatten().for_each(|error: &ProviderError| demand_silent_error(error));
        simulator.clear_faults();
        let actions = created.as_ref().map(|it| it.actions.clone()).unwrap_or_default();
        let ended = client.actions(&actions, &context).await;
        demand_silent_debug("what a call returned", &(&created, &looked, &deleted, &ended));
    }
    let created = client.create(&order("answered-0123456789ab"), &context).await.unwrap();
    let unknown = client.actions(&[ProviderActionId::new("7").unwrap()], &context).await;
    demand_silent_debug("an answer with a root password", &(created, unknown));
    let mut config = HetznerConfig::new(TOKEN);
    config.base_url = "http://127.0.0.1:1".to_owned();
    config.proxy = Some(format!("http://user:{PROXY_PASSWORD}@127.0.0.1:1").into());
    demand_silent_debug("the settings", &config);
    let proxied = HetznerClient::new(config).unwrap();
    demand_silent_debug("a client with a proxy", &proxied);
    demand_silent_error(&proxied.get(&ProviderServerId::new("7").unwrap(), &context).await.unwrap_err());
}

#[test]
fn a_secret_is_found_in_every_form_that_could_hide_it() {
    for secret in SECRETS {
        let in_json = serde_json::to_string(&serde_json::json!({"a": {"b": secret}})).unwrap();
        let url: String = utf8_percent_encode(secret, NON_ALPHANUMERIC).collect();
        let hidden = [
            secret.to_owned(),
            in_json.clone(),
            serde_json::to_string(&in_json).unwrap(),
            format!("{:?}", Some(secret)),
            format!("{:?}", secret.as_bytes()),
            format!("?a={url}&b"),
        ];
        let in_base64 = (0..3).flat_map(|before| {
            let text = format!("{}{secret} and more", &"abc"[..before]);
            [base64::prelude::BASE64_STANDARD.encode(&text), base64::prelude::BASE64_URL_SAFE.encode(&text)]
        });
        for text in hidden.into_iter().chain(in_base64) {
            let found = forms(secret).iter().map(|form| hits(text.as_bytes(), form)).sum::<usize>();
            assert!(found > 0, "{secret} hides in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_in_the_audit_nor_in_what_is_shown_nor_in_the_file_after_use() {
    let logs = tempfile::tempdir().unwrap();
    let log = Arc::new(fs::File::create(logs.path().join("log")).unwrap());
    // More than is promised: every crate is heard at the finest level.
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(log);
    // For the whole process: a subscriber of one thread misses what another thread has asked about first.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let (simulator, site) = (cloud(), Site::default());
    let server = simulator.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    provoke(&simulator, &client(&server)).await;

    let acceptor = site.builder().await.client_only().await.unwrap();
    let secret_spec = spec("web").user_data(USER_DATA);
    let order = acceptor.tenant(TENANT).create_server(secret_spec.clone()).idempotency_key("one").await.unwrap();
    // It has to be kept until it was sent; this shows, too, that the search below can find it.
    let kept = files(site.folder());
    assert!(forms(USER_DATA).iter().any(|form| hits(&kept, form) > 0));
    demand_silent_debug("the order", &(&secret_spec, &order, &order.progress().await.unwrap()));
    let conflict = acceptor.tenant(TENANT).create_server(secret_spec.clone().user_data(format!("{USER_DATA} other")));
    demand_silent_error(&conflict.idempotency_key("one").await.unwrap_err());
    let invalid = acceptor.tenant(TENANT).create_server(spec("").user_data(USER_DATA.repeat(2_000)));
    let invalid = invalid.await.unwrap_err();
    assert!(invalid.to_string().contains("user_data"), "{invalid}");
    demand_silent_error(&invalid);

    for fault in [Fault::CutAfter, Fault::TooManyRequests] {
        simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), fault)).unwrap();
    }
    let provisioner = site.start(client(&server)).await;
    site.until_settled(&provisioner, TENANT).await;
    let servers = truth::all_servers(&provisioner, TENANT).await;
    assert_eq!(servers.len(), 1);
    demand_silent_debug("the product", &(&provisioner, &acceptor, &servers, provisioner.health().await));
    let tenant = TenantId::new(TENANT).unwrap();
    provisioner.operator().verify_audit(&tenant, None).await.unwrap();
    let records = provisioner.operator().audit(&tenant, 0).await.unwrap();
    assert!(records.len() >= 3);
    demand_silent_debug("the audit", &records);
    for product in [acceptor, provisioner] {
        demand_silent_debug("the report", &product.shutdown(Duration::from_secs(5)).await);
    }
    demand_silence("the files of the store", &files(site.folder()));
    server.shutdown().await;
    let measured = metrics.render();
    assert!(measured.contains("vip_provider_calls_total"), "{measured}");
    demand_silence("the metrics", measured.as_bytes());
    let logged = fs::read(logs.path().join("log")).unwrap();
    for heard in ["swept", "provider called", " TRACE "] {
        assert!(hits(&logged, heard.as_bytes()) > 0, "'{heard}' was not caught");
    }
    demand_silence("the log", &logged);
}
