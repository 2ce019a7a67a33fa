//! The test of the tests: each classic mistake is switched on, and a campaign must notice, most within
//! seconds. A line for each mistake names the campaign that did.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test: whatever goes wrong must end it"
)]
#![allow(dead_code, reason = "the campaigns' own switches are theirs")]

#[path = "../campaign/mod.rs"]
mod campaign;
mod rot;
#[path = "../crash/search.rs"]
mod search;
#[path = "../errors/trial.rs"]
mod trial;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use campaign::short::{self, Start};
use campaign::tally::Tally;
use campaign::{hush_panics, quietly};
use search::{Job, Search};
use splitpoint::mutant::{self, Mutant};

const THREADS: usize = 2;
/// No campaign goes on longer with one mutant.
const PATIENCE: Duration = Duration::from_secs(240);

fn main() {
    hush_panics();
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let only = std::env::var("SPLITPOINT_MUTANT").ok();
    // Without a mistake nothing is found: what kills is not the campaign's own.
    if let Err(text) = quietly(|| (0..8).try_for_each(rot::all)) {
        println!("\ntest result: FAILED. the rot campaign fails without a mistake: {text}");
        std::process::exit(1);
    }
    let work = || {
        let starts = Start::all();
        while let Some(mistake) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            if only.as_ref().is_some_and(|only| *only != format!("{mistake:?}")) {
                continue;
            }
            let started = Instant::now();
            let found = hunt(*mistake, &starts);
            mutant::set(None);
            let seconds = started.elapsed().as_secs_f64();
            match found {
                Some((name, text)) => {
                    killed.fetch_add(1, Ordering::Relaxed);
                    let text: String =
                        text.lines().next().unwrap_or_default().chars().take(110).collect();
                    println!("{mistake:?}: killed by the {name} campaign, {seconds:.1} s: {text}");
                }
                None => println!("{mistake:?}: SURVIVED {seconds:.1} s"),
            }
        }
    };
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(work)));
    });
    let (killed, all) = (killed.load(Ordering::Relaxed), Mutant::ALL.len());
    println!("mutants: {killed} of {all} killed");
    let survived = if only.is_some() { 1 - killed } else { all - killed };
    let word = if survived == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {killed} passed; {survived} failed");
    std::process::exit(i32::from(survived > 0));
}

/// The campaigns in turn, a little of each and again, until one notices.
fn hunt(mistake: Mutant, starts: &[Start]) -> Option<(&'static str, String)> {
    let tally = Tally::new(u64::MAX, PATIENCE);
    let search = Search::new(&tally);
    let all = short::count(3);
    mutant::set(Some(mistake));
    for round in 0.. {
        if tally.is_over() {
            break;
        }
        if let Err(text) = quietly(|| rot::all(round)) {
            return Some(("rot", text));
        }
        if let Err(text) = quietly(|| search.first_failure(Job::Values(round))) {
            return Some(("values crash", text));
        }
        for n in 0..12 {
            // Spread over all sequences; 7,919 is a prime.
            let number = (round as usize * 12 + n) * 7_919 % all;
            if let Err(text) = quietly(|| search.first_failure(Job::Short(number))) {
                return Some(("short crash", text));
            }
        }
        if let Err(text) = quietly(|| search.first_failure(Job::Random(round))) {
            return Some(("random crash", text));
        }
        for seed in [2 * round, 2 * round + 1] {
            if let Err(text) = quietly(|| trial::all_of(seed, starts, 60, &tally)) {
                return Some(("error", text));
            }
        }
    }
    None
}
