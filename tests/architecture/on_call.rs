//! The page for whoever is on call names every reason for which an order waits, has failed or is parked.

use crate::{assert_clean, repository};

const LIST: &str = "vip-core/src/model/reason.rs";
const PAGE: &str = "docs/how-to/on-call.md";

/// The stable names in the list: what stands between quotes behind a variant.
fn reasons(list: &str) -> Vec<&str> {
    let variants = list.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""));
    variants.map(|(_, name)| name).collect()
}

fn unnamed(page: &str, list: &str) -> Vec<String> {
    let unnamed = reasons(list).into_iter().filter(|name| !page.contains(&format!("`{name}`")));
    unnamed.map(|name| format!("{PAGE} does not say what `{name}` means, of {LIST}")).collect()
}

#[test]
fn every_reason_is_named_on_the_page_for_who_is_on_call() {
    let files = repository::files();
    let text = |path: &str| files.iter().find(|it| it.path == path).map_or("", |it| it.text.as_str());
    assert!(reasons(text(LIST)).len() > 25, "the list was not understood");
    assert_clean(&unnamed(text(PAGE), text(LIST)));
}

#[test]
fn a_reason_that_is_not_named_is_found() {
    let list = "        /// Accepted.\n        Queued = \"queued\",\n        Busy = \"busy\",\n";
    assert_eq!(unnamed("| `queued`, `busy` |", list), Vec::<String>::new());
    assert_eq!(unnamed("| `queued` | busy |", list).len(), 1);
}
