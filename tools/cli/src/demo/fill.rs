//! Act 1: load the users.

use std::time::Instant;

use splitpoint::{Batch, Index};

use super::{Stage, features};
use crate::failure::{Context, Failure};
use crate::human;

/// Users in a commit.
const BATCH_LEN: u64 = 1_000;

/// Loads them, and says how fast.
pub(super) fn play(stage: &mut Stage, index: &Index) -> Result<(), Failure> {
    let users = stage.users;
    stage.say(&format!(
        "\n1. load: {} users, 20 float features each ({} bytes), {BATCH_LEN} in a commit",
        human::count(users),
        features::VALUE_SIZE
    ))?;
    let started = Instant::now();
    let mut first = 0;
    while first < users {
        stage.check_interrupt()?;
        let last = users.min(first + BATCH_LEN);
        let mut batch = Batch::new();
        for user in first..last {
            batch.insert(features::key(user), features::value(user));
        }
        index.commit(batch).working(&stage.path)?;
        first = last;
    }
    index.sync().working(&stage.path)?;
    let time = started.elapsed();
    stage.say(&format!(
        "   {} users a second, durable after {}",
        human::rate(users, time),
        human::duration(time)
    ))
}
