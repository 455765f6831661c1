//! vm:restore and vm:floor, in turns: start to ready and to serving, memory, the first requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use guest::Plan;
use runtime::{Backend, Event, Limits, Workload, vm};

use crate::in_harness::{Bench, options};
use crate::sample::Sample;

/// Requests after which a copy counts as warm.
const REQUESTS: usize = 100;
/// Machines of the storm.
const STORM: u32 = 64;

pub fn run(turns: usize) {
    let restore = Bench::new(&vm::RestoreBackend::new(options()) as &dyn Backend, "restored");
    let floor = Bench::new(&vm::FloorBackend::new(options()) as &dyn Backend, "floor");
    let direct = Bench::new(&vm::DirectBackend::new(options()) as &dyn Backend, "direct");
    for workload in [Workload::Ready, Workload::Http] {
        let began = Instant::now();
        restore.prepared.get_ready(&Plan::new(workload.clone()), &Limits::default()).expect("a template");
        println!("template for {workload}: {} ms", began.elapsed().as_millis());
    }
    let [mut floored, mut spawned, mut loaded, mut resumed, mut ready, mut serving] =
        [(); 6].map(|()| Sample::default());
    let (mut private, mut pss) = (Vec::new(), Vec::new());
    for turn in 0..turns as u32 {
        let mut machine = floor.start(turn, &Workload::Ready);
        floored.0.push(machine.until(|event| *event == Event::Ready));
        machine.instance.stop().expect("stopped");
        let mut machine = restore.start(turn, &Workload::Ready);
        ready.0.push(machine.until(|event| *event == Event::Ready));
        let (load, resume) = (machine.phase("load").expect("told"), machine.phase("resume").expect("told"));
        spawned.0.push(load);
        loaded.0.push(resume - load);
        resumed.0.push(ready.0[turn as usize] - resume);
        machine.instance.stop().expect("stopped");
        let mut machine = restore.start(turn, &Workload::Http);
        serving.0.push(machine.until_serving(&restore));
        let memory = machine.instance.memory().expect("memory");
        private.extend(memory.private_bytes);
        pss.extend(memory.pss_bytes);
        machine.instance.stop().expect("stopped");
    }
    println!("vm:floor start to ready            {}", floored.show());
    println!("vm:restore start to ready          {}", ready.show());
    println!("  start to QEMU's greeting         {}", spawned.show());
    println!("  greeting to resume               {}", loaded.show());
    println!("  resume to ready                  {}", resumed.show());
    println!("vm:restore start to serving        {}", serving.show());
    let mib = |bytes: &mut Vec<u64>| {
        bytes.sort_unstable();
        bytes.get(bytes.len() / 2).copied().unwrap_or(0) as f64 / f64::from(1 << 20)
    };
    println!(
        "memory once serving, of 128 MiB: private {:.1} MiB, PSS {:.1} MiB",
        mib(&mut private),
        mib(&mut pss)
    );
    first_requests(&restore, &direct);
    storm(&restore);
}

/// Latency of requests 1 to 100 to a fresh copy, beside those to a machine that booted.
fn first_requests(restore: &Bench, direct: &Bench) {
    for (name, bench) in [("vm:restore", restore), ("vm:direct", direct)] {
        let mut machine = bench.start(1000, &Workload::Http);
        machine.until(|event| matches!(event, Event::Listening(_)));
        let address = machine.instance.service(80).expect("reachable");
        let latencies: Vec<u64> = (0..REQUESTS).map(|_| request_ns(address)).collect();
        machine.instance.stop().expect("stopped");
        let show = |from: usize, to: usize| Sample(latencies[from..to].to_vec()).median_ms();
        println!(
            "{name}: request 1 {:.2} ms, 2 {:.2}, 3 {:.2}, median of 4-10 {:.2}, of 11-50 {:.2}, of 51-100 {:.2}",
            latencies[0] as f64 / 1e6,
            latencies[1] as f64 / 1e6,
            latencies[2] as f64 / 1e6,
            show(3, 10),
            show(10, 50),
            show(50, 100)
        );
    }
}

fn request_ns(address: SocketAddr) -> u64 {
    let began = Instant::now();
    let mut connection = TcpStream::connect(address).expect("connected");
    connection.write_all(b"GET / HTTP/1.1\r\nhost: copy\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("answered");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    began.elapsed().as_nanos() as u64
}

/// Many at once: all serve, and are there together.
fn storm(restore: &Bench) {
    let began = Instant::now();
    let mut machines: Vec<_> = (0..STORM).map(|index| restore.start(index, &Workload::Http)).collect();
    let mut serving = Sample(machines.iter_mut().map(|machine| machine.until_serving(restore)).collect());
    let all_ms = began.elapsed().as_millis();
    let memory: Vec<_> = machines.iter().filter_map(|machine| machine.instance.memory().ok()).collect();
    let private: u64 = memory.iter().filter_map(|one| one.private_bytes).sum();
    serving.0.sort_unstable();
    println!(
        "a storm of {STORM}: {} serve at the same time, all after {all_ms} ms; start to serving {}; private {:.1} MiB each",
        memory.len(),
        serving.show(),
        private as f64 / memory.len().max(1) as f64 / f64::from(1 << 20)
    );
    for machine in &mut machines {
        machine.instance.stop().expect("stopped");
    }
}
