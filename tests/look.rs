//! Looking into files of the operating system: the way of a lookup against lookups, and looks
//! beside a writer.
#![expect(clippy::unwrap_used, reason = "a test: whatever goes wrong must end it")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use splitpoint::inspect::{FileStat, Inspector, Report, Value};
use splitpoint::{Batch, Durability, Index, Options};

fn key(n: u64) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

fn value(n: u64) -> Vec<u8> {
    // One in five hundred stands in value pages.
    let len = if n.is_multiple_of(500) { 6_000 } else { 20 + n % 90 };
    n.to_le_bytes().iter().copied().cycle().take(usize::try_from(len).unwrap()).collect()
}

/// An index of 100,000 records and as many more as bring it into the middle of a resize.
fn sweeping(path: &Path) -> u64 {
    let background = Durability::Background(Duration::from_secs(1));
    let index = Options::new().durability(background).hash_seed(5).open(path).unwrap();
    let (mut len, mut batch) = (0, Batch::new());
    loop {
        batch.insert(key(len), value(len));
        len += 1;
        if len % 200 == 0 {
            index.commit(std::mem::take(&mut batch)).unwrap();
            let stats = index.stats().unwrap();
            let is_half = stats.splitpoint > u64::MAX / 4 && stats.splitpoint < u64::MAX / 4 * 3;
            if len >= 100_000 && stats.next_bucket_count > 0 && is_half {
                break;
            }
        }
    }
    index.close().unwrap();
    len
}

fn text(report: &Report, name: &str) -> String {
    report.field(name).map(Value::to_string).unwrap_or_default()
}

fn assert_adds_up(stat: &FileStat, path: &Path) {
    let sum: u64 = stat.pages.iter().map(|share| share.bytes).sum();
    assert_eq!((sum, stat.file_len), (stat.file_len, path.metadata().unwrap().len()));
    let inside: u64 = stat.contents.iter().map(|share| share.bytes).sum();
    let of_pages = ["bucket_pages", "overflow_pages", "value_pages"].map(|name| stat.bytes(name));
    assert_eq!(inside, of_pages.iter().sum::<u64>());
}

#[test]
fn the_way_of_a_lookup_agrees_with_lookups_in_the_middle_of_a_resize() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let len = sweeping(&path);
    let inspector = Inspector::open(&path).unwrap();
    let index = Index::open_read_only(&path).unwrap();
    let (mut in_overflow, mut in_next, mut reads) = (0_u64, 0_u64, 0_u64);
    // The records, and a tenth as many keys that are not there.
    for n in 0..len + len / 10 {
        let report = inspector.key(&key(n)).unwrap();
        let found = index.get(key(n)).unwrap();
        assert_eq!(found.is_some(), n < len);
        let expected = if found.is_some() { "found" } else { "absent" };
        assert_eq!(text(&report, "result"), expected, "{report}");
        let pages: u64 = text(&report, "pages_read").parse().unwrap();
        if n < len {
            reads += pages;
            in_overflow += u64::from(pages > 1);
        }
        in_next += u64::from(text(&report, "layout") == "next");
    }
    assert!(in_overflow > 1_000, "{in_overflow} in overflow");
    assert!(in_next > len / 5 && in_next < len, "{in_next} in the next layout");
    let stat = inspector.stat(|_, _| ()).unwrap();
    assert!(stat.check.is_sound(), "{}", stat.check);
    assert_adds_up(&stat, &path);
    assert_eq!(stat.record_count, len);
    // What the census says of a hit is what the lookups read.
    let each = reads as f64 / len as f64;
    assert!((stat.pages_per_hit - each).abs() < 1e-9, "{} {each}", stat.pages_per_hit);
    let buckets: u64 = stat.buckets.rows.iter().map(|row| row.value * row.count).sum();
    assert_eq!(buckets, len, "every record is in a bucket");
    let expected: f64 = stat.buckets.rows.iter().map(|row| row.value as f64 * row.expected).sum();
    assert!((expected - len as f64).abs() < len as f64 / 50.0, "{expected}");
}

