//! The harness's own cost: the same command line through it and by hand, in turns.

use runtime::{Event, Workload, vm};

use crate::by_hand;
use crate::in_harness::{Bench, options};
use crate::sample::Sample;

pub fn run(turns: usize) {
    let bench = Bench::new(&vm::DirectBackend::new(options()), "own-cost");
    let config = bench.prepared.config();
    let line = config["command_line"].as_str().expect("a command line");
    let arguments = by_hand::without_sockets(&by_hand::split(line));
    let (mut harness, mut hand) = (Sample::default(), Sample::default());
    for turn in 0..turns {
        // Whoever comes second meets caches and clocks that the first has warmed.
        for first in [turn % 2 == 0, turn % 2 != 0] {
            if first {
                let mut machine = bench.start(turn as u32, &Workload::Ready);
                harness.0.push(machine.until(|event| *event == Event::Ready));
                machine.instance.stop().expect("stopped");
            } else {
                hand.0.extend(by_hand::ready_ns("qemu-system-x86_64", &arguments));
            }
        }
    }
    println!("vm:direct, start to ready, {} {}", config["machine"], config["accelerator"]);
    println!("  harness {}", harness.show());
    println!("  by hand {}", hand.show());
    println!("  harness / by hand {}", harness.ratio_to(&hand));
}
