//! Real interfaces, each test in a network namespace of its own in the host's place: these need root.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

use super::link::list;
use super::message::Request;
use super::port::within;
use super::range;
use super::socket::{Socket, errno};
use super::*;

/// Puts this test's thread into a namespace that has nothing yet but a loopback.
pub(crate) fn host() -> bool {
    // SAFETY: moves only this thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        let mut request = Request::default();
        request.up(link::index_of("lo").expect("there"));
        Socket::open().and_then(|socket| socket.execute(&request)).expect("up");
        return true;
    }
    eprintln!("skipped: a network namespace needs root");
    false
}

/// A process in a namespace of its own; killed when dropped.
pub(crate) struct Inside(Child);

impl Inside {
    fn start() -> Inside {
        let mut command = Command::new("/bin/sleep");
        command.arg("100");
        // SAFETY: a system call.
        unsafe {
            command.pre_exec(|| match libc::unshare(libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        Inside(command.spawn().expect("started"))
    }

    pub(crate) fn plugged(port: &Port) -> Inside {
        let inside = Inside::start();
        port.plug_into(inside.0.id() as i32).expect("plugged in");
        inside
    }

    /// What this thread does as if it were inside.
    pub(crate) fn run<T>(&self, act: impl FnOnce() -> T) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.0.id())).expect("open");
        within(namespace.as_fd(), || Ok(act())).expect("entered")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(address: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((address, port)), Duration::from_secs(10))
}

/// That what `from` writes arrives at the listener, which knows it by its address.
fn speaks(listener: &TcpListener, mut from: TcpStream, sender: Ipv4Addr) {
    from.write_all(b"hello").expect("sent");
    drop(from);
    let (mut stream, peer) = listener.accept().expect("accepted");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("received");
    assert_eq!((said.as_str(), peer.ip()), ("hello", sender.into()));
}

fn listen() -> TcpListener {
    TcpListener::bind("0.0.0.0:80").expect("listening")
}

fn names() -> Vec<String> {
    let socket = Socket::open().expect("open");
    list(&socket).expect("listed").into_iter().map(|link| link.name).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn host_and_instances_reach_each_other() {
    if !host() {
        return;
    }
    let before = names();
    let bridge = Bridge::create("reach").expect("made");
    let (one, two) = (bridge.port().expect("a port"), bridge.port().expect("a port"));
    let (first, second) = (Inside::plugged(&one), Inside::plugged(&two));
    let listener = first.run(listen);
    speaks(&listener, connect(one.address(), 80).expect("from the host"), bridge.host_address());
    speaks(&listener, second.run(|| connect(one.address(), 80)).expect("from an instance"), two.address());
    let outside = listen();
    speaks(&outside, second.run(|| connect(bridge.host_address(), 80)).expect("to the host"), two.address());
    // No way to anywhere else.
    let elsewhere = second.run(|| connect(Ipv4Addr::new(192, 0, 2, 9), 80)).expect_err("no route");
    assert_eq!(elsewhere.raw_os_error(), Some(libc::ENETUNREACH));
    assert_eq!(second.run(names), ["lo", "eth0"]);
    // A cable goes with its instance's namespace, which a socket holds too; the rest goes with the run.
    drop((first, listener));
    eventually("the cable is gone", || names().iter().filter(|name| name.starts_with('v')).count() == 1);
    drop((one, two, bridge));
    assert_eq!(names(), before);
}

#[test]
fn runs_are_apart() {
    if !host() {
        return;
    }
    let (here, there) = (Bridge::create("here").expect("made"), Bridge::create("there").expect("made"));
    assert!(Bridge::create("here").is_err(), "the same run twice");
    let (one, two) = (here.port().expect("a port"), there.port().expect("a port"));
    assert_ne!(one.address(), two.address());
    let (first, second) = (Inside::plugged(&one), Inside::plugged(&two));
    let _listener = first.run(listen);
    let error = second.run(|| connect(one.address(), 80)).expect_err("another run's");
    assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
    // The second of the same name has taken nothing of the first.
    speaks(
        &first.run(|| TcpListener::bind("0.0.0.0:81").expect("listening")),
        connect(one.address(), 81).expect("still there"),
        here.host_address(),
    );
}

#[test]
fn ranges_that_are_routed_or_held_are_left_alone() {
    if !host() {
        return;
    }
    // Two runs that begin to look at the same place.
    let first_choice = |run: &str| range::candidates(name::Tag::of(run).number()).next();
    let one = "run-0".to_owned();
    let two = (1..).map(|n| format!("run-{n}")).find(|run| first_choice(run) == first_choice(&one));
    let two = two.expect("there is one");
    let held = Bridge::create(&one).expect("made");
    assert_eq!(Some(held.range), first_choice(&one));
    let other = Bridge::create(&two).expect("made");
    assert_ne!(other.range, held.range);
    let chosen = held.range;
    drop((held, other));
    // The kernel itself lets only one have the name that stands for a range.
    let (held, other) = (Bridge::create("held").expect("made"), Bridge::create("other").expect("made"));
    let mut request = Request::default();
    let index = link::index_of("bench-other").expect("there");
    request.further_names(index, &[&name::of_range(held.range)]);
    let refused = other.socket.execute(&request).expect_err("held");
    assert_eq!(errno(&refused), Some(libc::EEXIST), "{refused}");
    drop((held, other));
    // Somebody else's address within the range.
    let stranger = Bridge::create("stranger").expect("made");
    let mut request = Request::default();
    request.address(link::index_of("bench-stranger").expect("there"), chosen.address(77), 24);
    stranger.socket.execute(&request).expect("added");
    assert_ne!(Bridge::create(&one).expect("made").range, chosen);
}

#[test]
fn further_bridges_are_one_network_with_the_first() {
    if !host() {
        return;
    }
    let before = names();
    let bridge = Bridge::create_with("many", 2).expect("made");
    let ports: Vec<_> = (0..5).map(|_| bridge.port().expect("a port")).collect();
    let inside: Vec<_> = ports.iter().map(Inside::plugged).collect();
    assert_eq!(names().iter().filter(|name| name.starts_with('b')).count(), 3);
    let listener = inside[4].run(listen);
    let address = ports[4].address();
    speaks(&listener, connect(address, 80).expect("from the host"), bridge.host_address());
    for (port, inside) in ports.iter().zip(&inside).take(4) {
        speaks(&listener, inside.run(|| connect(address, 80)).expect("across"), port.address());
    }
    let addresses: std::collections::BTreeSet<_> = ports.iter().map(Port::address).collect();
    let macs: std::collections::BTreeSet<_> = ports.iter().map(Port::mac).collect();
    assert_eq!((addresses.len(), macs.len()), (5, 5));
    // Places are given back, addresses as late as possible.
    drop(ports);
    let again: Vec<_> = (0..6).map(|_| bridge.port().expect("a port")).collect();
    assert!(again.iter().all(|port| !addresses.contains(&port.address())));
    assert_eq!(names().iter().filter(|name| name.starts_with('b')).count(), 3);
    drop((again, inside, bridge));
    assert_eq!(names(), before);
}

#[test]
fn a_tap_goes_with_its_descriptor() {
    if !host() {
        return;
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        eprintln!("skipped: this host has no /dev/net/tun");
        return;
    }
    let bridge = Bridge::create("tap").expect("made");
    let port = bridge.port().expect("a port");
    let tap = port.tap().expect("made");
    assert!(names().iter().any(|name| name.starts_with("t2-")), "{:?}", names());
    assert!(port.tap().is_err(), "the same tap twice");
    drop(tap);
    assert!(!names().iter().any(|name| name.starts_with("t2-")), "{:?}", names());
}

#[test]
fn what_fails_says_so_and_leaves_nothing() {
    if !host() {
        return;
    }
    let bridge = Bridge::create("fails").expect("made");
    let port = bridge.port().expect("a port");
    let gone = port.plug_into(i32::MAX).expect_err("no such process").to_string();
    assert!(gone.contains(&i32::MAX.to_string()), "{gone}");
    let inside = Inside::plugged(&port);
    let twice = port.plug_into(inside.0.id() as i32).expect_err("plugged in already").to_string();
    assert!(twice.contains("v2-fails"), "{twice}");
    assert_eq!(names().len(), 3, "{:?}", names());
}

#[test]
fn only_root_gets_a_bridge_and_the_others_need_none() {
    for kind in Kind::NAMES.map(|name| Kind::from_name(name).expect("known")) {
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(Kind::from_name("bridges"), None);
    assert!(Network::new(Kind::Loopback, "none").bridge().expect("none needed").is_none());
    if !host() {
        let error = Network::new(Kind::Bridge, "user").bridge().expect_err("refused").to_string();
        assert!(error.contains("--network loopback"), "{error}");
        return;
    }
    let network = Network::new(Kind::Bridge, "once");
    let first = network.bridge().expect("made").expect("a bridge").host_address();
    assert_eq!(network.bridge().expect("the same").map(|bridge| bridge.host_address()), Some(first));
    drop(network);
    assert!(!names().iter().any(|name| name.starts_with("bench-")));
}
