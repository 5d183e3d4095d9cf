//! Every bullet of the contract of `ProviderClient`, proven for the Hetzner client against the simulator over HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is a test")]

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{
    DEFAULT_PROJECT, Effect, Failure, Fault, FaultRule, ForeignServer, Ledger, RouteMatcher, Simulator, SimulatorServer,
};
use vip_core::conformance::{Lapse, ProviderFixture};
use vip_core::model::{OWNER_LABEL, ProviderActionId, ProviderServerId};
use vip_core::ports::{
    ActionStatus, CreateRequest, ProviderClient, ProviderError, ProviderErrorKind as Kind, RequestContext,
    ServerStatus, ServerView,
};
use vip_tests::asked::{context, order, owner, record};

const TOKEN: &str = "contract0token00000000000000000000000000000000000000000000000000";
const READER: &str = "reader00token00000000000000000000000000000000000000000000000000";

#[derive(Debug)]
struct Bench {
    simulator: Simulator,
    server: SimulatorServer,
    client: HetznerClient,
}

impl Bench {
    async fn start() -> Self {
        Self::with_limit(1_000_000).await
    }

    async fn with_limit(per_hour: u32) -> Self {
        let simulator = Simulator::builder()
            .create_time(Duration::from_millis(50))
            .delete_time(Duration::from_millis(50))
            .rate_limit_per_hour(per_hour)
            .project(DEFAULT_PROJECT, TOKEN)
            .read_only_token(DEFAULT_PROJECT, READER)
            .build();
        let server = simulator.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let client = HetznerClient::at(format!("{}/v1", server.url()), TOKEN).unwrap();
        Self { simulator, server, client }
    }

    fn client_of(&self, token: &str) -> HetznerClient {
        HetznerClient::at(self.server.url(), token).unwrap()
    }

    fn next_create(&self, fault: Fault) {
        self.simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), fault)).unwrap();
    }

    fn next_delete(&self, fault: Fault) {
        self.simulator.add_fault(FaultRule::next(1, RouteMatcher::delete_server(), fault)).unwrap();
    }

    async fn create(&self, number: u32) -> Result<vip_core::ports::Created, ProviderError> {
        self.client.create(&order(number), &context()).await
    }

    async fn find(&self, number: u32) -> Option<ServerView> {
        self.client.find(&order(number).name, &context()).await.unwrap()
    }

    fn ledger(&self) -> Ledger {
        self.simulator.ledger()
    }

    /// How many requests of this method came at this route.
    fn requests(&self, method: &str, route: &str) -> u64 {
        let ledger = self.ledger();
        ledger.requests.iter().filter(|it| it.method == method && it.route == route).map(|it| it.count).sum()
    }

    /// Asks until the server is as wished; each answer of the simulator takes a moment of its time.
    async fn see(&self, id: &ProviderServerId, is_wished: fn(Option<&ServerView>) -> bool) {
        for _ in 0..100_000 {
            if is_wished(self.client.get(id, &context()).await.unwrap().as_ref()) {
                return;
            }
        }
        panic!("server {id} never became what was wished");
    }
}

#[async_trait]
impl ProviderFixture for Bench {
    fn client(&self) -> &dyn ProviderClient {
        &self.client
    }

    fn order(&self) -> CreateRequest {
        order(0)
    }

    async fn next_create(&self, lapse: Lapse) {
        Self::next_create(self, fault(lapse));
    }

    async fn next_delete(&self, lapse: Lapse) {
        Self::next_delete(self, fault(lapse));
    }

    async fn next_look(&self, lapse: Lapse) {
        self.simulator.add_fault(FaultRule::next(1, RouteMatcher::any(), fault(lapse))).unwrap();
    }

    async fn names(&self) -> Vec<String> {
        let ledger = self.ledger();
        ledger.servers.into_iter().filter(|it| it.deleted_at.is_none()).map(|it| it.name).collect()
    }

    async fn creates_seen(&self) -> u64 {
        self.requests("POST", "/servers")
    }
}

fn fault(lapse: Lapse) -> Fault {
    match lapse {
        Lapse::AnswerLost => Fault::CutAfter,
        Lapse::RequestLost => Fault::CutBefore,
        Lapse::Refused => Fault::Refuse { status: 403, code: "maintenance".to_owned(), message: "no".to_owned() },
        Lapse::Slow => Fault::Delay { answer_after: Duration::from_secs(3600) },
    }
}

