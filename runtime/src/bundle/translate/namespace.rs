//! `linux.namespaces`, id mappings and clock offsets.

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, LinuxTimeOffset};

use super::super::config::refuse;
use crate::Error;
use crate::container::setup::{IdMaps, IdRange, MapWriter, Namespace, Namespaces, TimeOffsets};

/// Which namespaces the container has.
pub(in super::super) fn namespaces(linux: &Linux) -> Result<Namespaces, Error> {
    let mut all = Namespaces::default();
    let mut seen = Vec::new();
    for (index, wanted) in linux.namespaces().iter().flatten().enumerate() {
        let at = format!("linux.namespaces[{index}]");
        let kind = wanted.typ();
        if seen.contains(&kind) {
            // config-linux.md: "MUST generate an error".
            return Err(refuse(format!("{at}.type"), format!("there are two of {kind}")));
        }
        seen.push(kind);
        let one = match wanted.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
            None => Namespace::New,
            Some(path) if path.is_absolute() => Namespace::Join(path.clone()),
            Some(path) => {
                return Err(refuse(format!("{at}.path"), format!("{} is not absolute", path.display())));
            }
        };
        *match kind {
            LinuxNamespaceType::Pid => &mut all.pid,
            LinuxNamespaceType::Network => &mut all.network,
            LinuxNamespaceType::Uts => &mut all.uts,
            LinuxNamespaceType::Mount => &mut all.mount,
            LinuxNamespaceType::Ipc => &mut all.ipc,
            LinuxNamespaceType::User => &mut all.user,
            LinuxNamespaceType::Cgroup => &mut all.cgroup,
            LinuxNamespaceType::Time => &mut all.time,
        } = one;
    }
    all.time_offsets = time_offsets(linux, &all.time)?;
    Ok(all)
}

/// The maps of a new user namespace.
pub(super) fn id_maps(linux: &Linux, namespaces: &Namespaces) -> Result<Option<IdMaps>, Error> {
    let ranges = |list: &Option<Vec<LinuxIdMapping>>, field: &str| -> Result<Vec<IdRange>, Error> {
        let list = list.iter().flatten().enumerate().map(|(index, mapping)| {
            let (inside, outside, count) = (mapping.container_id(), mapping.host_id(), mapping.size());
            let at = format!("linux.{field}[{index}]");
            if count == 0 {
                return Err(refuse(format!("{at}.size"), "is 0"));
            }
            if inside.checked_add(count).is_none() || outside.checked_add(count).is_none() {
                return Err(refuse(at, "goes beyond the last id"));
            }
            Ok(IdRange { inside, outside, count })
        });
        list.collect()
    };
    let uids = ranges(linux.uid_mappings(), "uidMappings")?;
    let gids = ranges(linux.gid_mappings(), "gidMappings")?;
    for (field, ranges) in [("linux.uidMappings", &uids), ("linux.gidMappings", &gids)] {
        match namespaces.user {
            Namespace::New if ranges.is_empty() => {
                return Err(refuse(field, "is missing: a new user namespace has no ids without it"));
            }
            Namespace::Host if !ranges.is_empty() => {
                return Err(refuse(field, "needs a user namespace in linux.namespaces"));
            }
            Namespace::Join(_) if !ranges.is_empty() => {
                return Err(refuse(field, "cannot be set: the user namespace that is joined has its own"));
            }
            _ => {}
        }
    }
    let is_new = namespaces.user == Namespace::New;
    Ok(is_new.then_some(IdMaps { uids, gids, writer: MapWriter::Own }))
}

fn time_offsets(linux: &Linux, time: &Namespace) -> Result<TimeOffsets, Error> {
    let mut offsets = TimeOffsets::default();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let at = format!("linux.timeOffsets.{clock}");
        let place = match clock.as_str() {
            "monotonic" => &mut offsets.monotonic,
            "boottime" => &mut offsets.boottime,
            _ => return Err(refuse(at, "is neither monotonic nor boottime")),
        };
        let (secs, nanosecs) = parts(offset);
        if nanosecs > 999_999_999 {
            return Err(refuse(format!("{at}.nanosecs"), "is more than 999999999"));
        }
        *place = Some((secs, nanosecs));
    }
    if offsets != TimeOffsets::default() && *time != Namespace::New {
        return Err(refuse("linux.timeOffsets", "needs a new time namespace in linux.namespaces"));
    }
    Ok(offsets)
}

fn parts(offset: &LinuxTimeOffset) -> (i64, u32) {
    (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
}
