//! Capabilities that this program cannot give, since it has none of them itself.
//!
//! "Runtimes SHOULD NOT fail if the container configuration requests capabilities that cannot be
//! granted, for example, if the runtime operates in a restricted environment"; they "MUST be logged as
//! a warning" (config.md, "Linux Process", 1.1 and newer).

use rustix::thread::{CapabilitySet, capabilities};

use super::translate::capability_names;
use crate::Error;
use crate::container::setup::{Namespace, Setup};

/// Takes from the process what it cannot be given; a warning where that is anything. In a user
/// namespace of its own it has all of them (user_namespaces(7)).
///
/// # Errors
/// Where the kernel does not tell which ones this program has.
pub(super) fn withhold(setup: &mut Setup) -> Result<Vec<String>, Error> {
    if setup.namespaces.user != Namespace::Host {
        return Ok(Vec::new());
    }
    let own = capabilities(None).map_err(Error::system("learn which capabilities bench itself has"))?;
    Ok(limit(setup, own.permitted).into_iter().collect())
}

fn limit(setup: &mut Setup, own: CapabilitySet) -> Option<String> {
    let sets = setup.process.capabilities.as_mut()?;
    let asked = sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient;
    let missing = asked & !own.bits();
    for set in [
        &mut sets.bounding,
        &mut sets.effective,
        &mut sets.permitted,
        &mut sets.inheritable,
        &mut sets.ambient,
    ] {
        *set &= !missing;
    }
    let names = capability_names().into_iter().enumerate();
    let names: Vec<String> =
        names.filter(|(number, _)| missing >> number & 1 == 1).map(|(_, name)| name).collect();
    (missing != 0).then(|| {
        format!(
            "config.json: process.capabilities: {} left out, which this program itself does not have",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::setup::Capabilities;
    use crate::container::standard_setup;

    #[test]
    fn what_the_caller_lacks_is_left_out_and_named() {
        let mut setup = standard_setup(None);
        let all = 1 << 24 | 1 << 5;
        let sets = Capabilities { bounding: all, effective: all, permitted: all, inheritable: 0, ambient: 0 };
        setup.process.capabilities = Some(sets);
        // A user namespace of its own: everything can be given.
        assert_eq!(withhold(&mut setup).expect("told"), Vec::<String>::new());
        let said = limit(&mut setup, CapabilitySet::from_bits_retain(1 << 5)).expect("a warning");
        assert!(said.contains(": CAP_SYS_RESOURCE left out"), "{said}");
        let left = setup.process.capabilities.expect("sets");
        assert_eq!((left.bounding, left.effective, left.permitted), (1 << 5, 1 << 5, 1 << 5));
        assert_eq!(limit(&mut setup, CapabilitySet::from_bits_retain(1 << 5)), None);
    }
}