async fn hetzner() -> Bench {
    Bench::start().await
}

vip_core::provider_suite!(hetzner);

#[tokio::test]
async fn no_fault_makes_a_create_be_sent_twice() {
    let bench = Bench::start().await;
    let failures =
        [Failure::ServerError, Failure::BadGateway, Failure::BadGatewayHtml, Failure::Unavailable, Failure::Timeout];
    let mut faults: Vec<Fault> =
        failures.into_iter().map(|failure| Fault::Fail { failure, effect: Effect::Applied }).collect();
    faults.extend([Fault::CutBefore, Fault::CutAfter, Fault::TooManyRequests]);
    for (number, fault) in (1..).zip(faults) {
        bench.next_create(fault.clone());
        assert!(bench.create(number).await.is_err());
        assert_eq!(bench.requests("POST", "/servers"), u64::from(number), "{fault:?}");
    }
}

#[tokio::test]
async fn whatever_loses_an_answer_is_unknown() {
    let bench = Bench::start().await;
    let timeout = Some(Failure::Timeout);
    let lost = [
        (Fault::CutAfter, true),
        (Fault::CutBefore, false),
        (Fault::Fail { failure: Failure::BadGatewayHtml, effect: Effect::Applied }, true),
        (Fault::Fail { failure: Failure::Timeout, effect: Effect::Applied }, true),
        (Fault::Fail { failure: Failure::Unavailable, effect: Effect::None }, false),
        (Fault::Late { failure: timeout, effect_after: Duration::from_secs(3600) }, false),
        (Fault::Refuse { status: 409, code: "conflict".to_owned(), message: String::new() }, false),
        (Fault::Refuse { status: 422, code: "service_error".to_owned(), message: String::new() }, false),
    ];
    for (number, (fault, is_there)) in (1..).zip(lost) {
        bench.next_create(fault.clone());
        assert_eq!(bench.create(number).await.unwrap_err().kind, Kind::Unknown, "{fault:?}");
        assert_eq!(bench.find(number).await.is_some(), is_there, "both are possible: {fault:?}");
    }
    let id = bench.find(1).await.unwrap().id;
    bench.next_delete(Fault::CutAfter);
    assert_eq!(bench.client.delete(&id, &context()).await.unwrap_err().kind, Kind::Unknown);
    bench.see(&id, |found| found.is_none()).await;
}

#[tokio::test]
async fn no_refusal_has_an_effect() {
    let bench = Bench::start().await;
    let refuse = |status: u16, code: &str| Fault::Refuse { status, code: code.to_owned(), message: "no".to_owned() };
    let stock = Fault::StockExhausted { server_type: None, location: Some("fsn1".to_owned()) };
    let refusals = [
        (stock, Kind::Exhausted),
        (Fault::TooManyRequests, Kind::Throttled { retry_after: Duration::from_secs(1) }),
        (refuse(403, "resource_limit_exceeded"), Kind::AccountLimit),
        (refuse(403, "maintenance"), Kind::Busy),
        (refuse(403, "forbidden"), Kind::AccountLimit),
        (refuse(401, "token_readonly"), Kind::ReadOnly),
        (refuse(422, "placement_error"), Kind::Exhausted),
        (refuse(410, "deprecated_api_endpoint"), Kind::Bug),
    ];
    for (number, (fault, kind)) in (1..).zip(refusals) {
        bench.next_create(fault);
        let error = bench.create(number).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(bench.find(number).await.is_none(), "{kind:?}");
    }
    let wrong = [
        CreateRequest { server_type: "no-such-type".to_owned(), ..order(90) },
        CreateRequest { location: "nowhere".to_owned(), ..order(91) },
        CreateRequest { image: "no-such-image".to_owned(), ..order(92) },
        CreateRequest { ssh_keys: vec!["nobody".to_owned()], ..order(93) },
    ];
    for request in wrong {
        let error = bench.client.create(&request, &context()).await.unwrap_err();
        assert_eq!((error.kind, error.correlation_id.is_some()), (Kind::InvalidInput, true), "{}", request.name);
    }
    for (token, kind) in [("unknown", Kind::Unauthorized), (READER, Kind::ReadOnly)] {
        let error = bench.client_of(token).create(&order(1), &context()).await.unwrap_err();
        assert_eq!(error.kind, kind);
    }
    assert_eq!(bench.ledger().servers.len(), 0);
}

