//! stub
use async_trait::async_trait;
use crate::model::*;
use crate::ports::*;
use std::time::Duration;
#[derive(Debug)] pub struct Attempt { pub job: Job, pub lease: LeaseRef }
#[derive(Debug, thiserror::Error)] #[error("lost")] pub struct LeaseLost;
#[derive(Debug, thiserror::Error)] #[error("handler")] pub struct HandlerError { #[source] source: Box<dyn std::error::Error+Send+Sync> }
impl HandlerError { pub fn new(source: impl Into<Box<dyn std::error::Error+Send+Sync>>) -> Self { Self { source: source.into() } } }
impl Attempt { pub const fn job(&self) -> &Job { &self.job } pub const fn lease(&self) -> LeaseRef { self.lease } pub fn is_cancelled(&self) -> bool { false }
 pub fn guard(&self, _: Duration) -> Result<(), LeaseLost> { Ok(()) } }
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome { Done, Retry { code: String, delay: Option<Duration> }, Snooze { delay: Duration }, Release, Dead { code: String } }
#[async_trait] pub trait JobHandler: std::fmt::Debug + Send + Sync + 'static { type Payload: serde::de::DeserializeOwned + Send + Sync + 'static;
 fn kind(&self) -> JobKind; async fn run(&self, payload: Self::Payload, attempt: &Attempt) -> JobOutcome; async fn died(&self, payload: Option<Self::Payload>, attempt: &Attempt, code: &str) -> Result<(), HandlerError>; }
