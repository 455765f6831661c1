//! Setups carried out: each mechanism as seen from inside, and what is refused.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::container::setup::{
    Capabilities, IdRange, MapWriter, Mount, MountAttributes, MountSource, Namespace, Reach, Rlimit,
    RootSource, Setup, Upper,
};
use crate::container::{Compiled, Launch, Started, standard};

/// The standard setup around a folder of tools, running `script` in its shell.
pub(super) fn shell(root: &Path, script: &str) -> Setup {
    let mut setup = standard::setup(Some(root), standard::maps());
    setup.process.args =
        [c"/bin/sh".into(), c"-c".into(), std::ffi::CString::new(script).expect("text")].to_vec();
    setup.process.env = vec![c"PATH=/bin".into()];
    setup
}

/// Starts it and gives all it wrote.
pub(super) fn output(setup: &Setup) -> Result<String, Error> {
    output_over(setup, &[])
}

/// The same with these mounts in place of lower folders.
fn output_over(setup: &Setup, trees: &[std::os::fd::BorrowedFd<'_>]) -> Result<String, Error> {
    let (mut read, write) = std::io::pipe().expect("pipe");
    let null = std::fs::File::open("/dev/null").expect("null");
    let started = start_over(setup, &[null.as_fd(), write.as_fd(), write.as_fd()], trees)?;
    drop(write);
    let mut text = String::new();
    read.read_to_string(&mut text).expect("read");
    let id = rustix::process::WaitId::PidFd(started.pidfd.as_fd());
    rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).expect("reaped");
    Ok(text)
}