#[tokio::test]
async fn a_request_that_was_not_sent_is_told_apart() {
    let bench = Bench::start().await;
    let Bench { simulator, server, client } = bench;
    server.shutdown().await;
    assert_eq!(client.create(&order(1), &context()).await.unwrap_err().kind, Kind::NotSent);
    assert_eq!(simulator.ledger().requests.len(), 0);
}

#[tokio::test]
async fn a_server_comes_up_with_its_actions_and_addresses() {
    let bench = Bench::start().await;
    let created = bench.create(1).await.unwrap();
    assert!(!created.actions.is_empty() && created.correlation_id.is_some());
    bench.see(&created.server.id, |found| found.is_some_and(|it| it.status == ServerStatus::Running)).await;
    let mut asked = created.actions.clone();
    asked.push(ProviderActionId::new("9007199254740991").unwrap());
    let actions = bench.client.actions(&asked, &context()).await.unwrap();
    assert_eq!(actions.len(), created.actions.len(), "an unknown one is left out");
    assert!(actions.iter().all(|it| it.status == ActionStatus::Succeeded), "{actions:?}");
    let addresses = created.server.addresses;
    assert!(addresses.ipv4.is_some() && addresses.ipv6.is_some_and(|it| it.to_bits() & 0xffff == 1), "{addresses:?}");
}

#[tokio::test]
async fn an_action_that_fails_says_so() {
    let bench = Bench::start().await;
    bench.next_create(Fault::ActionFails { code: "action_failed".to_owned(), message: "words".to_owned() });
    let created = bench.create(1).await.unwrap();
    let failed = ActionStatus::Failed { code: "action_failed".to_owned() };
    for _ in 0..100_000 {
        let actions = bench.client.actions(&created.actions, &context()).await.unwrap();
        if actions.iter().any(|it| it.status == failed) {
            return;
        }
    }
    panic!("no action failed");
}

#[tokio::test]
async fn a_start_that_fails_is_no_create_that_failed_and_the_server_is_there() {
    let bench = Bench::start().await;
    bench.next_create(Fault::StartFails { code: "action_failed".to_owned(), message: "words".to_owned() });
    let created = bench.create(1).await.unwrap();
    assert_eq!(created.actions.len(), 2, "the create and the start");
    let id = &created.server.id;
    bench.see(id, |found| found.is_some_and(|it| it.status == ServerStatus::Off)).await;
    let actions = bench.client.actions(&created.actions, &context()).await.unwrap();
    let seen: Vec<_> = actions.into_iter().map(|it| (it.id, it.status)).collect();
    assert_eq!(seen, [(created.actions[0].clone(), ActionStatus::Succeeded)]);
    bench.simulator.start_server(id.as_str().parse().unwrap()).unwrap();
    bench.see(id, |found| found.is_some_and(|it| it.status == ServerStatus::Running)).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_read_is_left_out_and_never_called_gone() {
    let bench = Bench::start().await;
    let (odd, good) = (bench.create(1).await.unwrap().server.id, bench.create(2).await.unwrap().server.id);
    let number = odd.as_str().parse().unwrap();
    for field in ["status", "name", "labels"] {
        bench.simulator.garble_server(number, Some(field)).unwrap();
        let page = bench.client.inventory(owner(), 1, &context()).await.unwrap();
        assert_eq!(page.servers.iter().map(|it| &it.id).collect::<Vec<_>>(), [&good], "{field}");
        assert_eq!(bench.client.get(&odd, &context()).await.unwrap_err().kind, Kind::Unknown, "{field}");
        assert_eq!(bench.client.find(&order(1).name, &context()).await.unwrap_err().kind, Kind::Unknown, "{field}");
        let labelled = bench.client.find_labelled(owner(), record(1), &context()).await;
        assert_eq!(labelled.unwrap_err().kind, Kind::Unknown, "{field}");
        assert!(bench.find(2).await.is_some());
    }
    bench.simulator.garble_server(number, Some("id")).unwrap();
    assert_eq!(bench.client.inventory(owner(), 1, &context()).await.unwrap_err().kind, Kind::Unknown);
    bench.simulator.garble_server(number, None).unwrap();
    assert_eq!(bench.client.inventory(owner(), 1, &context()).await.unwrap().servers.len(), 2);
}

#[tokio::test]
async fn an_inventory_keeps_the_order_of_the_ids_over_its_pages() {
    let bench = Bench::start().await;
    let mut wanted = Vec::new();
    for number in 1..=120 {
        let labelled = |server: ForeignServer, owner: &str| server.label(OWNER_LABEL, owner);
        let ours = labelled(ForeignServer::named(format!("ours-{number}")), &owner().to_string());
        wanted.push(bench.simulator.put_server(ours).unwrap().to_string());
        bench.simulator.put_server(ForeignServer::named(format!("foreign-{number}"))).unwrap();
        let other = labelled(ForeignServer::named(format!("other-{number}")), "33333333-3333-4333-8333-333333333333");
        bench.simulator.put_server(other).unwrap();
    }
    let (mut found, mut page, mut pages) = (Vec::new(), Some(1), 0);
    while let Some(number) = page {
        let part = bench.client.inventory(owner(), number, &context()).await.unwrap();
        found.extend(part.servers.iter().map(|it| it.id.to_string()));
        (page, pages) = (part.next, pages + 1);
    }
    assert_eq!((found, pages), (wanted, 3));
}

#[tokio::test]
async fn a_deadline_ends_reads_too() {
    let bench = Bench::start().await;
    let slow = Fault::Delay { answer_after: Duration::from_secs(3600) };
    bench.simulator.add_fault(FaultRule::outage(Duration::ZERO, Duration::from_secs(3600), slow)).unwrap();
    let soon = RequestContext::new(Duration::from_millis(200));
    let error = bench.client.create(&order(1), &soon).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "deadline"));
    assert_eq!(bench.client.catalog(&soon).await.unwrap_err().kind, Kind::Unknown);
    bench.simulator.clear_faults();
    assert!(bench.find(1).await.is_some(), "the create had its effect: that is why it is unknown");
}

