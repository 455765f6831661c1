//! From clone3(2) to the program's first word, with everything and with everything but one.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use criterion::Criterion;
use runtime::container::setup::{Namespace, Setup};
use runtime::container::{Compiled, Launch, standard_setup};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

type Change = fn(&mut Setup);

/// What is left out, one at a time.
const LEFT_OUT: [(&str, Change); 11] = [
    ("nothing left out", |_| {}),
    ("no network namespace", |setup| {
        setup.namespaces.network = Namespace::Host;
        setup.loopback = false;
        // Only who owns the network namespace may mount its sysfs.
        setup.mounts.retain(|mount| !mount.target.ends_with("sys"));
    }),
    ("no ipc namespace", |setup| {
        setup.namespaces.ipc = Namespace::Host;
        setup.mounts.retain(|mount| !mount.target.ends_with("mqueue"));
    }),
    ("no uts namespace", |setup| setup.namespaces.uts = Namespace::Host),
    ("no cgroup namespace", |setup| setup.namespaces.cgroup = Namespace::Host),
    ("no masked and read-only paths", |setup| {
        setup.masked.clear();
        setup.read_only.clear();
    }),
    ("no devices and links", |setup| {
        setup.devices.clear();
        setup.links.clear();
    }),
    ("no mounts but /proc", |setup| {
        setup.mounts.retain(|mount| mount.target.ends_with("proc"));
        setup.devices.clear();
        setup.links.clear();
        setup.masked.retain(|path| path.starts_with("/proc"));
    }),
    ("no capability dropped", |setup| setup.process.capabilities = None),
    ("no seccomp filter", |setup| setup.process.seccomp = None),
    ("no keyring", |setup| setup.process.own_keyring = false),
];

pub fn without_one(criterion: &mut Criterion) {
    if !rustix::process::geteuid().is_root() {
        return println!("container start: skipped, needs root");
    }
    let program = runtime::guest_program().expect("the guest program");
    let null = File::options().read(true).write(true).open("/dev/null").expect("opened");
    let mut group = criterion.benchmark_group("container start");
    for (name, change) in LEFT_OUT {
        let mut setup = standard_setup(None);
        change(&mut setup);
        let compiled = Compiled::new(&setup).expect("compiled");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| start(&compiled, program, null.as_fd())).sum());
        });
    }
    group.finish();
}

/// Starts one, waits for its first word, ends it. The time up to the word.
fn start(compiled: &Compiled, program: BorrowedFd<'_>, null: BorrowedFd<'_>) -> Duration {
    let (inside, outside) = UnixStream::pair().expect("a pair");
    let inside = OwnedFd::from(inside);
    let args = ["guest", "fd:3", &guest::Plan::new(guest::Workload::Ready).to_word()];
    let args = args.map(|word| std::ffi::CString::new(word).expect("no NUL"));
    let launch = Launch {
        program: Some(program),
        args: Some(args.to_vec()),
        fds: &[null, null, null, inside.as_fd()],
        trees: &[],
        hostname: None,
        entrance: None,
        gate: None,
        before_root: None,
        ends_with_parent: true,
    };
    let began = Instant::now();
    let started = compiled.start(&launch).expect("started");
    drop(inside);
    let mut line = String::new();
    BufReader::new(outside).read_line(&mut line).expect("read");
    let time = began.elapsed();
    assert!(line.contains("\"ready\""), "{line:?}");
    pidfd_send_signal(&started.pidfd, Signal::KILL).expect("killed");
    waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED).expect("reaped");
    time
}
