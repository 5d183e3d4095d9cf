//! Runs the fuzz targets for some seconds each, on any compiler.
//!
//! `stable [--seconds N | --inputs N] [--seed N] [--target NAME] [--input FILE]`
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use vip_fuzz::session::{self, Limit};
use vip_fuzz::{TARGETS, Target};

struct Options {
    limit: Limit,
    seed: u64,
    target: Option<String>,
    input: Option<PathBuf>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { limit: Limit::Time(Duration::from_secs(5)), seed: 42, target: None, input: None };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--seconds" => options.limit = Limit::Time(Duration::from_secs(value.parse()?)),
                "--inputs" => options.limit = Limit::Inputs(value.parse()?),
                "--seed" => options.seed = value.parse()?,
                "--target" => options.target = Some(value),
                "--input" => options.input = Some(value.into()),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(options)
    }

    fn targets(&self) -> Result<Vec<Target>, Box<dyn Error>> {
        let is_wanted = |target: &Target| self.target.as_ref().is_none_or(|name| name == target.name);
        let targets: Vec<Target> = TARGETS.into_iter().filter(is_wanted).collect();
        if targets.is_empty() { Err("there is no such target".into()) } else { Ok(targets) }
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(path) = &options.input {
        // One kept input, without catching anything, for a backtrace.
        let input = fs::read(path)?;
        options.targets()?.iter().for_each(|target| (target.run)(&input));
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    for target in options.targets()? {
        let seeds = session::read_seeds(&here.join("seeds"), target)?;
        let report = session::run(target, &seeds, options.limit, options.seed);
        let (inputs, seconds) = (report.inputs, report.duration.as_secs_f64());
        println!("{}: {inputs} inputs in {seconds:.1} s, seed {}", target.name, options.seed);
        if let Some(input) = report.broken_by {
            let path = session::keep(&here.join("artifacts"), target, &input)?;
            println!("{} is broken by {}", target.name, path.display());
            println!("again: stable --target {} --input {}", target.name, path.display());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
