//! What a session asks of the provider: each request in the time that is left, each answer looked at before it is believed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::absorb::{Answer, NameFinding};
use super::looks;
use super::outlook;
use super::sane;
use super::session::{Session, Stop};
use super::step::{Failure, Look, LookFor};
use crate::model::{AccountId, Effect, Intent};
use crate::ports::{CreateRequest, Priority, ProviderError, RecordedRef, RequestContext, StoreError};
use crate::provisioning::gate;
use crate::seeded_bugs::{SeededBug, is_on};

impl Session<'_> {
    /// Waits until an effect may be sent; what is refused here was never announced.
    pub(super) async fn reserve(
        &self,
        effect: &Effect,
        account: &AccountId,
        deadline: Duration,
    ) -> Result<RequestContext, Failure> {
        let client = self.client(account).ok_or_else(|| not_sent("no_client"))?;
        let context = self.request(deadline, outlook::of_effect(effect, &self.loaded.server));
        match tokio::time::timeout(deadline, client.reserve(effect, context)).await {
            Ok(Ok(context)) => Ok(context),
            Ok(Err(error)) => {
                tracing::debug!(error = %crate::telemetry::causes(&error), "an effect is held back");
                Err(Failure::from(&error))
            }
            Err(_elapsed) => Err(not_sent("no_turn_in_time")),
        }
    }

    /// Calls what was announced, in the time that is left.
    pub(super) async fn call(&self, intent: &Intent, context: &RequestContext) -> Answer {
        let Some(client) = self.client(&intent.account) else {
            return Answer::Failed(not_sent("no_client"));
        };
        let answer = async {
            match &intent.effect {
                Effect::Create { candidate } => match self.create_request(*candidate) {
                    Some(request) => {
                        let created = client.create(&request, context).await?;
                        sane::created(&request, created).map(Answer::Created)
                    }
                    None => Ok(Answer::Failed(not_sent("no_candidate"))),
                },
                Effect::Delete { .. } if is_on(SeededBug::DeleteByName) => {
                    match client.find(&self.loaded.server.provider_name, context).await? {
                        Some(named) => client.delete(&named.id, context).await.map(Answer::Deleted),
                        None => Ok(Answer::Deleted(crate::ports::Deletion::AlreadyGone)),
                    }
                }
                Effect::Delete { id } => client.delete(id, context).await.map(Answer::Deleted),
            }
        };
        within(context.deadline, answer).await
    }

    fn create_request(&self, candidate: usize) -> Option<CreateRequest> {
        let server = &self.loaded.server;
        let candidate = server.candidates.get(candidate)?;
        Some(CreateRequest {
            name: server.provider_name.clone(),
            server_type: candidate.server_type.clone(),
            location: candidate.location.clone(),
            image: server.spec.image.clone(),
            ssh_keys: server.spec.ssh_keys.clone(),
            labels: crate::provisioning::accept::provider_labels(server, self.context.installation),
            user_data: server.spec.user_data.clone(),
            power: server.spec.power,
        })
    }

    /// Asks the provider.
    pub(super) async fn look(&self, look: &Look, left: Duration) -> Answer {
        let Some(client) = self.client(look.account()) else {
            return Answer::Failed(not_sent("no_client"));
        };
        let mut context = self.request(left, outlook::of_look(look));
        // N11 is not decided by a list.
        context.by_id_alone = matches!(look, Look::Id { why: LookFor::Timeout, .. });
        let answer = async {
            match look {
                Look::Name { .. } => {
                    let name = &self.loaded.server.provider_name;
                    let named = sane::named(name, client.find(name, &context).await?)?;
                    let owner = self.context.installation;
                    let ours = named.as_ref().is_some_and(|seen| seen.is_ours(owner, self.loaded.server.id));
                    let labelled = if ours {
                        Vec::new()
                    } else {
                        let id = self.loaded.server.id;
                        sane::labelled(owner, id, client.find_labelled(owner, id, &context).await?)?
                    };
                    Ok(Answer::Name(NameFinding { named, labelled }))
                }
                Look::Id { id, .. } => sane::with_id(id, client.get(id, &context).await?).map(Answer::Server),
                Look::Actions { ids, .. } => {
                    Ok(Answer::Actions(sane::asked_for(ids, client.actions(ids, &context).await?)))
                }
            }
        };
        within(left, answer).await
    }

    /// Asks the store before anything follows from an answer. What would be adopted or removed for its labels and is the recorded
    /// server of another record loses them: somebody changed them, and for this record it is a foreign one.
    pub(super) async fn believe(&self, look: &Look, mut answer: Answer) -> Result<Answer, Stop> {
        self.note_shown(look, &answer).await?;
        let gates = BTreeMap::new();
        if looks::removable(&self.view(&gates), look, &mut answer).is_empty() {
            return Ok(answer);
        }
        let recorded = self.context.store.references(look.account()).await?;
        for seen in looks::removable(&self.view(&gates), look, &mut answer) {
            let is_held = |it: &&RecordedRef| it.server != self.server().id && it.id.as_ref() == Some(&seen.id);
            if let Some(holder) = recorded.iter().find(is_held) {
                let (id, holder) = (&seen.id, holder.server);
                tracing::error!(
                    account.id = %look.account(), server.id = %self.server().id,
                    "{id} has the label of this record and is the recorded server of {holder}: it stays"
                );
                seen.labels.clear();
            }
        }
        Ok(answer)
    }

    /// Sees to it that no server is recorded to run before the token that shows it is known to belong to the account.
    async fn note_shown(&self, look: &Look, answer: &Answer) -> Result<(), StoreError> {
        let (Look::Id { account, id, .. }, Answer::Server(Some(seen))) = (look, answer) else {
            return Ok(());
        };
        let server = self.server();
        let is_own = server.provider_ref.as_ref().is_some_and(|own| own.names(account, id));
        let shows = is_own && seen.is_ours(self.context.installation, server.id);
        match self.loaded.accounts.iter().find(|known| &known.id == account) {
            Some(known) if shows => gate::note_shown(self.context, known).await,
            Some(_) | None => Ok(()),
        }
    }

    fn request(&self, left: Duration, priority: Priority) -> RequestContext {
        let mut context = RequestContext::new(left).with_priority(priority);
        context.request_id.clone_from(&self.attempt.job().request_id);
        context.trace_parent.clone_from(&self.attempt.job().trace_parent);
        context
    }
}

/// Ends a request at its deadline, whatever the client does; what was sent by then may have been applied.
async fn within(left: Duration, answer: impl Future<Output = Result<Answer, ProviderError>>) -> Answer {
    if left.is_zero() {
        return Answer::Failed(not_sent("no_time_left"));
    }
    match tokio::time::timeout(left, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(error = %crate::telemetry::causes(&error), "provider call failed");
            Answer::Failed(Failure::from(&error))
        }
        Err(_elapsed) => Answer::Failed(Failure::unanswered()),
    }
}

fn not_sent(code: &str) -> Failure {
    Failure::from(&ProviderError::new(crate::ports::ProviderErrorKind::NotSent, code))
}
