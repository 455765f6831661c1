//! Mount namespace and root (mount_namespaces(7), pivot_root(2)), with a canary for each way out that
//! was one (CVE numbers in the sources).

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Company, Expect, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use super::super::on_host::CanaryFile;

const CLAIM: &str = "ns-mount";
const SOURCE: &str = "mount_namespaces(7)";
const ROOT: Twin = Twin::Without(&[
    Mechanism::PivotRoot,
    Mechanism::UserNamespace,
    Mechanism::Seccomp,
    Mechanism::Capability(CAP_SYS_CHROOT),
]);
const CAP_SYS_CHROOT: u32 = 18;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_MKNOD: u32 = 27;
const CAP_DAC_READ_SEARCH: u32 = 2;

pub(super) const ALL: &[Check] = &[
    Check {
        id: "mount-file-host-in",
        claim: CLAIM,
        question: "is a file of the host found inside by its path?",
        source: "mount_namespaces(7), pivot_root(2)",
        on_host: Some(CanaryFile::plant),
        look: Some(|scene| {
            vec![Request::Stat { path: canary(scene) }, Request::Stat { path: "/proc/self".into() }]
        }),
        judge: |scene| absent(scene, 0, scene.look(1)?.number("errno")? == 0),
        ..Check::NOTHING
    },
    Check {
        id: "mount-dots",
        claim: CLAIM,
        question: "does .. lead out of the root?",
        source: "path_resolution(7): .. of the root is the root",
        on_host: Some(CanaryFile::plant),
        look: Some(|scene| vec![Request::DotsEscape { path: canary(scene) }]),
        judge: |scene| judge::not_found(scene.look(0)?, libc::ENOENT),
        ..Check::NOTHING
    },
    Check {
        id: "mount-chroot-escape",
        claim: CLAIM,
        question: "does chroot(2) with a working directory outside lead out of the root?",
        source: "chroot(2), notes: it is no boundary; pivot_root(2) leaves nothing to go back to",
        company: Company::Alone,
        on_host: Some(CanaryFile::plant),
        look: Some(|scene| vec![Request::ChrootEscape { path: canary(scene) }]),
        judge: |scene| {
            let seen = scene.look(0)?;
            let (errno, step, failed) = (seen.number("errno")?, seen.text("step")?, seen.number("failed")?);
            Ok(match errno as i32 {
                0 => Finding::Open("it is found".into()),
                libc::ENOENT if failed == 0 => Finding::Apart("tried in full, and not found".into()),
                libc::ENOENT if failed == i64::from(libc::EPERM) => Finding::Apart(format!("{step}: EPERM")),
                _ => Finding::Wrong(format!("{step}: {}, {}", judge::name(failed), judge::name(errno))),
            })
        },
        twin: ROOT,
        ..Check::NOTHING
    },
    Check {
        id: "mount-init-root",
        claim: CLAIM,
        question: "does the root of a host's process lead to the host's files?",
        source: "proc_pid_root(5), pid_namespaces(7)",
        on_host: Some(CanaryFile::plant),
        look: Some(|scene| {
            let path = canary(scene);
            vec![
                Request::Stat { path: format!("/proc/{}/root{path}", std::process::id()) },
                Request::Stat { path: "/proc/self/root/proc".into() },
            ]
        }),
        judge: |scene| absent(scene, 0, scene.look(1)?.number("errno")? == 0),
        ..Check::NOTHING
    },
    Check {
        id: "mount-descriptor-escape",
        claim: CLAIM,
        question: "does a descriptor it was started with lead out of the root?",
        source: "CVE-2024-21626: a descriptor of a folder of the host is a way out",
        on_host: Some(CanaryFile::plant),
        look: Some(|scene| vec![Request::DescriptorEscape { path: canary(scene) }, Request::OpenFolders]),
        judge: |scene| {
            let folders = scene.look(1)?.list("folders")?;
            if !folders.is_empty() {
                return Ok(Finding::Open(format!("folders are open: {}", folders.join(", "))));
            }
            match scene.kind {
                // It is in the host's root to begin with.
                Kind::Process => Ok(Finding::Open("every path is the host's".into())),
                _ => judge::not_found(scene.look(0)?, libc::ENOENT),
            }
        },
        ..Check::NOTHING
    },
    Check {
        id: "mount-descriptors",
        claim: CLAIM,
        question: "does it have descriptors of this program but those it was given?",
        source: "CVE-2024-21626, CVE-2016-9962; close_range(2)",
        on_host: Some(OpenFile::plant),
        look: Some(|scene| vec![Request::Descriptors { mark: canary(scene) }]),
        expect: |kind| match kind {
            Kind::Process => {
                Expect::Pointless("process 1 is the host's; its own are closed as those of every program")
            }
            _ => Expect::Apart,
        },
        judge: |scene| {
            let (found, count) = (scene.look(0)?.number("found")?, scene.look(0)?.number("count")?);
            Ok(match (found, count) {
                (_, 0) => Finding::Wrong("not even its own are listed".into()),
                (0, _) => Finding::Apart(format!("{count} descriptors, none of them the host's")),
                _ => Finding::Open(format!("the host's open file is among {count} descriptors")),
            })
        },
        twin: Twin::Without(&[Mechanism::DescriptorClosing]),
        ..Check::NOTHING
    },
    Check {
        id: "mount-inside-out",
        claim: CLAIM,
        question: "does the host see what an instance mounts?",
        source: SOURCE,
        company: Company::Alone,
        plant: Some(|nonce| vec![Request::Mount { path: format!("/dev/shm/{}", nonce.word()) }]),
        // Where it may not mount, there is nothing for the host to see: that is the canary then.
        witness: |scene| {
            let errno = scene.plant(0).and_then(|seen| seen.number("errno")).map_err(|Missing(what)| what)?;
            Ok(format!("mount(2) inside: {}", judge::name(errno)))
        },
        judge: |scene| {
            let errno = scene.plant(0)?.number("errno")?;
            let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo")
                .map_err(|error| Missing(format!("the host's mounts: {error}")))?;
            let is_seen = mounts.contains(&scene.nonce.word());
            Ok(match (is_seen, errno as i32) {
                (true, _) => Finding::Open("the host has the mount".into()),
                (false, 0) => Finding::Apart("mounted inside, not seen by the host".into()),
                (false, libc::EPERM | libc::EACCES) => Finding::Apart("it may not mount".into()),
                (false, errno) => Finding::Wrong(judge::name(errno.into())),
            })
        },
        twin: Twin::Without(&[
            Mechanism::MountNamespace,
            Mechanism::UserNamespace,
            Mechanism::Seccomp,
            Mechanism::Capability(CAP_SYS_ADMIN),
        ]),
        ..Check::NOTHING
    },
    Check {
        id: "mount-host-in",
        claim: CLAIM,
        question: "does an instance see what the host has mounted?",
        source: "mount_namespaces(7), proc_pid_mountinfo(5)",
        company: Company::Alone,
        on_host: Some(HostMount::plant),
        look: Some(|scene| vec![judge::host_line(scene, "/proc/self/mountinfo", " /proc ")]),
        judge: judge::host_not_listed,
        ..Check::NOTHING
    },
    Check {
        id: "mount-propagation",
        claim: CLAIM,
        question: "do mounts of an instance spread, or follow others?",
        source: "mount_namespaces(7), shared subtrees; proc_pid_mountinfo(5): shared, master",
        expect: |kind| match kind {
            Kind::Process => Expect::Open,
            Kind::Machine | Kind::Sandbox => Expect::Pointless("its mounts are not the host's to list"),
            _ => Expect::Apart,
        },
        look: Some(|_| vec![Request::Read { path: "/proc/self/mountinfo".into(), most: 16_384 }]),
        judge: |scene| {
            let text = scene.look(0)?.text("text")?;
            let spreads = |line: &&str| {
                let options = line.split(" - ").next().unwrap_or_default();
                options.contains(" shared:") || options.contains(" master:")
            };
            let (all, spread) = (text.lines().count(), text.lines().filter(spreads).count());
            Ok(match (spread, all) {
                (_, 0) => Finding::Wrong("no mounts are listed".into()),
                (0, _) => Finding::Apart(format!("all {all} mounts are private")),
                _ => Finding::Open(format!("{spread} of {all} mounts are shared or follow")),
            })
        },
        twin: Twin::Without(&[Mechanism::PrivatePropagation]),
        ..Check::NOTHING
    },
    Check {
        id: "mount-refused",
        claim: CLAIM,
        question: "can an instance mount something?",
        source: "mount(2): CAP_SYS_ADMIN in the user namespace that owns the mount namespace",
        expect: |kind| match kind {
            Kind::Process => Expect::Open,
            Kind::Machine | Kind::Sandbox => Expect::Shared("it is the administrator of a kernel of its own"),
            _ => Expect::Apart,
        },
        company: Company::Alone,
        look: Some(|scene| vec![Request::Mount { path: format!("/dev/shm/{}", scene.nonce.word()) }]),
        judge: |scene| judge::refused(scene.look(0)?, &[libc::EPERM, libc::EACCES]),
        twin: Twin::Without(&[Mechanism::Capability(CAP_SYS_ADMIN), Mechanism::Seccomp]),
        ..Check::NOTHING
    },
    Check {
        id: "mount-remount",
        claim: CLAIM,
        question: "can an instance make writable what is mounted read-only for it?",
        source: "mount(2), MS_REMOUNT; mount_namespaces(7), \"Restrictions on mount namespaces\"",
        expect: |kind| match kind {
            Kind::Process => Expect::Open,
            Kind::Machine | Kind::Sandbox => Expect::Shared("it is the administrator of a kernel of its own"),
            _ => Expect::Apart,
        },
        company: Company::Alone,
        look: Some(|_| vec![Request::Remount { path: "/sys".into() }]),
        judge: |scene| judge::refused(scene.look(0)?, &[libc::EPERM, libc::EACCES]),
        twin: Twin::Without(&[Mechanism::Capability(CAP_SYS_ADMIN), Mechanism::Seccomp]),
        ..Check::NOTHING
    },
    Check {
        id: "mount-device",
        claim: CLAIM,
        question: "can an instance make and open a device node of its own choice?",
        source: "mknod(2): CAP_MKNOD in the first user namespace; tried with character device 10:200, the host's tun",
        expect: |kind| match kind {
            Kind::Process => Expect::Open,
            Kind::Machine | Kind::Sandbox => Expect::Pointless("its devices are those of its own kernel"),
            _ => Expect::Apart,
        },
        look: Some(|_| vec![Request::Device { block: false, major: 10, minor: 200 }]),
        judge: |scene| judge::refused(scene.look(0)?, &[libc::EPERM, libc::EACCES]),
        twin: Twin::Without(&[
            Mechanism::UserNamespace,
            Mechanism::Capability(CAP_MKNOD),
            Mechanism::Seccomp,
        ]),
        ..Check::NOTHING
    },
    Check {
        id: "mount-handle",
        claim: CLAIM,
        question: "can an instance open files by handle, past its root?",
        source: "open_by_handle_at(2): CAP_DAC_READ_SEARCH; the 'shocker' way out",
        expect: |kind| match kind {
            Kind::Process => Expect::Open,
            Kind::Machine | Kind::Sandbox => Expect::Shared("the file systems are those of its own kernel"),
            _ => Expect::Apart,
        },
        look: Some(|_| vec![Request::Handle]),
        judge: |scene| {
            // What the handle means the file system decides; whether it may ask is the question.
            let errno = scene.look(0)?.number("errno")?;
            Ok(match errno as i32 {
                libc::EPERM | libc::EACCES => Finding::Apart(judge::name(errno)),
                0 | libc::ESTALE | libc::EOPNOTSUPP => {
                    Finding::Open(format!("it may ask: {}", judge::name(errno)))
                }
                _ => Finding::Wrong(judge::name(errno)),
            })
        },
        twin: Twin::Without(&[
            Mechanism::UserNamespace,
            Mechanism::Capability(CAP_DAC_READ_SEARCH),
            Mechanism::Seccomp,
        ]),
        ..Check::NOTHING
    },
];