fn start(setup: &Setup, fds: &[std::os::fd::BorrowedFd<'_>]) -> Result<Started, Error> {
    start_over(setup, fds, &[])
}

fn start_over(
    setup: &Setup,
    fds: &[std::os::fd::BorrowedFd<'_>],
    trees: &[std::os::fd::BorrowedFd<'_>],
) -> Result<Started, Error> {
    Compiled::new(setup)?.start(&Launch {
        program: None,
        args: None,
        fds,
        trees,
        hostname: None,
        entrance: None,
        gate: None,
        before_root: None,
        ends_with_parent: true,
    })
}

pub(super) fn tools() -> Option<tempfile::TempDir> {
    super::is_root().then(|| {
        let folder = tempfile::tempdir().expect("folder");
        super::copy_tools(folder.path());
        folder
    })
}

#[test]
fn the_process_is_as_described() {
    let Some(root) = tools() else { return };
    let script = "id; pwd; umask; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; cat /proc/sys/kernel/domainname; \
                  hostname; cat /proc/sys/net/ipv4/ip_default_ttl; cat /proc/self/timens_offsets; \
                  grep -E 'Cap|NoNew|Groups' /proc/self/status; cat /proc/self/uid_map";
    let mut setup = shell(root.path(), script);
    let process = &mut setup.process;
    (process.uid, process.gid, process.groups) = (1000, 1001, vec![5, 7]);
    process.cwd = "/not/there/yet".into();
    process.umask = 0o077;
    process.rlimits = vec![Rlimit { resource: libc::RLIMIT_NOFILE, soft: 100, hard: 200 }];
    process.oom_score_adj = Some(321);
    process.capabilities = Some(Capabilities {
        bounding: 0xff,
        effective: 0x21,
        permitted: 0x23,
        inheritable: 0x61,
        ambient: 0x21,
    });
    setup.hostname = Some("name".into());
    setup.domainname = Some("domain".into());
    setup.sysctls = vec![("net.ipv4.ip_default_ttl".into(), "77".into())];
    setup.namespaces.time = Namespace::New;
    setup.namespaces.time_offsets.boottime = Some((86_400, 5));
    let before = own_settings();
    let text = output(&setup).expect("started");
    let words: Vec<&str> = text.split_whitespace().collect();
    let said = words.join(" ");
    for expected in [
        "uid=1000 gid=1001 groups=1001,5,7",
        "/not/there/yet 0077 100 200 321 domain name 77",
        "boottime 86400 5",
        "CapInh: 0000000000000061 CapPrm: 0000000000000021 CapEff: 0000000000000021 CapBnd: 00000000000000ff",
        "CapAmb: 0000000000000021 NoNewPrivs: 1",
        "0 1000000000 65536",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    // The child had our memory: nothing of ours may have changed with it.
    assert_eq!(own_settings(), before);
}

#[test]
fn a_time_namespace_is_entered_where_executing_does_not() {
    let Some(root) = tools() else { return };
    let script = "readlink /proc/self/ns/time; readlink /proc/self/ns/time_for_children; cat /proc/self/timens_offsets";
    let mut setup = shell(root.path(), script);
    setup.namespaces.time = Namespace::New;
    setup.namespaces.time_offsets.boottime = Some((86_400, 5));
    let said = |of_old_kernel| {
        crate::container::namespace::OF_OLD_KERNEL.set(of_old_kernel);
        output(&setup).expect("started")
    };
    let host = std::fs::read_link("/proc/self/ns/time").expect("read").display().to_string();
    for of_old_kernel in [true, false] {
        let text = said(of_old_kernel);
        let mut lines = text.lines();
        let (own, childrens) = (lines.next().expect("own"), lines.next().expect("children's"));
        assert!(own == childrens && own != host, "{of_old_kernel}: {text}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.join(" ").contains("boottime 86400 5"), "{of_old_kernel}: {text}");
    }
}

/// What a child could have changed. That root's program may be dumped is taken from it for good with its
/// first container, and is no part of this.
fn own_settings() -> (String, String) {
    let read = |path: &str| std::fs::read_to_string(path).expect("read");
    let ids = read("/proc/self/status");
    let ids = ids.lines().filter(|line| line.starts_with("Cap") || line.starts_with("Uid"));
    (read("/proc/self/oom_score_adj"), ids.collect())
}

#[test]
fn mounts_masks_and_a_read_only_root() {
    let Some(root) = tools() else { return };
    let volume = tempfile::tempdir().expect("folder");
    std::fs::write(volume.path().join("file"), "from outside").expect("written");
    let script = "cat /data/deep/file; echo; echo x > /data/deep/new; echo $?; echo x > /here; echo $?; \
                  wc -c < /etc/secret; ls /etc/folder | wc -l; grep -c ' /data/deep ro,nosuid' /proc/self/mountinfo";
    std::fs::create_dir_all(root.path().join("etc/folder/inner")).expect("made");
    std::fs::write(root.path().join("etc/secret"), "secret").expect("written");
    let mut setup = shell(root.path(), script);
    setup.root.read_only = true;
    setup.mounts.push(Mount {
        target: "/data/deep".into(),
        source: MountSource::Bind { path: volume.path().into(), reach: Reach::Tree, id_mapped: false },
        attributes: MountAttributes {
            read_only: Some(true),
            nosuid: Some(true),
            ..MountAttributes::default()
        },
        propagation: None,
    });
    setup.masked.extend([PathBuf::from("/etc/secret"), "/etc/folder".into(), "/etc/absent".into()]);
    let text = output(&setup).expect("started");
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("sh:")).collect();
    assert_eq!(lines, ["from outside", "2", "2", "0", "0", "1"], "{text}");
    assert!(!volume.path().join("new").exists() && !root.path().join("here").exists());
}

#[test]
fn lower_folders_are_stacked_and_stay_as_they_are() {
    let Some(root) = tools() else { return };
    let top = tempfile::tempdir().expect("folder");
    std::fs::write(top.path().join("which"), "top").expect("written");
    std::fs::write(root.path().join("which"), "bottom").expect("written");
    for folder in [&top, &root] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).expect("readable");
    }
    let maps = standard::maps();
    let state = tempfile::tempdir().expect("folder");
    let [top, root] = [&top, &root].map(|folder| {
        crate::container::idmap::Mapped::mount(folder.path(), state.path(), &maps).expect("mapped")
    });
    let mut setup =
        shell(root.path(), "cat /which; echo changed > /which; cat /which; ls -ln /bin/sh | cut -d' ' -f3");
    setup.root.source = RootSource::Overlay {
        lower: vec![top.path().into(), root.path().into()],
        upper: Upper::Memory { size_bytes: 1 << 20 },
    };
    assert_eq!(output(&setup).expect("started"), "topchanged\n0\n");
    assert_eq!(std::fs::read_to_string(top.path().join("which")).expect("read"), "top");
    drop((top, root));
    assert_eq!(std::fs::read_dir(state.path()).expect("listed").count(), 0);
}

/// What was stacked on the old root beside the new one stayed once, and the old root with it.
#[test]
fn nothing_is_above_the_root_whatever_it_is_made_of() {
    let Some(root) = tools() else { return };
    let second = tempfile::tempdir().expect("folder");
    let [upper, work] = [0, 1].map(|_| tempfile::tempdir().expect("folder"));
    for folder in [&root, &second, &upper, &work] {
        // Their owner is nobody inside.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), mode).expect("open to all");
    }
    let lower = || vec![root.path().to_path_buf(), second.path().to_path_buf()];
    let in_memory = Upper::Memory { size_bytes: 1 << 20 };
    let on_disk = Upper::Folders { upper: upper.path().into(), work: work.path().into() };
    let tree = |folder: &tempfile::TempDir| {
        let flags = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE;
        rustix::mount::open_tree(rustix::fs::CWD, folder.path(), flags).expect("tree")
    };
    // Of the host, at its top, and in no image.
    let marker = tempfile::Builder::new().prefix("bench-above").tempfile_in("/").expect("marker");
    let name = marker.path().file_name().expect("name").to_string_lossy().into_owned();
    let script = format!(
        "cd /bin; for above in /.. .. ../.. /proc/..; do [ ! -e $above/{name} ] || echo $above leads out; done; \
         grep -c ' / / ' /proc/self/mountinfo; [ /.. -ef / ] && echo the same"
    );
    for source in [
        RootSource::Folder(root.path().into()),
        RootSource::Overlay { lower: vec![root.path().into()], upper: in_memory.clone() },
        RootSource::Overlay { lower: lower(), upper: in_memory.clone() },
        RootSource::Overlay { lower: lower(), upper: on_disk },
    ] {
        let mut setup = shell(root.path(), &script);
        setup.root.source = source.clone();
        let text = output(&setup).unwrap_or_else(|error| panic!("{source:?}: {error}"));
        // A folder is mounted with its path on its file system.
        let roots = if matches!(source, RootSource::Folder(_)) { "0" } else { "1" };
        assert_eq!(text, format!("{roots}\nthe same\n"), "{source:?}");
    }
    let (first, last) = (tree(&root), tree(&second));
    let mut setup = shell(root.path(), &script);
    setup.root.source = RootSource::Overlay { lower: lower(), upper: in_memory };
    let text = output_over(&setup, &[first.as_fd(), last.as_fd()]).expect("started");
    assert_eq!(text, "1\nthe same\n");
}

#[test]
fn without_a_user_namespace_devices_are_made() {
    let Some(root) = tools() else { return };
    let mut setup =
        shell(root.path(), "echo x > /dev/null; ls -l /dev/null | cut -c1-10; cat /proc/self/uid_map");
    setup.namespaces.user = Namespace::Host;
    setup.id_maps = None;
    let text = output(&setup).expect("started");
    assert!(text.starts_with("crw-rw-rw-") && text.contains("4294967295"), "{text}");
}

#[test]
fn somebody_elses_namespaces_are_joined() {
    let Some(root) = tools() else { return };
    let mut host = shell(root.path(), "sleep 100");
    host.hostname = Some("shared-name".into());
    let null = std::fs::File::open("/dev/null").expect("null");
    let started = start(&host, &[null.as_fd(), null.as_fd(), null.as_fd()]).expect("started");
    let of = |kind: &str| Namespace::Join(format!("/proc/{}/ns/{kind}", started.pid).into());
    let mut guest = shell(root.path(), "hostname; ls /proc | grep -c '^[0-9]'; readlink /proc/self/ns/net");
    let joined = &mut guest.namespaces;
    (joined.user, joined.pid, joined.uts, joined.network) = (of("user"), of("pid"), of("uts"), of("net"));
    (guest.id_maps, guest.loopback) = (None, false);
    let network = std::fs::read_link(format!("/proc/{}/ns/net", started.pid)).expect("read");
    let text = output(&guest).expect("started");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"shared-name"), "{text}");
    // Its own shell and tools, and the other's.
    assert!(
        lines.get(1).and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 4),
        "{text}"
    );
    assert_eq!(lines.get(2).map(Path::new), Some(network.as_path()), "{text}");
    crate::pidfd::end(started.pidfd.as_fd(), "a container", std::time::Duration::from_secs(10))
        .expect("ended");
    // Our own children are born in our own namespace again.
    let own = |name: &str| std::fs::read_link(format!("/proc/thread-self/ns/{name}")).expect("read");
    assert_eq!(own("pid"), own("pid_for_children"));
}

