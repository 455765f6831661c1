//! What the neighbours feel: a sampler of the host's own counters and a canary.

mod canary;
mod counters;
mod sampler;

pub(crate) use counters::Counters;
pub(crate) use sampler::Sampler;
