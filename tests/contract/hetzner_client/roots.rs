//! Certificates of machines that have none: a client can be made all the same.

use std::process::Command;

use vip_adapters::hetzner::HetznerClient;

use super::TOKEN;

/// Runs one test of this file in a process that finds no certificate store.
fn passes_without_store(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("VIP_TEST_INSIDE", "1")
        .env("SSL_CERT_FILE", folder.path().join("none.pem"))
        .env("SSL_CERT_DIR", folder.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && output.contains("1 passed"), "{output}");
    assert!(output.contains("made without a store"), "the part inside ran: {output}");
}

fn is_inside() -> bool {
    std::env::var_os("VIP_TEST_INSIDE").is_some()
}

#[test]
fn a_client_of_a_simulator_needs_no_roots() {
    if !is_inside() {
        return passes_without_store("roots::a_client_of_a_simulator_needs_no_roots");
    }
    HetznerClient::at("http://127.0.0.1:1", TOKEN).unwrap();
    println!("made without a store");
}

#[test]
fn a_client_of_the_real_api_falls_back_on_bundled_roots() {
    if !is_inside() {
        return passes_without_store("roots::a_client_of_the_real_api_falls_back_on_bundled_roots");
    }
    // What the fallback is for: reqwest by itself has nothing to verify with and gives up.
    reqwest::Client::builder().build().unwrap_err();
    HetznerClient::at("https://api.hetzner.cloud/v1", TOKEN).unwrap();
    println!("made without a store");
}
