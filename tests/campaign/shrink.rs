//! A failing plan made smaller, as long as it fails: without whole operations, then without
//! changes inside them.

use super::plan::{Change, Op, Plan};

/// Tries of `fails` in all.
const TRIES: usize = 120;

/// The smallest plan found that still fails.
pub(crate) fn shrink(plan: &Plan, fails: &mut dyn FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut tries = 0;
    let mut attempt = |best: &mut Plan, candidate: Plan| {
        tries += 1;
        let smaller = tries <= TRIES && fails(&candidate);
        if smaller {
            *best = candidate;
        }
        smaller
    };
    let mut size = best.ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < best.ops.len() {
            let mut candidate = best.clone();
            candidate.ops.drain(at..(at + size).min(best.ops.len()));
            if !attempt(&mut best, candidate) {
                at += size;
            }
        }
        if size == 1 {
            break;
        }
        size = size.div_ceil(2);
    }
    for at in 0..best.ops.len() {
        let mut keep = changes(&best.ops[at]).map_or(0, Vec::len) / 2;
        while keep > 0 {
            let mut candidate = best.clone();
            if let Some(changes) = changes_mut(&mut candidate.ops[at]) {
                changes.truncate(changes.len() - keep);
            }
            if !attempt(&mut best, candidate) {
                keep /= 2;
            }
            keep = keep.min(changes(&best.ops[at]).map_or(0, |c| c.len().saturating_sub(1)));
        }
    }
    best
}

fn changes(op: &Op) -> Option<&Vec<Change>> {
    match op {
        Op::Batch(changes) | Op::Later(changes) | Op::Bulk(changes) => Some(changes),
        _ => None,
    }
}

fn changes_mut(op: &mut Op) -> Option<&mut Vec<Change>> {
    match op {
        Op::Batch(changes) | Op::Later(changes) | Op::Bulk(changes) => Some(changes),
        _ => None,
    }
}
