//! Act 2: serve batches of 100 keys, and check every value.

use std::time::{Duration, Instant};

use splitpoint::Index;

use super::{Stage, features, lost};
use crate::failure::{Context, Failure};
use crate::human;

/// Keys in a batch.
const BATCH_LEN: usize = 100;

/// So long are batches served, and less where there are few users; the checking between them comes
/// on top.
const SERVING_TIME_MAX: Duration = Duration::from_secs(3);
const SERVING_MICROS_PER_USER: u64 = 3;

/// One key in so many is of nobody: misses are served too.
const MISS_EVERY: u64 = 50;

/// Serves, checks, and says how fast.
pub(super) fn play(stage: &mut Stage, index: &Index) -> Result<(), Failure> {
    stage.say("\n2. serve: batches of 100 random users, 2 in 100 unknown, every value checked")?;
    let serving_time = SERVING_TIME_MAX
        .min(Duration::from_micros(stage.users.saturating_mul(SERVING_MICROS_PER_USER)));
    let mut served = Duration::ZERO;
    let mut times: Vec<Duration> = Vec::new();
    let mut draw = 0;
    let mut rows = vec![None; BATCH_LEN];
    while served < serving_time {
        stage.check_interrupt()?;
        let users: Vec<u64> = (0..BATCH_LEN).map(|_| pick(&mut draw, stage.users)).collect();
        let keys: Vec<_> = users.iter().map(|&user| features::key(user)).collect();
        let started = Instant::now();
        // What a server does: it copies the floats into its answer.
        let got = index.get_many_with(&keys, |place, value| {
            if let Some(row) = rows.get_mut(place) {
                *row = value.map(|value| <[u8; features::VALUE_SIZE]>::try_from(value).ok());
            }
        });
        let time = started.elapsed();
        got.working(&stage.path)?;
        served += time;
        times.push(time);
        for (&user, row) in users.iter().zip(&rows) {
            let expected = (user < stage.users).then(|| Some(features::value(user)));
            if *row != expected {
                return Err(lost(&stage.path, &format!("user {user} has not its features")));
            }
        }
    }
    times.sort_unstable();
    let lookups = (times.len() * BATCH_LEN) as u64;
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    stage.say(&format!(
        "   {} lookups a second on one thread; a batch takes {} µs (median), {} µs (99th percentile)",
        human::rate(lookups, served),
        at(50).as_micros(),
        at(99).as_micros()
    ))?;
    stage.say(&format!("   {} values checked, all as loaded", human::count(lookups)))
}

/// A random user, sometimes one that does not exist.
fn pick(draw: &mut u64, users: u64) -> u64 {
    *draw += 1;
    let random = features::mix(*draw);
    let user = (random >> 8) % users;
    if random.is_multiple_of(MISS_EVERY) { users + user } else { user }
}
