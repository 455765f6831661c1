//! Manifests, indexes and configurations: whatever they say, no panic and no hang.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runtime::image::fuzz::documents(data));