fn canary(scene: &Scene<'_>) -> String {
    scene.on_host.map(|plant| plant.text()).unwrap_or_default()
}

/// A path that must not be there, while another is.
fn absent(scene: &Scene<'_>, at: usize, own: bool) -> Result<Finding, Missing> {
    let errno = scene.look(at)?.number("errno")?;
    Ok(match errno as i32 {
        0 => Finding::Open("it is found".into()),
        libc::ENOENT if own => Finding::Apart("ENOENT, while what is there is found".into()),
        // Of another user's process: it is not even to be looked at.
        libc::EACCES | libc::EPERM => Finding::Apart(judge::name(errno)),
        _ => Finding::Wrong(format!("{}; its own: {own}", judge::name(errno))),
    })
}

/// A file system the world's host has mounted, called by the nonce.
struct HostMount {
    name: String,
    path: std::path::PathBuf,
}

impl HostMount {
    fn plant(nonce: &Nonce) -> HostPlant {
        let name = nonce.word();
        let path = std::path::Path::new("/dev/shm").join(&name);
        std::fs::create_dir(&path).map_err(|error| Absent(format!("{}: {error}", path.display())))?;
        let none: Option<&str> = None;
        let made =
            nix::mount::mount(Some(name.as_str()), &path, Some("tmpfs"), nix::mount::MsFlags::empty(), none);
        let mount = HostMount { name, path };
        match made {
            Ok(()) => Ok(Box::new(mount)),
            Err(error) => Err(Absent(format!("mount: {error}"))),
        }
    }
}

