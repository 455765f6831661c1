//! What machines cost, measured side by side: every figure here is of runs that took turns.
//!
//! ```text
//! cargo run --release --package runtime --example machine_cost -- own-cost  [TURNS]
//! cargo run --release --package runtime --example machine_cost -- recipes   [TURNS] [NAME …]
//! cargo run --release --package runtime --example machine_cost -- restored  [TURNS]
//! cargo run --release --package runtime --example machine_cost -- row       [COUNT]
//! ```
//!
//! `own-cost`: vm:direct through the harness beside the same command line started by hand.
//! `recipes`: each option of vm:direct beside the recipe without it, and the everyday recipe.
//! `restored`: vm:restore and vm:floor: start to ready and to serving, memory, requests 1 to 100.
//! `row`: so many vm:direct in a row, each of which must get ready.

mod by_hand;
mod in_harness;
mod own_cost;
mod recipes;
mod restored;
mod sample;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let turns = arguments.next().map(|word| word.parse().expect("a number of turns"));
    let names: Vec<String> = arguments.collect();
    match what.as_str() {
        "own-cost" => own_cost::run(turns.unwrap_or(15)),
        "recipes" => recipes::run(turns.unwrap_or(10), &names),
        "restored" => restored::run(turns.unwrap_or(20)),
        "row" => in_harness::row(turns.unwrap_or(30)),
        _ => {
            eprintln!("usage: machine_cost own-cost|recipes|restored|row [NUMBER]");
            std::process::exit(2);
        }
    }
}
