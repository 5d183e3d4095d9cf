//! Reads the inventory where new servers stand: on the pages where they were seen before, and on the last ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use crate::model::{InstallationId, ProviderServerId};
use crate::ports::{InventoryPage, ProviderClient, ProviderError, RequestContext, ServerView};
use crate::telemetry;

/// Looks that a page has to be worth: it is a larger answer than that of a look by id.
const LOOKS_PER_PAGE: usize = 2;

/// Bounds what is read.
#[derive(Debug)]
pub(super) struct Most<'a> {
    /// Servers that are looked for now.
    pub(super) wanted: &'a [ProviderServerId],
    /// Looks that pages are shared by, now and in a moment.
    pub(super) looks: usize,
    /// Pages on which some of them stood when they were seen last.
    pub(super) known: BTreeSet<u32>,
}

/// Is a server and the page on which it stood.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) view: ServerView,
    pub(super) page: u32,
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

    /// Reads pages, those that are known first and then from the last one on, until all wanted servers were seen or it no
    /// longer pays.
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
    ) -> Result<BTreeMap<ProviderServerId, Listed>, ProviderError> {
        let end = Instant::now() + context.deadline;
        let wanted = most.wanted;
        // A single one is worth a page only where it is known to stand and others may stand beside it.
        let mut reads = match wanted.len() {
            0 | 1 => usize::from(most.looks >= LOOKS_PER_PAGE && !most.known.is_empty()),
            _ => most.looks.div_ceil(LOOKS_PER_PAGE),
        };
        let mut seen = BTreeMap::new();
        let mut way = Way::new(most.known.clone(), self.last.load(Ordering::Relaxed).max(1));
        while reads > 0 && !wanted.iter().all(|id| seen.contains_key(id)) {
            let Some(page) = way.next() else { break };
            let left = end.saturating_duration_since(Instant::now());
            // The other half is for those who were not on a page and are asked for by id.
            if left < context.deadline / 2 {
                break;
            }
            let part = match client.inventory(owner, page, &context.with_deadline(left)).await {
                Ok(part) => part,
                Err(error) if seen.is_empty() => return Err(error),
                Err(error) => {
                    telemetry::tell(|| {
                        tracing::debug!(error = %telemetry::causes(&error), page, "no further page of the inventory");
                    });
                    break;
                }
            };
            self.saw(page, &part);
            way.read.insert(page, part.next);
            seen.extend(part.servers.into_iter().map(|view| {
                let view = ServerView { is_listed: true, ..view };
                (view.id.clone(), Listed { view, page })
            }));
            reads -= 1;
        }
        Ok(seen)
    }
}

/// Is the order in which pages are read: those that are known, the last ones up to the end, then backward.
struct Way {
    known: BTreeSet<u32>,
    forward: Option<u32>,
    backward: u32,
    /// What was read, and which page comes next.
    read: BTreeMap<u32, Option<u32>>,
}

impl Way {
    const fn new(known: BTreeSet<u32>, start: u32) -> Self {
        Self { known, forward: Some(start), backward: start, read: BTreeMap::new() }
    }

    /// Returns the next page that was not read.
    fn next(&mut self) -> Option<u32> {
        if let Some(page) = self.known.pop_last() {
            return Some(page);
        }
        while let Some(next) = self.forward.and_then(|page| self.read.get(&page)) {
            self.forward = *next;
        }
        while self.forward.is_none() && self.backward > 0 && self.read.contains_key(&self.backward) {
            self.backward -= 1;
        }
        self.forward.or_else(|| Some(self.backward).filter(|page| *page > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pages that are read of so many.
    fn way(known: &[u32], start: u32, pages: u32) -> Vec<u32> {
        let mut way = Way::new(known.iter().copied().collect(), start);
        std::iter::from_fn(|| {
            let page = way.next()?;
            way.read.insert(page, Some(page + 1).filter(|next| *next <= pages));
            Some(page)
        })
        .collect()
    }

    #[test]
    fn known_pages_come_first_then_the_last_ones_and_none_is_read_twice() {
        assert_eq!(way(&[], 3, 5), [3, 4, 5, 2, 1]);
        assert_eq!(way(&[1, 4], 3, 5), [4, 1, 3, 5, 2]);
        assert_eq!(way(&[5], 4, 5), [5, 4, 3, 2, 1]);
        assert_eq!(way(&[], 1, 1), [1]);
        // The inventory has become shorter: a page beyond its end is empty, and the last one.
        assert_eq!(way(&[9], 7, 5), [9, 7, 6, 5, 4, 3, 2, 1]);
    }

    /// Reads an inventory of two pages with one server each, of which one fails.
    #[cfg(feature = "mocks")]
    async fn read(fails: u32) -> Result<Vec<String>, ProviderError> {
        let mut client = crate::mocks::MockProviderClient::new();
        client.expect_inventory().returning(move |_, page, _| {
            if page == fails {
                return Err(ProviderError::new(crate::ports::ProviderErrorKind::Unknown, "cut"));
            }
            let view = ServerView {
                id: ProviderServerId::new(page.to_string()).unwrap(),
                name: format!("s{page}"),
                status: crate::ports::ServerStatus::Running,
                labels: crate::model::Labels::new(),
                addresses: crate::model::Addresses::default(),
                server_type: "small".to_owned(),
                location: "here".to_owned(),
                is_listed: true,
            };
            Ok(InventoryPage { servers: vec![view], next: Some(page + 1).filter(|next| *next <= 2) })
        });
        let wanted = ["1", "2", "3"].map(|id| ProviderServerId::new(id).unwrap());
        let most = Most { wanted: &wanted, looks: 20, known: BTreeSet::new() };
        let (owner, context) = (InstallationId::from_uuid(uuid::Uuid::nil()), RequestContext::new(DEADLINE));
        let seen = Pages::new().newest(&client, owner, &most, &context).await?;
        Ok(seen.into_values().map(|it| format!("{} on {}", it.view.name, it.page)).collect())
    }

    #[cfg(feature = "mocks")]
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

    #[cfg(feature = "mocks")]
    #[tokio::test(start_paused = true)]
    async fn a_later_page_that_fails_takes_nothing_of_what_was_read_and_a_first_one_is_told() {
        assert_eq!(read(9).await.unwrap(), ["s1 on 1", "s2 on 2"]);
        assert_eq!(read(2).await.unwrap(), ["s1 on 1"]);
        assert_eq!(read(1).await.unwrap_err().code, "cut");
    }
}
