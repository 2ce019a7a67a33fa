//! The error campaign: plans on a simulated disk where call after call fails, once or from then on,
//! in every way that it can. No panic, no wrong answer: the operation succeeds or says an error;
//! then the handle works on or refuses to write, and reads what is right; and the file opens again,
//! in the same boot, with the cache evicted, and after a power cut.
//!
//! `SPLITPOINT_SEED` repeats a plan; `SPLITPOINT_STATES` or `SPLITPOINT_SECONDS` say how much to do;
//! `SPLITPOINT_FIRST` is the first seed of a soak.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test: whatever goes wrong must end it"
)]

#[path = "../campaign/mod.rs"]
mod campaign;
mod trial;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use campaign::short::Start;
use campaign::tally::Tally;
use campaign::{hush_panics, number};

const STATES: u64 = 220_000;
const THREADS: usize = 2;
/// Failures of the disk that are tried with one plan.
const FAILURES: usize = 1_500;

fn main() {
    let soak = number("SPLITPOINT_SECONDS");
    let states =
        number("SPLITPOINT_STATES").unwrap_or(if soak.is_some() { u64::MAX } else { STATES });
    let tally = Tally::new(states, Duration::from_secs(soak.unwrap_or(3600)));
    hush_panics();
    let starts = Start::all();
    let one = number("SPLITPOINT_SEED");
    let first = number("SPLITPOINT_FIRST").unwrap_or(0);
    println!("errors: plans from seed {}", one.unwrap_or(first));
    let next = AtomicU64::new(first);
    let run = |seed| {
        if let Err(text) = trial::all_of(seed, &starts, FAILURES, &tally) {
            tally.fail();
            println!("FAILED seed {seed}, {text}\n  repeat with SPLITPOINT_SEED={seed}");
        }
    };
    let work = || {
        let mut own = 0;
        while !tally.is_over() {
            run(next.fetch_add(1, Ordering::Relaxed));
            own += 1;
        }
        own
    };
    let plans: usize = match one {
        Some(seed) => {
            run(seed);
            1
        }
        None => std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        }),
    };
    let (count, failures, seconds) = (tally.count(), tally.failures(), tally.seconds());
    println!("errors: {plans} plans, {seconds:.0} s");
    println!("error states: {count} distinct, {failures} failures");
    let (word, passed) = if failures == 0 { ("ok", plans) } else { ("FAILED", plans - 1) };
    println!("\ntest result: {word}. {passed} passed; {failures} failed");
    std::process::exit(i32::from(failures > 0));
}
