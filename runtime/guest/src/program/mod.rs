//! What the program does once it has said `ready`.

pub mod channel;
mod clock;
mod command;
mod copy;
pub mod entry;
mod fw_cfg;
mod generator;
mod http;
mod interface;
mod machine;
mod past;
mod probe;
mod report;
mod root;
mod service;
mod task;
mod unit;
mod wait;

use std::borrow::Cow;
use std::sync::Arc;

use channel::Channel;
use guest::{Identity, Message, PLAN_FILE, PLAN_IN_FW_CFG, Plan, Workload};

pub use generator::{GENERATOR, generate};
pub use unit::{TELL, tell};

/// Carries out the plan. Returns the exit status; does not return as PID 1 of a VM.
pub fn run(channel: Channel, plan: Option<Cow<'_, str>>) -> i32 {
    let channel = Arc::new(channel);
    let is_machine = channel.is_machine();
    let is_init = is_machine && std::process::id() == 1;
    let status = match plan.ok_or_else(|| "no plan given".to_owned()).and_then(read) {
        Ok(plan) if is_machine && !is_init => unit::run(&channel, plan),
        Ok(plan) => {
            if is_init && let Err(error) = machine::set_up(&plan, &channel) {
                channel.send(&Message::Failed { error });
            }
            carry_out(&channel, plan)
        }
        Err(error) => {
            channel.send(&Message::Failed { error });
            2
        }
    };
    if is_init {
        machine::power_off();
    }
    status
}

/// The plan in `word`, or in the file it names.
fn read(word: Cow<'_, str>) -> Result<Plan, String> {
    match word.strip_prefix('@') {
        None => Plan::from_word(&word),
        Some(_) if word == PLAN_IN_FW_CFG => {
            let device = fw_cfg::FwCfg::open()?;
            let file = device.find(PLAN_FILE).ok_or("the machine was given no plan")?;
            Plan::from_word(&String::from_utf8_lossy(&device.content(file)))
        }
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the plan in {path}: {error}"))
            .and_then(|word| Plan::from_word(word.trim_end())),
    }
}

fn carry_out(channel: &Arc<Channel>, plan: Plan) -> i32 {
    let result = match &plan.workload {
        Workload::Ready => Ok(()),
        Workload::Http => http::serve(channel.clone(), plan.inherited_listener, plan.address.is_some()),
        Workload::Memory { bytes } => touch(channel, *bytes),
        Workload::Cpu => compute(),
        Workload::Probe { nonce, requests } => {
            probe::run(channel, nonce, requests, plan.inherited_file);
            Ok(())
        }
        Workload::Report => return report::run(channel, &plan),
        Workload::Task(task) => task::begin(channel, task, plan.inherited_file),
        Workload::Command { argv } => return command::run(channel, argv, &plan),
        Workload::Service { service, argv } => return service::run(channel, *service, argv, &plan),
    };
    match result {
        Ok(()) if plan.template => go_on_as_copy(channel, &plan.workload),
        Ok(()) => wait::until_told_to_end(),
        Err(error) => {
            channel.send(&Message::Failed { error });
            1
        }
    }
}

/// Parks, and in each copy takes its identity and tells again what a host waits for.
fn go_on_as_copy(channel: &Arc<Channel>, workload: &Workload) -> i32 {
    let port = (*workload == Workload::Http).then_some(http::MACHINE_PORT);
    match copy::become_one(channel, port) {
        Err(error) => {
            channel.send(&Message::Failed { error });
            return 1;
        }
        Ok(Identity { plan: Some(plan), .. }) => return carry_out(channel, plan),
        Ok(_) => {}
    }
    wait::until_told_to_end()
}

/// Touches every page of `bytes` fresh bytes, which stay mapped until the program ends.
fn touch(channel: &Channel, bytes: u64) -> Result<(), String> {
    let pages = task::Pages::map(bytes)?;
    (0..pages.count()).for_each(|page| pages.touch(page));
    channel.send(&Message::Done { amount: bytes });
    Ok(())
}

fn compute() -> Result<(), String> {
    std::thread::Builder::new()
        .spawn(|| {
            let mut state = 1;
            loop {
                state = task::work(u64::MAX, state);
            }
        })
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}
