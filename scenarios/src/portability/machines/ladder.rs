//! What must change about a disk for a machine on which it does not work.

use runtime::vm::{Initramfs, Loaders, Version};

use super::reason::Reason;

/// The version that is tried after `version` failed for `reason`; `None` where no change would help.
pub(super) fn next(version: Version, reason: &Reason) -> Option<Version> {
    match reason {
        Reason::NoLoader(_) if version.loaders == Loaders::Bios => {
            Some(Version { loaders: Loaders::Both, ..version })
        }
        Reason::NoRoot if version.initramfs == Initramfs::HostOnly => {
            Some(Version { initramfs: Initramfs::General, ..version })
        }
        Reason::NoRoot | Reason::NoNetwork if !version.all_drivers => {
            Some(Version { all_drivers: true, ..version })
        }
        _ => None,
    }
}

/// What of `version` is not as it was installed, in words.
pub(super) fn changes(version: Version) -> Vec<String> {
    let installed = Version::INSTALLED;
    let mut changes = Vec::new();
    if version.all_drivers != installed.all_drivers {
        changes.push("another kernel, with all drivers".to_owned());
    }
    if version.initramfs != installed.initramfs {
        changes.push("an initramfs with all drivers the kernel has".into());
    }
    if version.loaders != installed.loaders {
        changes.push("a boot loader for UEFI".into());
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_a_change_can_mend_is_mended_and_no_change_is_tried_twice() {
        for reason in [Reason::NoLoader("UEFI"), Reason::NoRoot, Reason::NoNetwork] {
            let mut version = Version::INSTALLED;
            let mut steps = 0;
            while let Some(changed) = next(version, &reason) {
                assert!(changes(changed).len() > changes(version).len());
                version = changed;
                steps += 1;
                assert!(steps < 4, "{reason}");
            }
            assert!(steps > 0, "{reason}");
        }
        assert_eq!(next(Version::INSTALLED, &Reason::Late("kernel".into())), None);
        assert_eq!(next(Version::GENERAL, &Reason::NoRoot), None);
        assert_eq!(changes(Version::INSTALLED), Vec::<String>::new());
        assert_eq!(changes(Version::GENERAL).len(), 3);
    }
}
