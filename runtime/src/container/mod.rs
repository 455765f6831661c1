//! The `container` backend.

use std::sync::Arc;

use crate::image::Image;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// The `container` backend.
pub struct ContainerBackend;

impl Backend for ContainerBackend {
    fn id(&self) -> String {
        "container".into()
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