#[test]
fn a_gate_and_a_look_before_the_root_changes() {
    let Some(root) = tools() else { return };
    let (mut read, write) = std::io::pipe().expect("pipe");
    let (gate, opener) = std::io::pipe().expect("pipe");
    let setup = Compiled::new(&shell(root.path(), "echo begun")).expect("compiled");
    let seen = std::sync::atomic::AtomicI32::new(0);
    let look = |pid: i32| {
        // Everything of the new root is mounted, and the host's is still there.
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("read");
        assert!(mounts.contains("overlay") && mounts.lines().count() > 20, "{mounts}");
        seen.store(pid, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    };
    let launch = Launch {
        program: None,
        args: None,
        fds: &[write.as_fd(), write.as_fd(), write.as_fd()],
        trees: &[],
        hostname: None,
        entrance: None,
        gate: Some(gate.as_fd()),
        before_root: Some(&look),
        ends_with_parent: false,
    };
    let started = setup.start(&launch).expect("started");
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), started.pid);
    let program = || std::fs::read_link(format!("/proc/{}/exe", started.pid)).expect("read");
    assert_eq!(program(), std::env::current_exe().expect("own"));
    drop(write);
    std::io::Write::write_all(&mut &opener, b"g").expect("opened");
    let mut text = String::new();
    read.read_to_string(&mut text).expect("read");
    assert_eq!(text, "begun\n");
    drop(opener);
}

