//! What is written down about the API is what it does: the page of problems, the committed description.

use std::path::{Path, PathBuf};

use vip_http::{Api, ProblemCode};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Compares a document with what the code says it has to be; `VIP_WRITE_DOCUMENTS=1` writes it instead.
fn assert_document(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os("VIP_WRITE_DOCUMENTS").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is not what the code says: VIP_WRITE_DOCUMENTS=1 writes it anew");
}

#[test]
fn every_code_of_a_problem_is_documented_as_it_is() {
    assert!(ProblemCode::ALL.len() > 15);
    assert_document("docs/problems.md", &ProblemCode::documentation());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_to_everybody() {
    let app = crate::app::App::accepting().await;
    let request = crate::app::request("GET", "/openapi.json", None);
    let answer = app.send(request.body(vip_http::axum::body::Body::empty()).unwrap()).await;
    let committed: serde_json::Value = serde_json::from_str(&Api::description().to_json().unwrap()).unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.clone()), (200, committed));
    app.end().await;
}

#[test]
fn the_committed_description_is_what_the_routes_say() {
    let description = Api::description().to_pretty_json().unwrap();
    assert!(description.contains("\"openapi\": \"3.1.0\""), "not OpenAPI 3.1");
    assert_document("docs/openapi.json", &format!("{description}\n"));
}

#[test]
fn the_description_asks_for_nothing_that_cannot_be() {
    let description = Api::description().to_json().unwrap();
    // What has to be two things at once is of two types, as it is written: no value is that.
    assert!(!description.contains("\"allOf\""), "{description}");
    let whole: serde_json::Value = serde_json::from_str(&description).unwrap();
    let parameters = whole["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let parameters = parameters.flat_map(|operation| operation["parameters"].as_array().cloned().unwrap_or_default());
    let mut seen = 0;
    for parameter in parameters {
        assert!(parameter["schema"]["type"].is_string(), "a parameter is null for nobody: {parameter}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_metric_has_a_row_in_its_page_and_no_other_has_one() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(rows, vip_core::telemetry::METRICS, "in the order of the list");
}
