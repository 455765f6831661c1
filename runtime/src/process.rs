//! The `process` backend.

use std::sync::Arc;

use crate::image::Image;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// The `process` backend.
pub struct ProcessBackend;

impl Backend for ProcessBackend {
    fn id(&self) -> String {
        "process".into()
    }

    fn description(&self) -> &'static str {
        ""
    }

    fn requirements(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn prepare(&self, _context: &RunContext, _image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        Err(Error::Invalid("not built yet".into()))
    }
}