#[test]
fn beside_a_writer_no_damage_is_claimed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let background = Durability::Background(Duration::from_millis(5));
    let index = Options::new().durability(background).open(&path).unwrap();
    for n in 0..5_000 {
        index.insert(key(n), value(n)).unwrap();
    }
    index.checkpoint().unwrap();
    let is_over = AtomicBool::new(false);
    let (mut sound, mut overtaken) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Every page is changed, and each checkpoint frees what the one before wrote.
            for round in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                for n in (round % 3..5_000).step_by(3) {
                    index.insert(key(n), value(n + round)).unwrap();
                }
                index.checkpoint().unwrap();
            }
        });
        for n in 0..60 {
            let inspector = Inspector::open(&path).unwrap();
            let report = inspector.check(|_, _| ()).unwrap();
            assert!(report.findings.is_empty(), "{report}");
            assert!(report.is_sound() != report.is_overtaken, "{report}");
            sound += u32::from(report.is_sound());
            overtaken += u32::from(report.is_overtaken);
            let stat = inspector.stat(|_, _| ()).unwrap();
            assert!(stat.check.findings.is_empty(), "{}", stat.check);
            for report in [
                inspector.meta(),
                inspector.key(&key(n)),
                inspector.bucket(n),
                inspector.directory(),
                inspector.bitmap(),
            ] {
                let report = report.unwrap();
                assert!(report.is_sound(), "{report}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{sound} sound, {overtaken} overtaken");
    index.close().unwrap();
    let report = Inspector::open(&path).unwrap().check(|_, _| ()).unwrap();
    assert!(report.is_sound(), "{report}");
}

/// A writer that makes two checkpoints for each step of a look is faster every time: the look ends,
/// says so, and claims nothing.
#[test]
fn a_writer_that_is_faster_each_time_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let index = Options::new().hash_seed(5).open(&path).unwrap();
    let round = std::cell::Cell::new(0);
    let write = || {
        for _ in 0..2 {
            round.set(round.get() + 1);
            let mut batch = Batch::new();
            for n in 0..2_000 {
                batch.insert(key(n), value(n + round.get()));
            }
            index.commit(batch).unwrap();
            index.checkpoint().unwrap();
        }
    };
    write();
    let inspector = Inspector::open(&path).unwrap();
    let report = inspector.check(|_, _| write()).unwrap();
    assert!(report.is_overtaken && report.findings.is_empty() && !report.is_sound(), "{report}");
    assert_eq!(report.unproven_page_count, 0, "{report}");
    let stat = inspector.stat(|_, _| write()).unwrap();
    assert!(stat.check.is_overtaken && stat.check.findings.is_empty(), "{}", stat.check);
    let copy = folder.path().join("copy");
    let go_on = std::ops::ControlFlow::Continue(());
    let copied = Index::backup_file(&path, &copy, |_, _| {
        write();
        go_on
    });
    let error = copied.unwrap_err().to_string();
    assert!(error.contains("its writer was faster 16 times"), "{error}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap()).collect();
    assert!(names.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("copy")));
    // It rests: all is well, by the same handle.
    let report = inspector.check(|_, _| ()).unwrap();
    assert!(report.is_sound() && !report.is_overtaken, "{report}");
    let copied = Index::backup_file(&path, &copy, |_, _| go_on).unwrap();
    assert_eq!((copied.record_count, copied.repeat_count), (2_000, 0));
}