impl OnHost for HostMount {
    fn witness(&self) -> Result<String, String> {
        let mounts =
            std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(|error| error.to_string())?;
        match mounts.contains(&self.name) {
            true => Ok(format!("the host has mounted {}", self.name)),
            false => Err(format!("the host has no mount {}", self.name)),
        }
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = nix::mount::umount(&self.path);
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// A file of this program that is open, and not closed when another program is executed.
struct OpenFile {
    name: String,
    _file: std::fs::File,
}

impl OpenFile {
    fn plant(nonce: &Nonce) -> HostPlant {
        use std::os::fd::FromRawFd;
        let name = nonce.word();
        let text = std::ffi::CString::new(name.clone()).map_err(|error| Absent(error.to_string()))?;
        // SAFETY: the name lives through the call; the descriptor is this program's own.
        let file = unsafe {
            let file = libc::memfd_create(text.as_ptr(), 0);
            if file < 0 {
                return Err(Absent(format!("a memory file: {}", std::io::Error::last_os_error())));
            }
            std::fs::File::from_raw_fd(file)
        };
        Ok(Box::new(OpenFile { name, _file: file }))
    }
}

impl OnHost for OpenFile {
    fn witness(&self) -> Result<String, String> {
        Ok(format!("memory file {} is open and not marked to be closed", self.name))
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}
