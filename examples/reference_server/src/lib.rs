//! Hosts VIP over HTTP: an API, workers, or both in one process.
//!
//! The program is [`process`]; it stands in a library so that other programs of this workspace can be it, too.

mod arguments;
mod configuration;
mod keys;
mod product;
mod run;
mod secrets;
mod upkeep;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use vip_core::telemetry;
use vip_http::{Api, ApiKeys, NewApiKey};

use arguments::{Arguments, Command, NewKey};
use configuration::Configuration;

type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Is the whole program: reads arguments and environment, does what they say, and says how it ended.
#[must_use]
pub fn process() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        let ended = runtime.block_on(perform(arguments));
        // A name that is being looked up cannot be cut short, and whoever said twice that this is to end does not wait for it.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            // Where nobody reads, the exit code says it alone.
            let told = writeln!(std::io::stderr(), "reference-server: {}", telemetry::causes(error.as_ref()));
            told.map_or(ExitCode::FAILURE, |()| ExitCode::FAILURE)
        }
    }
}

async fn perform(arguments: Arguments) -> Fallible<ExitCode> {
    match &arguments.command {
        Some(Command::Check) => {
            let configuration = Configuration::resolve(&arguments, &secrets::environment)?;
            filter()?;
            let known = keys::of(&configuration.callers)?.filter(|known| known.shown.is_none());
            write!(std::io::stdout(), "{configuration}")?;
            if let Some(known) = known {
                say(&format!("keys in the file         {}", known.keys.count()))?;
            }
            product::check(&configuration)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Describe) => {
            say(&Api::description().to_pretty_json()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Migrate) => {
            say(&upkeep::migrate(&Configuration::resolve(&arguments, &secrets::environment)?).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::MarkRestored { operator }) => {
            let configuration = Configuration::resolve(&arguments, &secrets::environment)?;
            // It names the records that cannot be read.
            log()?;
            say(&upkeep::mark_restored(&configuration, operator).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::NewKey(new)) => {
            new_key(new)?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let configuration = Configuration::resolve(&arguments, &secrets::environment)?;
            log()?;
            run::run(configuration).await
        }
    }
}

/// Makes a key: the first line is the key, the rest what belongs into the file of keys.
fn new_key(new: &NewKey) -> Fallible {
    let made = NewApiKey::generate(&new.id, new.tenant.clone(), new.scopes.iter().copied())?;
    // No key is given out whose entry a server would refuse.
    drop(ApiKeys::new([made.entry.clone()])?);
    say(secrecy::ExposeSecret::expose_secret(&made.key))?;
    say(&serde_json::to_string(&[made.entry])?)
}

/// Writes a line; a reader that went away is an error and no panic.
fn say(line: &str) -> Fallible {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Returns what is logged: `info`, unless something else is said.
fn filter() -> Fallible<EnvFilter> {
    match secrets::environment("VIP_LOG") {
        Some(said) => Ok(EnvFilter::try_new(said).map_err(|error| format!("VIP_LOG: {}", telemetry::causes(&error)))?),
        None => Ok(EnvFilter::new("info")),
    }
}

/// Lets lines go to standard error: for people on a terminal, as JSON for everything else.
fn log() -> Fallible {
    let lines = tracing_subscriber::fmt().with_env_filter(filter()?).with_writer(std::io::stderr);
    // A line that cannot be written is lost; else the complaint about it, which cannot be written either, would be a panic.
    let lines = lines.log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        lines.init()
    } else {
        lines.json().flatten_event(true).init()
    }
    Ok(())
}
