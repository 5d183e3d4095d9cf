//! Somebody's cloud: a cellar with a rack, reached by requests that may get lost.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vip_adapters::vip_core::model::Labels;

/// Is a machine in the rack.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) labels: Labels,
}

/// Is what the rack can be asked for.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Switch { on: Machine },
    Remove { id: u64 },
    List,
}

/// Is what the rack answers.
#[derive(Debug, Clone)]
pub(crate) enum Response {
    Done { id: u64 },
    Machines(BTreeMap<u64, Machine>),
    NotThere,
    NameTaken,
    NoPower,
}

/// Says how the next request goes wrong.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests pull the plug"))]
pub(crate) enum Trouble {
    LineCutBefore,
    LineCutAfter,
    NoPower,
    NoAnswer,
}

/// Says that the line broke; nobody knows how far the request came.
#[derive(Debug, thiserror::Error)]
#[error("the line to the rack broke")]
pub(crate) struct LineBroke;

/// Is the cellar.
#[derive(Debug, Default)]
pub(crate) struct Rack(Mutex<Cellar>);

#[derive(Debug, Default)]
pub(crate) struct Cellar {
    pub(crate) machines: BTreeMap<u64, Machine>,
    pub(crate) troubles: VecDeque<Trouble>,
    pub(crate) switched: u64,
    last: u64,
}

impl Rack {
    pub(crate) fn cellar(&self) -> MutexGuard<'_, Cellar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn call(&self, request: Request) -> Result<Response, LineBroke> {
        let trouble = self.cellar().troubles.pop_front();
        match trouble {
            None => Ok(self.cellar().answer(request)),
            Some(Trouble::LineCutBefore) => Err(LineBroke),
            Some(Trouble::LineCutAfter) => {
                self.cellar().answer(request);
                Err(LineBroke)
            }
            Some(Trouble::NoPower) => {
                self.cellar().switched += u64::from(matches!(request, Request::Switch { .. }));
                Ok(Response::NoPower)
            }
            Some(Trouble::NoAnswer) => {
                self.cellar().answer(request);
                pending().await
            }
        }
    }
}

impl Cellar {
    fn answer(&mut self, request: Request) -> Response {
        match request {
            Request::Switch { on } => {
                self.switched += 1;
                if self.machines.values().any(|machine| machine.name == on.name) {
                    return Response::NameTaken;
                }
                self.last += 1;
                self.machines.insert(self.last, on);
                Response::Done { id: self.last }
            }
            Request::Remove { id } if self.machines.remove(&id).is_some() => Response::Done { id },
            Request::Remove { .. } => Response::NotThere,
            Request::List => Response::Machines(self.machines.clone()),
        }
    }
}