#[test]
fn a_look_that_refuses_ends_the_start() {
    let Some(root) = tools() else { return };
    let (gate, _opener) = std::io::pipe().expect("pipe");
    let setup = Compiled::new(&shell(root.path(), "echo begun")).expect("compiled");
    let refuse = |_: i32| Err(Error::Invalid("not this one".into()));
    for gate in [None, Some(gate.as_fd())] {
        let launch = Launch {
            program: None,
            args: None,
            fds: &[],
            trees: &[],
            hostname: None,
            entrance: None,
            gate,
            before_root: Some(&refuse),
            ends_with_parent: true,
        };
        assert_eq!(setup.start(&launch).expect_err("refused").to_string(), "not this one");
        assert_eq!(std::fs::read_to_string("/proc/thread-self/children").expect("read"), "");
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_by_name() {
    if !super::is_root() {
        return;
    }
    let refused = |change: &dyn Fn(&mut Setup)| {
        let mut setup = standard::setup(None, standard::maps());
        change(&mut setup);
        Compiled::new(&setup).expect_err("refused").to_string()
    };
    let bind = |path: &str, id_mapped| Mount {
        target: "/data".into(),
        source: MountSource::Bind { path: path.into(), reach: Reach::One, id_mapped },
        attributes: MountAttributes::default(),
        propagation: None,
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Setup));
    let cases: [Case<'_>; 9] = [
        ("not mapped", &|setup| setup.process.uid = 70_000),
        ("needs id maps", &|setup| setup.id_maps = None),
        ("time offsets", &|setup| {
            setup.namespaces.time = Namespace::Host;
            setup.namespaces.time_offsets.monotonic = Some((1, 0));
        }),
        ("kernel.panic", &|setup| setup.sysctls = vec![("kernel.panic".into(), "1".into())]),
        ("ambient", &|setup| {
            setup.process.capabilities = Some(Capabilities { ambient: 1, ..Capabilities::default() });
        }),
        ("number 63", &|setup| {
            setup.process.capabilities = Some(Capabilities { bounding: 1 << 63, ..Capabilities::default() });
        }),
        ("UTS namespace", &|setup| {
            (setup.namespaces.uts, setup.hostname) = (Namespace::Host, Some("x".into()));
        }),
        ("id-mapped", &|setup| setup.mounts.push(bind("/", true))),
        ("`..`", &|setup| setup.masked.push("/proc/../x".into())),
    ];
    for (expected, change) in cases {
        let error = refused(change);
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
}

#[test]
fn a_failed_start_names_its_step_and_leaves_nothing() {
    let Some(root) = tools() else { return };
    let failing = |change: &dyn Fn(&mut Setup)| {
        let mut setup = shell(root.path(), "true");
        change(&mut setup);
        output(&setup).expect_err("failed").to_string()
    };
    let absent = Mount {
        target: "/data".into(),
        source: MountSource::Bind { path: "/not/on/this/host".into(), reach: Reach::One, id_mapped: false },
        attributes: MountAttributes::default(),
        propagation: None,
    };
    let error = failing(&|setup| setup.mounts.push(absent.clone()));
    assert!(error.contains("bind /not/on/this/host to /data") && error.contains("No such file"), "{error}");
    let error = failing(&|setup| setup.process.args = vec![c"no-such-program".into()]);
    assert!(error.contains("execute no-such-program") && error.contains("No such file"), "{error}");
    let error = failing(&|setup| {
        let range = IdRange { inside: 0, outside: 0, count: u32::MAX };
        let twice = vec![range, range];
        setup.id_maps = Some(crate::container::setup::IdMaps {
            uids: twice.clone(),
            gids: twice,
            writer: MapWriter::Own,
        });
    });
    assert!(error.contains("uid_map"), "{error}");
    // No child of this thread is left unreaped.
    assert_eq!(std::fs::read_to_string("/proc/thread-self/children").expect("read"), "");
}
