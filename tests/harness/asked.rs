//! What the suites ask of a Hetzner client: an owner, records, and an order for each.

use std::time::Duration;

use vip_core::model::{InstallationId, Labels, OWNER_LABEL, Power, ProviderName, SERVER_LABEL, ServerId, UserData};
use vip_core::ports::{CreateRequest, RequestContext};

/// Gives a call all the time that it may need.
#[must_use]
pub const fn context() -> RequestContext {
    RequestContext::new(Duration::from_secs(60))
}

/// Returns the installation that all orders are of.
#[must_use]
pub fn owner() -> InstallationId {
    "11111111-1111-4111-8111-111111111111".parse().unwrap()
}

/// Returns the record with a number.
#[must_use]
pub fn record(number: u32) -> ServerId {
    format!("22222222-2222-7222-8222-{number:012}").parse().unwrap()
}

/// Returns the order of a record, for what the simulator sells.
#[must_use]
pub fn order(number: u32) -> CreateRequest {
    CreateRequest {
        name: ProviderName::new(format!("web-{number}-0123456789ab")).unwrap(),
        server_type: "cpx22".to_owned(),
        location: "fsn1".to_owned(),
        image: "ubuntu-24.04".to_owned(),
        ssh_keys: vec!["ops".to_owned()],
        labels: Labels::from([
            (OWNER_LABEL.to_owned(), owner().to_string()),
            (SERVER_LABEL.to_owned(), record(number).to_string()),
            ("example.com/env".to_owned(), "prod".to_owned()),
        ]),
        user_data: Some(UserData::new("#cloud-config\n")),
        power: Power::On,
    }
}
