//! Images made by hand, good ones and hostile ones.

mod aci;
mod build;
mod bundle;
mod debian;
mod forms;
mod hostile;
mod layers;
mod random;
#[cfg(feature = "registry")]
mod registry;
mod sharing;
mod tools;
mod unbundle;
