//! A round whose instances are at a bridge, as with `--network bridge`: the backend prepared once more, for a
//! bridge in the world of the round's thread.

use std::sync::Arc;

use runtime::image::Image;
use runtime::network::{Kind as NetworkKind, Network};
use runtime::{Backend, Prepared, RunContext};

use super::check::{Absent, Check, Finding};
use super::checks::only_in_a_world;
use super::kind::Kind;
use super::round::{Outcome, Place, round as carry_out};

/// Carries it out. The outcomes are in the order of `checks`. A bare process has no place at a bridge: it is in
/// the world that the bridge is in.
pub(super) fn round(
    checks: &[&Check],
    backend: &dyn Backend,
    (context, files): (&RunContext, &Image),
    place: Place<'_>,
) -> Vec<Outcome> {
    let network = Arc::new(Network::new(NetworkKind::Bridge, &context.run_id));
    let context = RunContext { network: network.clone(), ..context.clone() };
    let prepare = || -> Result<_, String> {
        only_in_a_world().map_err(|Absent(why)| why)?;
        let prepared: Option<Arc<dyn Prepared>> = match place.kind {
            Kind::Process => None,
            _ => Some(backend.prepare(&context, files).map_err(|error| error.to_string())?),
        };
        let bridge = network.bridge().map_err(|error| error.to_string())?;
        Ok((prepared, bridge.ok_or("there is no bridge")?))
    };
    match prepare() {
        Ok((prepared, bridge)) => {
            let prepared = prepared.as_deref().unwrap_or(place.prepared);
            carry_out(checks, &Place { prepared, bridge: Some(&bridge), ..place })
        }
        Err(why) => {
            let absent = || Outcome { finding: Finding::Absent(why.clone()), ..Outcome::failed(&why) };
            checks.iter().map(|_| absent()).collect()
        }
    }
}
