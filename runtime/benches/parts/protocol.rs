//! The guest's messages, on both sides.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use guest::{Decoder, Message, Plan, Stream, Workload};

pub fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protocol");
    let ready = Message::Ready { clock_ns: Some(1_234_567_890_123) };
    group.bench_function("encode ready", |bencher| bencher.iter(|| black_box(&ready).encode()));
    let plan = Plan::new(Workload::Command { argv: vec!["/bin/sh".into(), "-c".into(), "exit 0".into()] });
    let word = plan.to_word();
    group.bench_function("read a plan", |bencher| bencher.iter(|| Plan::from_word(black_box(&word))));
    let line = Message::Log { stream: Stream::Stdout, text: "x".repeat(100) }.encode();
    let flood = line.repeat(1000);
    group.throughput(Throughput::Bytes(flood.len() as u64));
    group.bench_function("decode 1,000 lines", |bencher| {
        bencher.iter(|| {
            let mut decoder = Decoder::default();
            let mut decoded = 0;
            decoder.feed(black_box(&flood), |_| decoded += 1);
            decoded
        });
    });
    group.finish();
}
