//! Lists in pages: each item once, and cursors that belong to one caller and one query.

use std::collections::BTreeSet;

use crate::app::{App, order};

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_server_once_while_orders_arrive() {
    let app = App::accepting().await;
    for number in 0..7 {
        app.order(&app.acme, &format!("order-{number}"), &order("web")).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/servers?limit=2".to_owned();
    loop {
        let page = app.get(&app.acme, &path).await;
        seen.extend(page.body["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        app.order(&app.other, &format!("other-{}", seen.len()), &order("web")).await;
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/servers?limit=2&cursor={cursor}");
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (7, 7));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_tenant_or_list_or_one_that_was_changed_is_refused() {
    let app = App::accepting().await;
    for number in 0..2 {
        app.order(&app.acme, &format!("order-{number}"), &order("web")).await;
    }
    let page = app.get(&app.acme, "/v1/servers?limit=1").await;
    let cursor = page.text("/next_cursor");
    assert!(app.get(&app.acme_reader, &format!("/v1/servers?cursor={cursor}")).await.status.is_success());
    let changed = format!("{}{}", &cursor[..cursor.len() - 1], if cursor.ends_with('A') { 'B' } else { 'A' });
    let wrong = [
        (&app.other, format!("/v1/servers?cursor={cursor}")),
        (&app.acme, format!("/v1/operations?cursor={cursor}")),
        (&app.acme, format!("/v1/servers?cursor={changed}")),
        (&app.acme, "/v1/servers?cursor=".to_owned()),
        (&app.acme, format!("/v1/servers?cursor={}", "A".repeat(65))),
    ];
    for (key, path) in wrong {
        let answer = app.get(key, &path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_cursor"), "{path}");
    }
    app.end().await;
}