/// Each commit moves an amount from one account to another, so their sum is the same at each moment;
/// a copy of two moments would have another.
#[test]
fn a_copy_beside_a_writer_is_one_moment() {
    const ACCOUNTS: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let options = Options::new().log_budget(256 << 10).hash_seed(5);
    let index = options.open(&path).unwrap();
    let mut batch = Batch::new();
    for n in 0..ACCOUNTS {
        batch.insert(key(n), 1_000_u64.to_le_bytes());
    }
    index.commit(batch).unwrap();
    let is_over = AtomicBool::new(false);
    let (mut made, mut late) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let amount = |n| {
                let bytes = index.get(key(n)).unwrap().unwrap();
                u64::from_le_bytes(bytes[..8].try_into().unwrap())
            };
            for round in 0_u64.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (from, to) = (round * 7 % ACCOUNTS, (round * 13 + 1) % ACCOUNTS);
                if from == to || amount(from) == 0 {
                    continue;
                }
                // Padding, so that there are checkpoints.
                let padded = |sum: u64| [&sum.to_le_bytes()[..], &[7; 400]].concat();
                let mut batch = Batch::new();
                batch.insert(key(from), padded(amount(from) - 1));
                batch.insert(key(to), padded(amount(to) + 1));
                index.commit(batch).unwrap();
            }
        });
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_secs(6) && made < 40 {
            let copy = folder.path().join(format!("copy {made}"));
            let copied =
                Index::backup_file(&path, &copy, |_, _| std::ops::ControlFlow::Continue(()));
            match copied {
                Ok(_) => made += 1,
                Err(error) => {
                    assert!(error.to_string().contains("its writer was faster"), "{error}");
                    late += 1;
                    continue;
                }
            }
            let of_copy = Index::open_read_only(&copy).unwrap();
            let sum = |(n, sum): (u64, u64)| {
                let bytes = of_copy.get(key(n)).unwrap().unwrap();
                sum + u64::from_le_bytes(bytes[..8].try_into().unwrap())
            };
            let all = (0..ACCOUNTS).fold(0, |before, n| sum((n, before)));
            assert_eq!((all, of_copy.len()), (ACCOUNTS * 1_000, ACCOUNTS));
            drop(of_copy);
            let report = Inspector::open(&copy).unwrap().check(|_, _| ()).unwrap();
            assert!(report.is_sound(), "{report}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{made} copies, {late} times the writer was faster; generation {}", {
        index.stats().unwrap().generation
    });
    assert!(made > 3);
    index.close().unwrap();
}

#[test]
fn a_large_file_is_checked_by_several_threads_with_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let background = Durability::Background(Duration::from_secs(1));
    let index = Options::new().durability(background).open(&path).unwrap();
    let mut batch = Batch::new();
    for n in 0..90_000_u64 {
        batch.insert(key(n), [7; 400]);
        if batch.len() == 1_000 {
            index.commit(std::mem::take(&mut batch)).unwrap();
        }
    }
    index.close().unwrap();
    // More than is worth a second thread.
    assert!(path.metadata().unwrap().len() > 32 << 20);
    let stat = Inspector::open(&path).unwrap().stat(|_, _| ()).unwrap();
    assert!(stat.check.is_sound() && stat.record_count == 90_000, "{}", stat.check);
    assert_adds_up(&stat, &path);
    let mut bytes = std::fs::read(&path).unwrap();
    let mut damaged = Vec::new();
    for page in (100..bytes.len() / 4096).step_by(997) {
        if let Some(byte) = bytes.get_mut(page * 4096 + 4000) {
            *byte ^= 1;
            damaged.push(page as u64);
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let stat = Inspector::open(&path).unwrap().stat(|_, _| ()).unwrap();
    assert_adds_up(&stat, &path);
    let found: Vec<u64> = stat
        .check
        .findings
        .iter()
        .filter_map(|finding| match finding.place {
            splitpoint::Place::Page(page) => Some(page),
            _ => None,
        })
        .collect();
    assert!(damaged.len() > 5 && found.len() + 2 >= damaged.len(), "{damaged:?} {found:?}");
    assert!(found.iter().all(|page| damaged.contains(page)), "{damaged:?} {found:?}");
}
