//! Reads the inventory from its end: new servers stand on the last pages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use crate::model::{InstallationId, ProviderServerId};
use crate::ports::{InventoryPage, ProviderClient, ProviderError, RequestContext, ServerView};

/// Looks that a page has to be worth: it is a larger answer than that of a look by id.
const LOOKS_PER_PAGE: usize = 2;

/// Bounds what is read.
#[derive(Debug)]
pub(super) struct Most<'a> {
    /// Servers that are looked for now.
    pub(super) wanted: &'a [ProviderServerId],
    /// Looks that pages are shared by, now and in a moment.
    pub(super) looks: usize,
}

/// Knows about how many pages the inventory has.
#[derive(Debug)]
pub(super) struct Pages {
    last: AtomicU32,
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self { last: AtomicU32::new(1) }
    }

    /// Takes note of a page that somebody read.
    pub(super) fn saw(&self, page: u32, part: &InventoryPage) {
        match part.next {
            Some(next) => self.last.fetch_max(next, Ordering::Relaxed),
            None => self.last.swap(page, Ordering::Relaxed),
        };
    }

    /// Reads pages, the last ones first, until all wanted servers were seen or it no longer pays.
    ///
    /// What is not in the answer may be there all the same.
    ///
    /// # Errors
    ///
    /// As the request of the first page. A later one that fails ends the reading: what was read stays read.
    pub(super) async fn newest(
        &self,
        client: &dyn ProviderClient,
        owner: InstallationId,
        most: &Most<'_>,
        context: &RequestContext,
    ) -> Result<BTreeMap<ProviderServerId, ServerView>, ProviderError> {
        let end = Instant::now() + context.deadline;
        let wanted = most.wanted;
        let mut reads = if wanted.len() < 2 { 0 } else { most.looks.div_ceil(LOOKS_PER_PAGE) };
        let mut seen = BTreeMap::new();
        let start = self.last.load(Ordering::Relaxed).max(1);
        let (mut forward, mut backward) = (Some(start), start.checked_sub(1));
        while reads > 0 && !wanted.iter().all(|id| seen.contains_key(id)) {
            let page = match (forward, backward) {
                (Some(page), _) => page,
                (None, Some(page)) if page > 0 => page,
                (None, _) => break,
            };
            let left = end.saturating_duration_since(Instant::now());
            // The other half is for those who were not on a page and are asked for by id.
            if left < context.deadline / 2 {
                break;
            }
            let part = match client.inventory(owner, page, &context.with_deadline(left)).await {
                Ok(part) => part,
                Err(error) if seen.is_empty() => return Err(error),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, page, "no further page of the inventory");
                    break;
                }
            };
            if forward.is_some() {
                self.saw(page, &part);
                forward = part.next;
            } else {
                backward = page.checked_sub(1);
            }
            seen.extend(part.servers.into_iter().map(|view| (view.id.clone(), ServerView { is_listed: true, ..view })));
            reads -= 1;
        }
        Ok(seen)
    }
}
