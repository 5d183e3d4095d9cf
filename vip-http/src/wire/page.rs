//! Pages of lists.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vip_core::model::{Page, PageLimit, PageRequest};

use crate::cursor::{Binding, Cursors};
use crate::limits;
use crate::problem::{Problem, ProblemCode};

/// Asks for a page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most items of the page; 50 if nothing is said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; without it the first page is meant.
    cursor: Option<String>,
}

impl PageQuery {
    /// Makes one from parts of another query.
    pub(crate) const fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// Turns it into what the core asks for.
    pub(crate) fn request(&self, cursors: &Cursors, binding: Binding<'_>) -> Result<PageRequest, Problem> {
        let limit = PageLimit::new(self.limit.unwrap_or(limits::PAGE_DEFAULT))
            .map_err(|error| Problem::new(ProblemCode::InvalidQuery).with_detail(format!("`limit` {}.", error.rule)))?;
        match &self.cursor {
            Some(text) => Ok(PageRequest::after(cursors.read(binding, text)?, limit)),
            None => Ok(PageRequest::first(limit)),
        }
    }
}

/// Is a page of a list, in ascending order of the ids.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageBody<T> {
    /// The items.
    items: Vec<T>,
    /// Asks for the next page; null if there is none.
    next_cursor: Option<String>,
}

impl<T> PageBody<T> {
    /// Turns a page of the core into one that is sent.
    pub(crate) fn of<I>(page: Page<I>, cursors: &Cursors, binding: Binding<'_>, item: impl Fn(I) -> T) -> Self {
        let next_cursor = page.next.map(|key| cursors.write(binding, key));
        Self { items: page.items.into_iter().map(item).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_fifty_items_of_its_description_if_nothing_is_said() {
        let (cursors, binding) = (Cursors::new([7; 32]), Binding { owner: "acme", query: "servers" });
        let items = |query: PageQuery| query.request(&cursors, binding).unwrap().limit.items();
        assert_eq!((items(PageQuery::default()), items(PageQuery::new(Some(51), None))), (50, 51));
    }
}
