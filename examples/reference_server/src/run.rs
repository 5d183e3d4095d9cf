//! Serves until it is told to end, or a part fails; then ends in order.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vip_core::Provisioner;
use vip_http::{Api, ApiKeys, Server, ServerSettings};

use crate::arguments::Role;
use crate::configuration::{Cloud, Configuration, Database};
use crate::keys::Known;
use crate::product::Product;
use crate::{Fallible, keys, say};

/// Upper bounds of the buckets that durations are counted in.
const SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0];

/// How often measured times are counted into their buckets; until then each is kept by itself, also while nobody asks for them.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Says why this process ends.
enum Cause {
    Told,
    Failed(String),
}

/// Serves; the exit status is 0 only if it was told to end and nothing was left or lost. Told a second time, it ends at once.
pub(crate) async fn run(configuration: Configuration) -> Fallible<ExitCode> {
    // What is wrong with it is said before anything works.
    let known = keys::of(&configuration.callers)?;
    // Signals are taken before anything is shown: who reads it may stop us at once.
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let product = tokio::select! {
        started = Product::start(&configuration) => started?,
        // A database that does not answer is waited for; nothing was accepted yet.
        () = told(&mut signals) => return Ok(ExitCode::SUCCESS),
    };
    if let (Cloud::Simulator, Database::Url(_)) = (&configuration.cloud, &configuration.database) {
        tracing::warn!("the simulated cloud begins empty: servers that the database has from before are missing in it");
    }
    if let Some(variable) = configuration.unused_token {
        tracing::warn!("{variable} is not used: --provider hetzner orders real servers");
    }
    let end = CancellationToken::new();
    let twice = async {
        told(&mut signals).await;
        end.cancel();
        told(&mut signals).await;
    };
    tokio::select! {
        code = until_ended(&configuration, product, &end, known) => code,
        // What was begun is found by whoever comes next, as after a crash.
        () = twice => Err("told to end a second time: ended at once, and left what was under way".into()),
    }
}

async fn until_ended(
    configuration: &Configuration,
    product: Product,
    end: &CancellationToken,
    known: Option<Known>,
) -> Fallible<ExitCode> {
    let provisioner = product.provisioner.clone();
    let ended = serve(configuration, &provisioner, end, known).await;
    let report = provisioner.shutdown(configuration.drain).await;
    tracing::info!(%report, "ended");
    product.forget()?;
    match ended? {
        Cause::Told if report.is_clean() => Ok(ExitCode::SUCCESS),
        Cause::Told => Err(format!("something was left: {report}").into()),
        Cause::Failed(why) => Err(why.into()),
    }
}

async fn serve(
    configuration: &Configuration,
    provisioner: &Provisioner,
    end: &CancellationToken,
    known: Option<Known>,
) -> Fallible<Cause> {
    let (hosted, shown) = match known {
        Some(Known { keys, shown }) => (Some(api(configuration, provisioner, keys)?), shown),
        None => (None, None),
    };
    let (api, exporter) = hosted.unzip();
    let mut settings = ServerSettings::default();
    settings.connections_per_address = configuration.connections_per_address;
    // Who raises it has a proxy in front, whose connections are those of many.
    settings.unproven_per_address = settings.unproven_per_address.max(configuration.connections_per_address / 32);
    let bound = Server::bind(configuration.listen, settings).await;
    let server = bound.map_err(|error| format!("cannot listen on {}: {error}", configuration.listen))?;
    let address = server.local_address()?;
    introduce(configuration, address, shown.as_ref())?;

    let router = match (&api, configuration.role) {
        (None, _) => vip_http::probes(provisioner),
        (Some(api), Role::Worker) => api.operations(),
        (Some(api), Role::All | Role::Api) => api.application(),
    };
    let stop = CancellationToken::new();
    let ending = async {
        let cause = cause(provisioner, end).await;
        // Whoever sends requests here looks elsewhere first; what waits on purpose is answered.
        match &api {
            Some(api) => api.drain(),
            None => provisioner.drain(),
        }
        tokio::time::sleep(configuration.grace).await;
        stop.cancel();
        cause
    };
    let upkeep = async {
        if let Some(exporter) = &exporter {
            keep_up(UPKEEP_EVERY, &stop, || exporter.run_upkeep()).await;
        }
    };
    let began = Instant::now();
    let serving = server.serve(router, stop.clone(), configuration.drain);
    let (served, cause, ()) = tokio::join!(serving, ending, upkeep);
    tracing::info!(?served, after = ?began.elapsed(), "the server has ended");
    Ok(cause)
}

/// Does something again and again until it is told to stop.
async fn keep_up(every: Duration, stop: &CancellationToken, mut upkeep: impl FnMut() + Send) {
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        upkeep();
    }
}

/// Waits until somebody tells this process to end.
async fn told(signals: &mut (Signal, Signal)) {
    tokio::select! {
        _ = signals.0.recv() => {}
        _ = signals.1.recv() => {}
    }
}

async fn cause(provisioner: &Provisioner, end: &CancellationToken) -> Cause {
    tokio::select! {
        () = end.cancelled() => Cause::Told,
        why = provisioner.failed() => Cause::Failed(why),
    }
}

/// Makes the API, and what its metrics are kept in.
fn api(configuration: &Configuration, provisioner: &Provisioner, known: ApiKeys) -> Fallible<(Api, PrometheusHandle)> {
    let exporter = PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder()?;
    let shown = exporter.clone();
    let mut api = Api::new(provisioner, known)?.metrics(move || {
        shown.run_upkeep();
        shown.render()
    });
    api = api.rate_limits(configuration.rates);
    if let Some(key) = configuration.cursor_key {
        api = api.cursor_secret(key.0);
    }
    Ok((api, exporter))
}

/// Says where it listens and whether its servers are real, and with keys that were made now how to order one.
fn introduce(configuration: &Configuration, address: SocketAddr, shown: Option<&keys::Shown>) -> Fallible {
    let (role, cloud) = (configuration.role.as_str(), configuration.cloud.as_words());
    say(&format!("listening on http://{address} as {role}, with {cloud}"))?;
    let Some(shown) = shown else {
        return Ok(());
    };
    say(&format!("key of the tenant demo:  {}", shown.tenant))?;
    say(&format!("key of an operator:      {}", shown.operator))?;
    say("order a server; then list what was ordered, or GET the `Location` of the answer with ?wait=30:")?;
    let order =
        r#"{"name":"web-1","server_types":["cpx22"],"image":"ubuntu-24.04","locations":["fsn1"],"ssh_keys":["ops"]}"#;
    say(&format!(
        "  curl -i http://{address}/v1/servers -H 'Authorization: Bearer {}' -H 'Idempotency-Key: order-1' \
         -H 'Content-Type: application/json' -d '{order}'",
        shown.tenant
    ))?;
    say(&format!("  curl 'http://{address}/v1/operations?limit=1' -H 'Authorization: Bearer {}'", shown.tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn upkeep_is_done_again_and_again_until_it_is_told_to_stop() {
        let (stop, mut times) = (CancellationToken::new(), 0);
        let kept = keep_up(UPKEEP_EVERY, &stop, || times += 1);
        tokio::time::timeout(Duration::from_secs(11), kept).await.unwrap_err();
        assert_eq!(times, 2);
        stop.cancel();
        keep_up(UPKEEP_EVERY, &stop, || times += 1).await;
        assert_eq!(times, 2, "it goes on after its end");
    }
}
