//! Power cuts under threads: writers, the thread that syncs and the one that runs checkpoints on a
//! simulated disk, which has noted every call; afterwards the power is cut before calls picked at
//! random, and what is recovered is held against what each writer knew by then.
//!
//! Threads come between each other as they like, so a run cannot be repeated: a failure prints what
//! the disk was called for. `SPLITPOINT_SECONDS` makes each run longer than its usual 2 seconds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test: whatever goes wrong must end it"
)]

use std::time::{Duration, Instant};

use splitpoint::simulation::{Rng, SimulatedDisk, Volume};
use splitpoint::{Durability, Index, Options};

const PATH: &str = "/index";
const WRITERS: u64 = 3;
const KEYS: u64 = 40;
/// Segments of the log are small: commits go on in the next one all the time.
const LOG_BUDGET: u64 = 1 << 20;

/// What a writer knew when the disk had seen so many calls.
#[derive(Default)]
struct Known {
    /// By its number, minus one: calls seen before a write began.
    begun: Vec<usize>,
    /// Calls seen when all writes up to a number were acknowledged.
    acknowledged: Vec<(usize, u64)>,
}

fn options(disk: &SimulatedDisk, durability: Durability) -> Options {
    let options = Options::new().storage(disk).durability(durability);
    options.small_budgets(LOG_BUDGET, 256 << 10)
}

fn key(writer: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&writer.to_le_bytes());
    key[8..].copy_from_slice(&(number * 7 % KEYS).to_le_bytes());
    key
}

/// Values from small ones to such as have pages of their own.
fn value(number: u64) -> Vec<u8> {
    let len = [60, 300, 1_000, 60, 9_000, 2_500][usize::try_from(number % 6).unwrap()];
    number.to_le_bytes().iter().copied().cycle().take(len).collect()
}

fn write(index: &Index, disk: &SimulatedDisk, writer: u64, until: Instant, each: bool) -> Known {
    let mut known = Known::default();
    for number in 1.. {
        known.begun.push(disk.call_count());
        index.insert(key(writer, number), value(number)).unwrap();
        if each || number % 64 == 0 {
            if !each {
                index.sync().unwrap();
            }
            known.acknowledged.push((disk.call_count(), number));
        }
        if Instant::now() > until {
            break;
        }
    }
    known
}

/// What a writer's keys hold: that of all its writes up to one, which it had begun and which is not
/// older than the last that was acknowledged.
fn check(index: &Index, writer: u64, known: &Known, cut: usize) {
    let begun = known.begun.partition_point(|calls| *calls < cut) as u64;
    let at = known.acknowledged.partition_point(|(calls, _)| *calls <= cut);
    let acknowledged = at.checked_sub(1).map_or(0, |at| known.acknowledged[at].1);
    let found: Vec<(u64, u64)> = (1..=KEYS)
        .map(|first| {
            let found = index.get(key(writer, first)).unwrap();
            let number = found.map_or(0, |bytes| {
                let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                assert!(bytes == value(number), "writer {writer}: a torn value of {number}");
                number
            });
            (first, number)
        })
        .collect();
    let last = found.iter().map(|(_, number)| *number).max().unwrap();
    assert!(
        acknowledged <= last && last <= begun,
        "writer {writer}: {last} is there, {acknowledged} acknowledged, {begun} begun"
    );
    for (first, number) in found {
        let expected = last.checked_sub(first).map_or(0, |behind| last - behind % KEYS);
        assert_eq!(number, expected, "writer {writer}: not a prefix of its writes, up to {last}");
    }
}

fn run(durability: Durability, seed: u64) {
    let seconds = std::env::var("SPLITPOINT_SECONDS").map_or(2, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rng = Rng::new(seed);
    let (mut rounds, mut images) = (0, 0);
    while rounds == 0 || Instant::now() < end {
        images += round(durability, &mut rng);
        rounds += 1;
    }
    println!("{rounds} rounds, {images} images of a cut disk");
}

/// Writers for a while, then cuts; how many images were recovered from.
fn round(durability: Durability, rng: &mut Rng) -> usize {
    let each = durability == Durability::Immediate;
    let disk = SimulatedDisk::new(rng.next());
    let index = options(&disk, durability).open(PATH).unwrap();
    let made = disk.call_count();
    let until = Instant::now() + Duration::from_millis(150);
    let known: Vec<Known> = std::thread::scope(|scope| {
        let (index, disk) = (&index, &disk);
        let spawn = |writer| scope.spawn(move || write(index, disk, writer, until, each));
        let threads: Vec<_> = (0..WRITERS).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let calls = disk.call_count();
    let mut cuts: Vec<usize> = (0..30).map(|_| made + rng.below(calls + 1 - made)).collect();
    cuts.sort_unstable();
    let mut count = 0;
    for cut in cuts {
        // Of all images of a cut the first have whole writes only, the last ones torn.
        let skip = rng.below(9);
        for image in
            disk.crash_images(cut, rng.next(), &Volume::LIGHT).skip(skip).step_by(9).take(4)
        {
            let after = SimulatedDisk::from_image(&image, rng.next());
            let recover = || options(&after, durability).manual().open(PATH).unwrap();
            let recovered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let index = recover();
                (0..WRITERS).zip(&known).for_each(|(w, known)| check(&index, w, known, cut));
                assert!(index.check().unwrap().is_sound());
                index.close().unwrap();
            }));
            if let Err(panic) = recovered {
                println!(
                    "cut before call {cut}, {:?}\n{}",
                    image.choice(),
                    disk.journal(Some(cut))
                );
                std::panic::resume_unwind(panic);
            }
            count += 1;
        }
    }
    index.close().unwrap();
    count
}

#[test]
fn what_is_acknowledged_outlives_a_cut_when_commits_are_immediate() {
    run(Durability::Immediate, 1);
}

#[test]
fn what_is_synced_outlives_a_cut_when_commits_are_in_the_background() {
    run(Durability::Background(Duration::from_millis(5)), 2);
}
