//! JSON Schemas (draft 2020-12) of what this program writes, published in `results/schema/`. A test
//! compares them with these types, so that neither changes without the other.

use schemars::{JsonSchema, schema_for};

use crate::compare::{Comparison, Side};
use crate::history::Series;
use crate::noise::Assessment;
use crate::record::Run;
use crate::summary::Summary;

/// Name and schema of each file.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("baseline", text::<Side>()),
        ("comparison", text::<Comparison>()),
        ("history", text::<Vec<Series>>()),
        ("noise", text::<Assessment>()),
        ("run", text::<Run>()),
        ("summary", text::<Summary>()),
    ]
}

fn text<T: JsonSchema>() -> String {
    // A schema is JSON by construction; the pretty printer of serde_json keeps its keys in order.
    format!("{:#}\n", schema_for!(T).to_value())
}
