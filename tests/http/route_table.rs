//! Every route of the description, with every way to be refused: none is listed by hand.

use serde_json::{Value, json};
use vip_http::Api;
use vip_http::axum::body::Body;

use crate::app::{Answer, App, Key, order, request};

/// Is one route as the description has it.
#[derive(Debug, Clone)]
struct Route {
    method: String,
    path: String,
    scope: String,
    takes_body: bool,
    needs_key: bool,
}

fn routes() -> Vec<Route> {
    let description: Value = serde_json::from_str(&Api::description().to_json().unwrap()).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scope = operation["security"][0]["key"][0].as_str();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let needs_key = |it: &Value| it["name"] == "Idempotency-Key" && it["required"] == true;
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                scope: scope.unwrap_or_else(|| panic!("{method} {path} says no scope")).to_owned(),
                takes_body: operation.get("requestBody").is_some(),
                needs_key: parameters.iter().any(needs_key),
            });
        }
    }
    assert!(routes.len() >= 19, "{routes:?}");
    routes
}

impl Route {
    /// Fills the path in with ids of the tenant `acme`.
    fn path_of(&self, accepted: &Answer) -> String {
        let id = if self.path.contains("/servers/{id}") { accepted.text("/server_id") } else { accepted.text("/id") };
        self.path
            .replace("{id}", id)
            .replace("{tenant}", "acme")
            .replace("{account}", "default")
            .replace("{digest}", "0123456789abcdef")
    }

    async fn send(&self, app: &App, key: Option<&Key>, path: &str, body: &str) -> Answer {
        let mut request = request(&self.method, path, key);
        if self.takes_body {
            request = request.header("content-type", "application/json");
        }
        if self.needs_key {
            request = request.header("idempotency-key", "of-the-table");
        }
        app.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Returns a body that the route takes.
    fn body(&self) -> String {
        match (self.takes_body, self.path.as_str()) {
            (false, _) => String::new(),
            (true, "/v1/servers") => order("web-9").to_string(),
            (true, other) => body_of(other).to_string(),
        }
    }

    fn right<'a>(&self, app: &'a App) -> &'a Key {
        match self.scope.as_str() {
            "tenant:read" => &app.acme_reader,
            "tenant:write" => &app.acme_writer,
            "operator" => &app.operator,
            other => panic!("no caller with the scope {other}"),
        }
    }

    fn wrong<'a>(&self, app: &'a App) -> [&'a Key; 2] {
        match self.scope.as_str() {
            "tenant:read" => [&app.acme_writer, &app.operator],
            "tenant:write" => [&app.acme_reader, &app.operator],
            _ => [&app.acme, &app.other],
        }
    }
}

fn body_of(path: &str) -> Value {
    match path {
        "/v1/operator/accounts/{account}/breaker" => json!({ "mode": "automatic" }),
        "/v1/operator/accounts/{account}/tokens/{digest}/confirm" => json!({ "missing": 0 }),
        "/v1/operator/jobs/replay" => json!({ "patience_seconds": 0 }),
        "/v1/operator/accounts/{account}/sweep" | "/v1/operator/tenants/{tenant}/audit/verify" => json!({}),
        other => panic!("the table needs a body for {other}"),
    }
}

async fn ordered(app: &App) -> Answer {
    let accepted = app.order(&app.acme, "order-1", &order("web-1")).await;
    assert_eq!(accepted.status.as_u16(), 202, "{accepted:?}");
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_every_route_is_401_and_with_the_wrong_scope_403() {
    let app = App::accepting().await;
    let accepted = ordered(&app).await;
    for route in routes() {
        let path = route.path_of(&accepted);
        let answer = route.send(&app, None, &path, &route.body()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthenticated"), "{route:?}");
        for key in route.wrong(&app) {
            let answer = route.send(&app, Some(key), &path, &route.body()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"), "{route:?}");
        }
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_id_and_one_that_is_none_are_404_on_every_route() {
    let app = App::accepting().await;
    let accepted = ordered(&app).await;
    for route in routes().into_iter().filter(|route| route.path.contains("{id}")) {
        if route.scope != "operator" {
            let answer = route.send(&app, Some(&app.other), &route.path_of(&accepted), &route.body()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{route:?}");
        }
        for id in ["1", "..", "%00", "01890A5D-AC96-774B-BCCE-B302099A8057", "01890a5dac96774bbcceb302099a8057"] {
            let path = route.path.replace("{id}", id).replace("{tenant}", "acme");
            let answer = route.send(&app, Some(route.right(&app)), &path, &route.body()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{path}");
        }
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_is_400_on_every_route_that_takes_one() {
    let app = App::accepting().await;
    let accepted = ordered(&app).await;
    for route in routes().into_iter().filter(|route| route.takes_body) {
        for body in ["", "{", "[]", "7", "{\"no_such_field\":1}"] {
            let answer = route.send(&app, Some(route.right(&app)), &route.path_of(&accepted), body).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (400, "malformed_body"), "{route:?} {body}");
        }
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_as_the_first_time_on_every_route() {
    let app = App::working().await;
    let accepted = ordered(&app).await;
    let path = format!("{}?wait=20", accepted.header("location"));
    assert_eq!(app.get(&app.acme, &path).await.text("/status"), "succeeded");
    for route in routes() {
        let path = route.path_of(&accepted);
        let first = route.send(&app, Some(route.right(&app)), &path, &route.body()).await;
        let again = route.send(&app, Some(route.right(&app)), &path, &route.body()).await;
        assert!(!first.status.is_server_error(), "{route:?} {first:?}");
        assert_eq!(first.status.is_success(), again.status.is_success(), "{route:?} {first:?} {again:?}");
        if first.headers.contains_key("location") {
            assert_eq!(first.header("location"), again.header("location"), "{route:?}");
            assert_eq!(again.header("idempotency-replayed"), "true", "{route:?}");
        }
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_every_route_says_so_and_when_to_come_back() {
    let app = App::accepting().await;
    let accepted = ordered(&app).await;
    app.lose_store().await;
    // The catalog is kept, a breaker is this process's own, and health has to tell.
    let without_store = ["/v1/catalog", "/healthz", "/v1/operator/accounts/{account}/breaker"];
    for route in routes().into_iter().filter(|route| !without_store.contains(&route.path.as_str())) {
        let answer = route.send(&app, Some(route.right(&app)), &route.path_of(&accepted), &route.body()).await;
        assert_eq!(answer.status.as_u16(), 503, "{route:?} {answer:?}");
        assert!(["unavailable", "outcome_unknown"].contains(&answer.code()), "{route:?} {answer:?}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_methods_that_nobody_knows_are_problems() {
    let app = App::accepting().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/servers", "/v1/servers/", "//v1/servers"] {
        assert_eq!(app.get(&app.acme, path).await.code(), "not_found", "{path}");
    }
    for route in routes() {
        for method in ["TRACE", "PATCH", "CONNECT", "MADEUP"] {
            let answer = app.send(request(method, &filled(&route.path), Some(&app.acme)).body(Body::empty()).unwrap());
            let answer = answer.await;
            assert_eq!((answer.status.as_u16(), answer.code()), (405, "method_not_allowed"), "{method} {route:?}");
            assert!(answer.header("allow").contains(&route.method), "{answer:?}");
        }
    }
    app.end().await;
}

fn filled(path: &str) -> String {
    path.replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{tenant}", "acme")
        .replace("{account}", "default")
        .replace("{digest}", "0123456789abcdef")
}