#[tokio::test]
async fn the_rate_limit_is_met_and_told() {
    let bench = Bench::with_limit(60).await;
    for _ in 0..60 {
        bench.find(1).await;
    }
    let error = bench.create(1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Throttled { retry_after: Duration::from_secs(60) });
    assert_eq!(bench.ledger().servers.len(), 0);
}

#[tokio::test]
async fn a_catalog_can_be_ordered_from() {
    let bench = Bench::start().await;
    let catalog = bench.client.catalog(&context()).await.unwrap();
    let order = order(1);
    let server_type = catalog.server_types.iter().find(|it| it.name == order.server_type).unwrap();
    assert!(server_type.available_in.contains(&order.location) && server_type.architecture == "x86");
    assert!(catalog.locations.iter().any(|it| it.name == order.location && it.network_zone == "eu-central"));
    assert!(catalog.images.iter().any(|it| it.name == order.image && it.architecture == "x86"));
    assert_eq!(bench.requests("POST", "/servers"), 0);
}

#[tokio::test]
async fn a_hidden_server_is_found_by_the_name_that_it_takes() {
    let bench = Bench::start().await;
    bench.next_create(Fault::Hide {
        duration: Duration::from_secs(3600),
        by_id: vip_adapters::hetzner::simulator::ById::Visible,
    });
    let id = bench.create(1).await.unwrap().server.id;
    assert!(bench.find(1).await.is_none(), "an empty look proves nothing");
    assert_eq!(bench.create(1).await.unwrap_err().kind, Kind::AlreadyExists);
    assert!(bench.client.get(&id, &context()).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_simulator_in_process_keeps_the_paused_clock() {
    let simulator = Simulator::builder().create_time(Duration::from_secs(1800)).project(DEFAULT_PROJECT, TOKEN).build();
    let client = HetznerClient::in_process(&simulator, TOKEN).unwrap();
    let created = client.create(&order(1), &context()).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let found = client.get(&created.server.id, &context()).await.unwrap().unwrap();
    assert_eq!(found.status, ServerStatus::Running);
    let slow = Fault::Delay { answer_after: Duration::from_secs(3600) };
    simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), slow)).unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(client.create(&order(2), &context()).await.unwrap_err().kind, Kind::Unknown);
    assert_eq!(started.elapsed(), Duration::from_secs(60));
    assert!(client.find(&order(2).name, &context()).await.unwrap().is_some());
}
