//! The works: what is measured, in suites. A suite runs for one store in one process of its own,
//! so that no store finds the other's memory, threads or counts of bytes.

mod alter;
mod bench;
mod cold;
mod durable;
mod embed;
mod limited;
mod list;
mod load;
mod open;
mod reads;
mod stall;
mod table;

pub use bench::{Bench, Task};
pub use list::{SUITES, WORKS, Work, find};

use crate::store::Result;

/// Runs one suite, or one part of it that needs its own process.
pub fn run(task: Task) -> Result<()> {
    let suite = task.suite.clone();
    let mut bench = Bench::new(task)?;
    match suite.as_str() {
        "table" => table::run(&mut bench),
        "small" | "wide" => table::run_short(&mut bench),
        "features" => reads::run_features(&mut bench),
        "stall" => stall::run(&mut bench),
        "embed" => embed::run(&mut bench),
        "limited" => limited::run_inside(&mut bench),
        "fill" => open::run_until_killed(&mut bench),
        _ => Err(format!("no suite {suite:?}").into()),
    }
}
