//! Documents as they are sent and received: apart from records, so that neither changes with the other.

mod catalog;
mod operation;
mod page;
mod server;

pub(crate) use catalog::CatalogBody;
pub(crate) use operation::{OperationBody, WaitQuery, WhyBody};
pub(crate) use page::{PageBody, PageQuery};
pub(crate) use server::{CreateServerBody, ServerBody};
