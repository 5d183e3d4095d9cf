//! What a sweep of many servers asks for, what its findings cost, and what a dry run shows.

use std::error::Error;

use async_trait::async_trait;

use super::*;
use crate::memory::ProviderMethod;
use crate::model::{Currency, Labels, Money, OWNER_LABEL, Price, SERVER_LABEL, ServerState, SightingClass};
use crate::ports::{Catalog, CatalogPrice};
use crate::provisioning::sweep::{Consequence, ExtraCost, Prices, Sweep, SweepMode, SweepReport};

const LONG: Duration = Duration::from_secs(4 * 3600);
const READS: [ProviderMethod; 6] = [
    ProviderMethod::Create,
    ProviderMethod::Delete,
    ProviderMethod::Find,
    ProviderMethod::Get,
    ProviderMethod::Actions,
    ProviderMethod::Catalog,
];

/// Is a price list, or the lack of one.
#[derive(Debug)]
struct Listed(Option<Arc<Catalog>>);

#[async_trait]
impl Prices for Listed {
    async fn catalog(&self, _account: &AccountId) -> Result<Arc<Catalog>, Box<dyn Error + Send + Sync>> {
        self.0.clone().ok_or_else(|| "the provider is down".into())
    }
}

fn euros(text: &str) -> Money {
    Money::from_decimal(text, Currency::new("EUR").unwrap()).unwrap()
}

fn price(server_type: &str, net: &str, gross: &str) -> CatalogPrice {
    let price = Price { net: euros(net), gross: euros(gross) };
    let (server_type, location) = (server_type.to_owned(), "here".to_owned());
    CatalogPrice { server_type, location, hourly: price.clone(), monthly: price }
}

fn catalog() -> Arc<dyn Prices> {
    let prices = vec![price("small", "2.99", "3.5581"), price("large", "10.00", "11.90")];
    Arc::new(Listed(Some(Arc::new(Catalog { prices, ..Catalog::default() }))))
}

impl Product {
    async fn sweep_priced(&self, mode: SweepMode, prices: Arc<dyn Prices>) -> SweepReport {
        let sweep = Sweep::new(self.context.clone(), mode).unwrap().with_prices(prices);
        sweep.once(&AccountId::default_account()).await.unwrap()
    }

    /// Puts a server there that says it is of a record, or of none.
    fn stray(&self, name: &str, of: Option<ServerId>, server_type: &str, location: &str) {
        let mut labels = Labels::from([(OWNER_LABEL.to_owned(), self.context.installation.to_string())]);
        labels.extend(of.map(|server| (SERVER_LABEL.to_owned(), server.to_string())));
        self.provider.put_as(name, labels, server_type, location).unwrap();
    }

    async fn one_running(&self, name: &str) -> ServerId {
        let server = self.order(name, None).await.unwrap().operation.server;
        self.settle_within(LONG).await;
        assert_eq!(self.server(server).await.state, ServerState::Running);
        server
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_asks_for_one_page_of_each_fifty_servers_and_for_nothing_else() {
    let product = Product::new().await;
    let owner = Labels::from([(OWNER_LABEL.to_owned(), product.context.installation.to_string())]);
    for number in 0..250 {
        product.provider.put(format!("unrecorded-{number}"), owner.clone()).unwrap();
    }
    for (listed, pages) in [(250, 5), (251, 6)] {
        let others = READS.map(|method| product.provider.calls(method));
        let before = product.provider.calls(ProviderMethod::Inventory);
        let report = product.sweep_priced(SweepMode::Repair, catalog()).await;
        assert_eq!(report.listed, listed);
        assert_eq!(product.provider.calls(ProviderMethod::Inventory) - before, pages);
        assert_eq!(READS.map(|method| product.provider.calls(method)), others);
        product.provider.put(format!("after-{listed}"), owner.clone()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn each_finding_shows_what_it_costs_in_a_month_and_an_unknown_price_is_said() {
    let product = Product::new().await;
    let server = product.one_running("web-1").await;
    product.stray("surplus", Some(server), "small", "here");
    product.stray("unrecorded", None, "large", "here");
    product.stray("elsewhere", None, "large", "there");
    let report = product.sweep_priced(SweepMode::Repair, catalog()).await;
    let cost = |class| {
        let found = report.findings.iter().filter(move |found| found.class == class);
        found.map(|found| found.monthly.as_ref().map(|price| price.gross.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(cost(SightingClass::Surplus), [Some("3.5581 EUR".to_owned())]);
    assert_eq!(cost(SightingClass::Unrecorded), [Some("11.90 EUR".to_owned()), None]);
    let extra = report.extra_cost().unwrap();
    assert_eq!((extra.gross.clone(), extra.priced, extra.unpriced), (Some(euros("15.4581")), 2, 1));
    assert_eq!(extra.to_string(), "15.4581 EUR a month for 2 servers, and 1 of unknown price");
    assert_eq!(report.unpriced_because, None);
    let known = ExtraCost { unpriced: 0, ..extra };
    assert_eq!(known.to_string(), "15.4581 EUR a month for 2 servers");

    let report = product.sweep_priced(SweepMode::Repair, Arc::new(Listed(None))).await;
    assert_eq!((report.findings.len(), report.extra_cost().unwrap().unpriced), (3, 3));
    assert_eq!(report.unpriced_because.as_deref(), Some("the provider is down"));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_wanted_again_costs_nothing_extra() {
    let product = Product::new().await;
    let server = product.one_running("web-1").await;
    let before = product.provider.servers().pop().unwrap();
    assert!(product.provider.vanish(&before.id));
    let report = product.sweep_priced(SweepMode::Repair, catalog()).await;
    assert_eq!(report.findings.iter().map(|found| found.class).collect::<Vec<_>>(), [SightingClass::Missing]);
    assert_eq!(report.findings[0].server, Some(server));
    assert_eq!((report.findings[0].server_type.as_deref(), report.extra_cost()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_shows_what_a_repair_would_do_and_does_none_of_it() {
    let product = Product::new().await;
    let server = product.one_running("web-1").await;
    let most = product.context.timing.removals_per_sweep as usize;
    for number in 0..=most {
        product.stray(&format!("surplus-{number}"), Some(server), "small", "here");
    }
    product.stray("unrecorded", None, "small", "here");
    let consequences = |report: &SweepReport| {
        let mut all: Vec<&str> = report.findings.iter().map(|found| found.consequence.as_str()).collect();
        all.sort_unstable();
        all
    };
    let first = product.sweep_priced(SweepMode::Report, catalog()).await;
    let unripe = first.findings.iter().filter(|found| found.consequence == Consequence::NotYet).count();
    assert_eq!(unripe, most + 1);
    tokio::time::advance(product.context.timing.sweep_grace).await;
    let dry = product.sweep_priced(SweepMode::Report, catalog()).await;
    let mut expected = vec!["removal"; most];
    expected.extend(["later_removal", "operator"]);
    expected.sort_unstable();
    assert_eq!(consequences(&dry), expected);
    assert_eq!(dry.woken, 0);
    product.settle_within(LONG).await;
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
    // The same again in earnest, with the same consequences.
    let report = product.sweep_priced(SweepMode::Repair, catalog()).await;
    assert_eq!(consequences(&report), expected);
    product.settle_within(LONG).await;
    assert_eq!(product.provider.calls(ProviderMethod::Delete), most as u64);
}
