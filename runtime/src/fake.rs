//! A backend that starts nothing: scripted delays, failures and hangs, to test everybody else.

use std::sync::Arc;

use crate::image::Image;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// `fake` or `fake:SCRIPT`.
pub struct FakeBackend {
    /// The script.
    pub script: String,
}

impl Backend for FakeBackend {
    fn id(&self) -> String {
        if self.script.is_empty() { "fake".into() } else { format!("fake:{}", self.script) }
    }

    fn description(&self) -> &'static str {
        "starts nothing; scripted"
    }

    fn requirements(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn prepare(&self, _context: &RunContext, _image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        Err(Error::Invalid("not built yet".into()))
    }
}
