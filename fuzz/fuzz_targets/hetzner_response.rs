//! libFuzzer's door to `vip_fuzz::hetzner_response`; needs nightly: `cargo +nightly fuzz run hetzner_response --features libfuzzer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vip_fuzz::hetzner_response::run(data));
