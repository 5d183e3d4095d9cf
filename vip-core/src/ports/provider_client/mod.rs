//! The cloud: creates, finds, shows, deletes and lists servers of one account.

mod catalog;
mod error;
mod outlook;
mod reserved;
mod view;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use catalog::{Catalog, CatalogImage, CatalogLocation, CatalogPrice, CatalogServerType};
pub use error::{ProviderError, ProviderErrorKind, Service};
pub use outlook::{Outlook, Pace, Priority, RateLimit, Shut};
pub use reserved::Reserved;
pub use view::{ActionStatus, ActionView, CreateRequest, Created, Deletion, InventoryPage, ServerStatus, ServerView};

use crate::model::{
    Effect, InstallationId, ProviderActionId, ProviderName, ProviderServerId, RequestId, ServerId, TokenDigest,
    TraceParent,
};

/// Goes along with every request to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestContext {
    /// Time left for the whole request; after it the answer is an error.
    pub deadline: Duration,
    /// The request that this is done for, to follow it in logs.
    pub request_id: Option<RequestId>,
    /// The trace that this request belongs to; a client over HTTP sends it along as `traceparent`.
    pub trace_parent: Option<TraceParent>,
    /// Who waits first when requests are short; without it the method decides.
    pub priority: Option<Priority>,
    /// What was set aside for the effect that is sent with this context.
    pub reserved: Option<Reserved>,
    /// Whether a look by id has to be a request for that id; else a list that is read for many looks may answer it.
    pub by_id_alone: bool,
}

impl RequestContext {
    /// Longest deadline: a day. Longer ones count as this one.
    pub const DEADLINE_MOST: Duration = Duration::from_secs(24 * 3600);

    /// Makes a context.
    #[must_use]
    pub const fn new(deadline: Duration) -> Self {
        // A `min` that is constant.
        let is_longer = deadline.as_nanos() > Self::DEADLINE_MOST.as_nanos();
        let deadline = if is_longer { Self::DEADLINE_MOST } else { deadline };
        Self { deadline, request_id: None, trace_parent: None, priority: None, reserved: None, by_id_alone: false }
    }

    /// Returns this context with a priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Returns this context with another deadline.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline: deadline.min(Self::DEADLINE_MOST), ..self.clone() }
    }
}

/// Talks to one account of one provider.
///
/// # Contract
///
/// * One call is at most one mutating request; a create is never sent again by itself (`a_create_is_sent_once`).
/// * Whoever cannot tell whether a mutation was applied says `Unknown` (`a_lost_answer_is_unknown`).
/// * An error whose kind says "not applied" means that the provider did and will do nothing for this request
///   (`a_refusal_has_no_effect`).
/// * A name is unique among the live servers of an account; a second create under it is `AlreadyExists`
///   (`a_name_is_unique`).
/// * A create carries its labels from the start (`labels_are_there_from_the_start`).
/// * Deleting what is not there is success, told apart (`deleting_twice_is_success`).
/// * An inventory is complete when its last page says so, and holds only servers with the owner's label
///   (`inventory_lists_all_of_an_owner`).
/// * A list shows of a server what a look by its id shows: its state, addresses and labels. It may answer a look by id
///   (`a_list_shows_what_a_look_by_id_shows`).
/// * Any page may be asked for at any time; one beyond the end is empty, and the last (`any_page_may_be_asked_for_at_any_time`).
/// * No call takes longer than its deadline (`a_deadline_ends_a_call`).
/// * A look without an answer is an error, whatever went wrong: never "none" and never an empty list, by which servers are given up
///   (`a_look_without_an_answer_is_an_error`).
/// * What is there is found by its name, its id and its labels; what is not there is none (`what_is_there_is_found`).
/// * Actions come to an end, and one that the provider does not know is left out
///   (`actions_end_and_unknown_ones_are_left_out`).
/// * The digest is of the credentials that the client was given, and stays whatever is called, fails or is fetched with them
///   (`the_digest_stays`).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ProviderClient: fmt::Debug + Send + Sync + 'static {
    /// Identifies the credentials that the client was given without revealing them, and the address where it is not the usual one.
    ///
    /// What a token may do, and that it has shown the account's servers, is recorded under it for all processes. So it is the same in
    /// every process and after every restart, and another one for other credentials. A session token that is fetched with them has no
    /// part in it: each new one would be an unknown token, whose account is closed until it was checked, and would be recorded for ever.
    fn token_digest(&self) -> TokenDigest;

    /// Says what is known of the account without a request: whether requests are held back, and what the budget is.
    ///
    /// A client that knows nothing says so, as here.
    fn outlook(&self) -> Outlook {
        Outlook::default()
    }

    /// Waits until an effect may be sent, before it is announced; returns the context to send it with.
    ///
    /// What is refused here was never announced, so waiting costs no commit. The budget in front of every account
    /// answers it; an adapter has nothing to add and leaves it as it is here.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] that says why it is held back, and when to come back.
    ///
    /// # Cancel safety
    ///
    /// What was set aside is given back when the context is dropped.
    async fn reserve(&self, _effect: &Effect, context: RequestContext) -> Result<RequestContext, ProviderError> {
        Ok(context)
    }

    /// Creates a server.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; its kind says whether the server may exist.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the outcome unknown.
    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError>;

    /// Finds a server by its exact name; of several, which no provider should have, any one.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; nothing is known then.
    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError>;

    /// Finds the servers that carry the owner's and the record's label.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; nothing is known then.
    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError>;

    /// Shows a server by its id; none if the provider says that there is none.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; nothing is known then.
    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError>;

    /// Deletes a server by its id.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; its kind says whether it may have been applied.
    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError>;

    /// Shows actions; one that the provider does not know is left out.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; nothing is known then.
    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError>;

    /// Lists servers that carry the owner's label, from page 1 on, in an order that stays: ascending by id, if newer ids are greater.
    ///
    /// Several looks by id at a time share pages of it, the last ones first, where new servers are likely to stand.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; the whole inventory is to be thrown away then.
    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError>;

    /// Lists what can be ordered.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]; nothing is known then.
    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_deadline_is_longer_than_a_day() {
        let day = Duration::from_secs(24 * 3600);
        for asked in [Duration::ZERO, day, day + Duration::from_nanos(1), Duration::MAX] {
            let context = RequestContext::new(asked);
            assert_eq!(context.deadline, asked.min(day));
            assert_eq!(RequestContext::new(Duration::ZERO).with_deadline(asked), context);
        }
    }
}
