//! Put into the woven crate. Which mutant is on: the one of `MUTANT_ON`. With `MUTANT_REACHED`, a file, none is on, and the
//! number of each that would matter is written there once.
#![allow(missing_docs)]

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const NONE: u32 = 0;
const UNKNOWN: u32 = u32::MAX;
const ALL_ARE_NOTED: u32 = u32::MAX - 1;

static CURRENT: AtomicU32 = AtomicU32::new(UNKNOWN);
static REACHED: [AtomicBool; 1 << 13] = [const { AtomicBool::new(false) }; 1 << 13];

#[inline]
pub(crate) fn on(id: u32) -> bool {
    let current = CURRENT.load(Ordering::Relaxed);
    current == id || (current >= ALL_ARE_NOTED && choose(id, current))
}

#[cold]
fn choose(id: u32, current: u32) -> bool {
    if current == UNKNOWN {
        let chosen = std::env::var("MUTANT_ON").ok().and_then(|id| id.parse().ok());
        let other = std::env::var_os("MUTANT_REACHED").map_or(NONE, |_| ALL_ARE_NOTED);
        CURRENT.store(chosen.unwrap_or(other), Ordering::Relaxed);
        return on(id);
    }
    let is_new = REACHED.get(id as usize).is_some_and(|r| !r.swap(true, Ordering::Relaxed));
    if let (true, Some(path)) = (is_new, std::env::var_os("MUTANT_REACHED")) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(format!("{id}\n").as_bytes()));
    }
    false
}
