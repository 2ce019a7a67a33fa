//! Act 3: count clicks, from two threads at once.

use std::thread;
use std::time::Instant;

use splitpoint::Index;

use super::{Stage, features, lost};
use crate::failure::{Context, Failure};
use crate::human;

/// Counters that the threads share.
const COUNTER_COUNT: u64 = 1_000;

/// Clicks that each thread counts.
const CLICK_COUNT: u64 = 100_000;

const THREAD_COUNT: u64 = 2;

/// Counts, adds up, and says how fast.
pub(super) fn play(stage: &mut Stage, index: &Index) -> Result<(), Failure> {
    let clicks = THREAD_COUNT * CLICK_COUNT;
    stage.say(&format!(
        "\n3. count: {} clicks on {} counters, {THREAD_COUNT} threads, each click a read-modify-write",
        human::count(clicks),
        human::count(COUNTER_COUNT)
    ))?;
    let started = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREAD_COUNT).map(|thread| scope.spawn(move || count(index, thread))).collect();
        threads.into_iter().try_for_each(|thread| {
            let counted = thread.join();
            counted
                .map_err(|_| Failure::Work("a counting thread panicked".to_owned()))?
                .working(&stage.path)
        })
    })?;
    index.sync().working(&stage.path)?;
    let time = started.elapsed();
    let mut total = 0;
    for counter in 0..COUNTER_COUNT {
        let value = index.get(key(counter)).working(&stage.path)?;
        total += number(value.as_deref());
    }
    if total != clicks {
        return Err(lost(&stage.path, &format!("{total} clicks counted, {clicks} made")));
    }
    stage.say(&format!(
        "   {} updates a second, durable after {}; the counters add up to {}",
        human::rate(clicks, time),
        human::duration(time),
        human::count(total)
    ))?;
    stage.say(&format!("   the index has {} records now", human::count(index.len())))
}

/// One thread's clicks.
fn count(index: &Index, thread: u64) -> splitpoint::Result<()> {
    for click in 0..CLICK_COUNT {
        let counter = features::mix(thread * CLICK_COUNT + click) % COUNTER_COUNT;
        index.update(key(counter), |old| Some((number(old) + 1).to_le_bytes().to_vec()))?;
    }
    Ok(())
}

fn key(counter: u64) -> String {
    format!("clicks:{counter}")
}

/// A counter's value; a fresh one is 0.
fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
