//! Query parameters: reading them, and the sorting and paging that every list shares.

use std::cmp::Ordering;

use http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::labels::Selector;

/// Most entries on a page.
pub(super) const PER_PAGE_MAX: u64 = 50;
const PER_PAGE_DEFAULT: u64 = 25;

/// The parameters of a request, in their order.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    target: String,
}

impl Query {
    /// Reads the query of `uri`. Parameters that are not in `allowed` are refused: the real API
    /// ignores them, and a misspelt filter would go unnoticed.
    pub(super) fn parse(uri: &Uri, host: &str, allowed: &[&str]) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name), decode(value));
            if !allowed.contains(&name.as_str()) {
                let message = format!("unknown query parameter '{name}'");
                return Err(Refusal::invalid_field("query", message));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs, target: format!("{}{}", origin(uri, host), uri.path()) })
    }

    /// Returns the last value of a parameter.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns every value of a repeated parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Tells whether a repeatable filter is absent or names `value`.
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        let mut wanted = self.all(name).peekable();
        wanted.peek().is_none() || wanted.any(|it| it == value)
    }

    /// Refuses values of a repeatable filter that are not in `known`.
    pub(super) fn expect_one_of(&self, name: &'static str, known: &[&str]) -> Result<(), Refusal> {
        match self.all(name).find(|value| !known.contains(value)) {
            Some(value) => Err(Refusal::invalid_field(name, format!("'{value}' is not allowed"))),
            None => Ok(()),
        }
    }

    /// Reads the `label_selector`.
    pub(super) fn selector(&self) -> Result<Selector, Refusal> {
        Selector::parse(self.last("label_selector").unwrap_or_default())
            .map_err(|message| Refusal::invalid_field("label_selector", message))
    }

    /// Reads `sort`, which may be repeated; without it entries are sorted by id.
    pub(super) fn sort(&self, fields: &[&'static str]) -> Result<Vec<SortKey>, Refusal> {
        let mut keys = Vec::new();
        for text in self.all("sort") {
            let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
            let field = fields.iter().find(|it| **it == field);
            match (field, direction) {
                (Some(field), "asc") => keys.push(SortKey { field, descending: false }),
                (Some(field), "desc") => keys.push(SortKey { field, descending: true }),
                (_, _) => {
                    return Err(Refusal::invalid_field("sort", format!("cannot sort by '{text}'")));
                }
            }
        }
        Ok(keys)
    }

    /// Answers one page of `entries` under the name `key`; only what is on the page is written.
    pub(super) fn page<T>(&self, key: &str, entries: &[T], to_json: impl Fn(&T) -> Value) -> Result<Answer, Refusal> {
        let page = self.number("page", 1, u64::MAX)?.unwrap_or(1);
        let per_page = self.number("per_page", 1, PER_PAGE_MAX)?.unwrap_or(PER_PAGE_DEFAULT);
        let total = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let last = total.div_ceil(per_page).max(1);
        let previous = (page > 1).then(|| page - 1);
        let next = (page < last).then(|| page + 1);
        let skip = usize::try_from((page - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
        let take = usize::try_from(per_page).unwrap_or(usize::MAX);
        let entries: Vec<_> = entries.iter().skip(skip).take(take).map(to_json).collect();
        let link = self.link(&[("prev", previous), ("next", next), ("last", Some(last))]);
        let mut answer = Answer::ok(json!({
            key: entries,
            "meta": {"pagination": {
                "page": page,
                "per_page": per_page,
                "previous_page": previous,
                "next_page": next,
                "last_page": last,
                "total_entries": total,
            }},
        }));
        answer.link = Some(link);
        Ok(answer)
    }

    fn number(&self, name: &'static str, min: u64, max: u64) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => {
                let message = format!("'{text}' is not a number from {min} to {max}");
                Err(Refusal::invalid_field(name, message))
            }
        }
    }

    fn link(&self, pages: &[(&str, Option<u64>)]) -> String {
        let kept: String = self
            .pairs
            .iter()
            .filter(|(name, _)| name != "page")
            .map(|(name, value)| format!("&{name}={}", encode(value)))
            .collect();
        let links: Vec<_> = pages
            .iter()
            .filter_map(|(relation, page)| {
                let page = (*page)?;
                Some(format!("<{}?page={page}{kept}>; rel=\"{relation}\"", self.target))
            })
            .collect();
        links.join(", ")
    }
}

fn origin(uri: &Uri, host: &str) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = uri.authority().map_or(host, |authority| authority.as_str());
    format!("{scheme}://{host}")
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// One field to sort by.
#[derive(Debug)]
pub(super) struct SortKey {
    pub(super) field: &'static str,
    descending: bool,
}

/// What entries are compared by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortValue<'a> {
    Number(u128),
    Text(&'a str),
}

/// Sorts `entries` by `keys`; entries that are equal keep their order, which is by id.
pub(super) fn sort_entries<'a, T: ?Sized>(
    entries: &mut [&'a T],
    keys: &[SortKey],
    value: impl Fn(&'a T, &str) -> SortValue<'a>,
) {
    entries.sort_by(|left, right| {
        keys.iter()
            .map(|key| {
                let order = value(left, key.field).cmp(&value(right, key.field));
                if key.descending { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
}
