//! The layer extractor: whatever the layers, no panic, no hang, and nothing beside the root.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runtime::image::fuzz::layers(data));
