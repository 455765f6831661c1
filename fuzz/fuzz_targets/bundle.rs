//! Configurations of OCI bundles: whatever they say, no panic and no hang, and what is read is read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runtime::bundle::fuzz::configurations(data));
