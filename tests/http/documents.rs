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

#[test]
fn the_committed_description_is_what_the_routes_say() {
    let description = Api::description().to_pretty_json().unwrap();
    assert!(description.contains("\"openapi\": \"3.1.0\""), "not OpenAPI 3.1");
    assert_document("docs/openapi.json", &format!("{description}\n"));
}
