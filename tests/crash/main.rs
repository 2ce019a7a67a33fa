//! The crash campaign: plans on a simulated disk, the power cut before every call, every image that
//! the cut may leave opened again. First all short sequences of operations, then random long ones
//! by seed, and between them plans that write large values beside checkpoints.
//!
//! `SPLITPOINT_SEED` repeats a random plan, `SPLITPOINT_VALUES` one with large values,
//! `SPLITPOINT_SHORT` a short sequence;
//! `SPLITPOINT_STATES` or `SPLITPOINT_SECONDS` say how much to do; `SPLITPOINT_FIRST` is the first
//! random seed of a soak.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test: whatever goes wrong must end it"
)]

#[path = "../campaign/mod.rs"]
mod campaign;
mod search;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use campaign::tally::Tally;
use campaign::{hush_panics, number, short};
use search::{Job, Search};

const STATES: u64 = 1_100_000;
const THREADS: usize = 2;
/// Operations of the longest short sequences.
const SHORT_MAX: u32 = 3;

fn main() {
    let soak = number("SPLITPOINT_SECONDS");
    let states =
        number("SPLITPOINT_STATES").unwrap_or(if soak.is_some() { u64::MAX } else { STATES });
    let tally = Tally::new(states, Duration::from_secs(soak.unwrap_or(3600)));
    hush_panics();
    let search = Search::new(&tally);
    let one = number("SPLITPOINT_SHORT")
        .map(|n| Job::Short(n as usize))
        .or(number("SPLITPOINT_VALUES").map(Job::Values))
        .or(number("SPLITPOINT_SEED").map(Job::Random));
    let first = number("SPLITPOINT_FIRST").unwrap_or(0);
    let shorts = if first > 0 { 0 } else { short::count(SHORT_MAX) };
    println!("crash: {shorts} short sequences, then random plans from seed {first}");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut own = 0;
        while !tally.is_over() {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let job = match n.checked_sub(shorts) {
                None => Job::Short(n),
                Some(n) if n % 16 == 0 => Job::Values(first + n as u64),
                Some(n) => Job::Random(first + n as u64),
            };
            search.run(job);
            own += 1;
        }
        own
    };
    let jobs: usize = match one {
        Some(job) => {
            search.run(job);
            1
        }
        None => std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        }),
    };
    let (count, failures, seconds) = (tally.count(), tally.failures(), tally.seconds());
    println!("crash: {jobs} plans, {seconds:.0} s");
    println!(
        "crash states: {count} distinct, {failures} failures, {:.0} per second",
        count as f64 / seconds
    );
    let (word, passed) = if failures == 0 { ("ok", jobs) } else { ("FAILED", jobs - 1) };
    println!("\ntest result: {word}. {passed} passed; {failures} failed");
    std::process::exit(i32::from(failures > 0));
}
