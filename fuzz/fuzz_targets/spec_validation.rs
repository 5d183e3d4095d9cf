//! libFuzzer's door to `vip_fuzz::spec_validation`; needs nightly: `cargo +nightly fuzz run spec_validation --features libfuzzer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vip_fuzz::spec_validation::run(data));
