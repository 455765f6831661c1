//! Images made by hand, good ones and hostile ones.

mod build;
mod bundle;
mod forms;
mod hostile;
mod layers;
mod random;
mod sharing;
