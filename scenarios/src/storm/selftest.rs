//! What the harness knows about its own exactness.

use std::collections::BTreeMap;
use std::sync::Arc;

use guest::Workload;
use runtime::clock::now_ns;
use runtime::fake::FakeBackend;
use runtime::image::Image;
use runtime::{Backend, Limits, RunContext};
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::order::{Field, Order};
use crate::Error;
use crate::clock::{quantile, sleep_until_ns};
use crate::deadlines::Deadlines;

/// The delay a rehearsal injects, to be found again by the whole machinery.
const INJECTED_NS: u64 = 20_000_000;

/// Instances of the rehearsal.
const REHEARSED: u32 = 8;

/// How late a sleep to an instant ends: the resolution of the schedule.
pub(crate) fn timer_resolution() -> Value {
    let mut late_ns: Vec<u64> = (0..50)
        .map(|_| {
            let due_ns = now_ns() + 1_000_000;
            sleep_until_ns(due_ns);
            now_ns().saturating_sub(due_ns)
        })
        .collect();
    spread(&mut late_ns)
}

/// Starts fake instances that get ready after a known time, and says what was measured.
pub(crate) async fn injected_delay(
    context: &RunContext,
    field: &mut Field<'_>,
    ledger: &mut Ledger<'_>,
) -> Result<Value, Error> {
    let fake = FakeBackend { script: format!("ready={}us", INJECTED_NS / 1000) };
    let prepared = fake
        .prepare(context, &Image::builtin())
        .map_err(|error| Error::NothingToRun(format!("self-test: {error}")))?;
    let order = Order {
        storm: u32::MAX,
        backend: fake.id(),
        config: String::new(),
        prepared: vec![Arc::clone(&prepared)],
        plan: guest::Plan::new(Workload::Ready),
        limits: Limits::default(),
        offsets_ns: Some(vec![0; REHEARSED as usize]),
        instances: REHEARSED,
        first: 0,
        deadlines: Deadlines::of(2.0, &BTreeMap::new()),
        stall_ns: 0,
        guard: None,
        served: None,
        rehearsal: true,
    };
    let mut aftermath =
        super::make(order, field, ledger).await.map_err(Error::system("start the scheduler"))?;
    aftermath.latencies_ns.sort_unstable();
    Ok(json!({
        "injected_ns": INJECTED_NS,
        "recovered_p50_ns": quantile(&aftermath.latencies_ns, 0.5),
        "instances": REHEARSED,
        "ready": aftermath.ready,
    }))
}

/// Count and quantiles of `values_ns`.
pub(crate) fn spread(values_ns: &mut [u64]) -> Value {
    values_ns.sort_unstable();
    json!({
        "n": values_ns.len(),
        "p50_ns": quantile(values_ns, 0.5),
        "p99_ns": quantile(values_ns, 0.99),
        "max_ns": values_ns.last(),
    })
}
