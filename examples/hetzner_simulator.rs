//! Serves a simulated Hetzner Cloud over HTTP, with its ledger and faults under `/_sim`.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, FaultPlan, Simulator};

/// Serves a simulated Hetzner Cloud. The first line of output is its address.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Allows other machines to connect; the control interface stays off then.
    #[arg(long)]
    allow_remote: bool,
    /// How long the creation of a server takes, such as 500ms or 1s.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    create_time: Duration,
    /// Seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Token of the default project; may be repeated.
    #[arg(long, default_value = DEFAULT_TOKEN, hide_default_value = true)]
    token: Vec<String>,
    /// Requests per hour.
    #[arg(long, default_value_t = 3600)]
    rate_limit: u32,
    /// Starts with some seconds of outages, lost answers and late effects.
    #[arg(long)]
    rough: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() && !arguments.allow_remote {
        return Err(format!(
            "{} can be reached from other machines: add --allow-remote if that is meant",
            arguments.listen
        )
        .into());
    }
    let mut builder = Simulator::builder()
        .seed(arguments.seed)
        .create_time(arguments.create_time)
        .rate_limit_per_hour(arguments.rate_limit)
        .wall_time(wall_time()?);
    for token in arguments.token {
        builder = builder.token(token);
    }
    let simulator = builder.build();
    if arguments.rough {
        simulator.add_plan(FaultPlan::rough(arguments.seed))?;
    }
    // Signals are taken before the address is shown: who reads it may stop us at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let server = simulator.serve(arguments.listen).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", server.url())?;
    stdout.flush()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.shutdown().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "timestamps shall look like today's; nothing is decided by them")]
fn wall_time() -> Result<Duration, std::time::SystemTimeError> {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let number: f64 = number.parse().map_err(|error| format!("'{text}': {error}"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| format!("'{text}': {error}"))
}
