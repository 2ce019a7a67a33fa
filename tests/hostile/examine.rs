//! Looks at a damaged sample in every way: reads through all doors, then writes. Asserts what holds
//! for any bytes: no panic, no loop without end, bounded memory, and nothing changed by reading.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use splitpoint::inspect::{Inspector, Report};
use splitpoint::salvage::{FileMap, Salvage};
use splitpoint::simulation::SimulatedDisk;
use splitpoint::{Access, Error, Index, Options, Promise, Verify};

use crate::memory;
use crate::sample::{PATH, Sample, key, options};

/// What was seen.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// The error of the first open for reading.
    pub(crate) open: Option<Error>,
    /// The error of the open for writing.
    pub(crate) write: Option<Error>,
    /// Promises that lookups and scans found broken, where checksums are verified.
    pub(crate) touched: Vec<Promise>,
    /// Promises that `check` found broken.
    pub(crate) found: Vec<Promise>,
    /// Records that a scan yielded.
    pub(crate) scanned: usize,
}

/// The bytes of every file in a folder, by name.
pub(crate) fn content(folder: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name(), std::fs::read(e.path()).unwrap())).collect()
}

/// Every way to look at one sample. `Err` is a broken promise of this test, in words.
pub(crate) fn examine(sample: &Sample) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let folder = folder();
    sample.write(folder.path());
    let before = content(folder.path());
    let path = folder.path().join("data");
    for verify in [Verify::OnFirstTouch, Verify::Always, Verify::Never] {
        for access in [Access::Mapped, Access::Pread] {
            let options = Options::new().read_only(true).verify(verify).access(access);
            let what = format!("reading, {verify:?}, {access:?}");
            let limit = memory::LIMIT + 8 * sample.len();
            guard(&what, limit, || read(&options, &path, &sample.keys, &mut seen))?;
        }
    }
    let limit = memory::LIMIT + 8 * sample.len();
    guard("looking", limit, || look(&path, &sample.keys))?;
    // Not assert_eq: nobody wants to read the bytes.
    if before != content(folder.path()) {
        return Err("reading changed a file".into());
    }
    rescue(&path, sample.len())?;
    if before != content(folder.path()) {
        return Err("salvaging or copying changed a file".into());
    }
    let disk = sample.disk();
    let before = image(&disk);
    guard("writing", usize::MAX, || write(&disk, &sample.keys, &mut seen))?;
    // Redo that meets a damaged page has renewed the meta page before; a damaged log is met first.
    let in_redo = |error: &Error| {
        let is_page = |place| matches!(place, splitpoint::Place::Page(_));
        !sample.log.is_empty() && matches!(error, Error::Corruption(c) if is_page(c.place))
    };
    let unchanged = seen.write.as_ref().is_some_and(|error| !in_redo(error));
    if unchanged && before != image(&disk) {
        return Err(format!("refused and yet changed: {:?}", seen.write));
    }
    Ok(seen)
}

/// Whatever takes a copy of what is left, by whichever door: an error at worst, and what it writes
/// is sound.
fn rescue(path: &Path, len: usize) -> Result<(), String> {
    /// An index of its own, with the memory that any has.
    const LIMIT: usize = 64 << 20;
    let limit = LIMIT + 8 * len;
    let target = folder();
    let new = target.path().join("new");
    let check = |new: &Path| {
        let index = Index::open_read_only(new).unwrap();
        assert!(index.check().unwrap().is_sound());
        index.len()
    };
    guard("salvaging", limit, || {
        if let Ok(report) = Salvage::new().run(path, &new) {
            assert_eq!(check(&new), report.record_count, "{report}");
        }
    })?;
    guard("mapping", limit, || drop(FileMap::read(path)))?;
    let copy = target.path().join("copy");
    guard("copying", limit, || {
        if let Ok(made) = Index::backup_file(path, &copy, |_, _| ControlFlow::Continue(())) {
            assert_eq!(check(&copy), made.record_count);
        }
    })?;
    guard("reading on", limit, || {
        let Ok(index) = Index::open_read_only(path) else { return };
        let count = index.iter().unwrap().skip_damaged().take(1_000_000).count();
        assert!(count < 1_000_000, "a scan without end");
    })?;
    let mut names: Vec<_> = content(target.path()).into_keys().collect();
    names.retain(|name| name != "new" && name != "copy");
    if names.is_empty() { Ok(()) } else { Err(format!("left behind: {names:?}")) }
}

/// A folder in memory where there is one.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

pub(crate) fn image(disk: &SimulatedDisk) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let image = disk.snapshot();
    image.paths().map(|path| (path.to_owned(), image.bytes(path).unwrap())).collect()
}

/// Runs it and turns a panic, a long run and a large allocation into words.
pub(crate) fn guard(what: &str, limit: usize, run: impl FnOnce()) -> Result<(), String> {
    let started = Instant::now();
    memory::begin();
    let result = catch_unwind(AssertUnwindSafe(run));
    let peak = memory::peak();
    result.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!("{what}: panic: {}", words.unwrap_or_default())
    })?;
    if started.elapsed() > Duration::from_secs(20) {
        return Err(format!("{what}: took {:?}", started.elapsed()));
    }
    if peak > limit {
        return Err(format!("{what}: {peak} bytes of memory, limit {limit}"));
    }
    Ok(())
}

/// Every look inside. Errors are for files that are no index, and for what the user asks wrongly.
fn look(path: &Path, keys: &[Vec<u8>]) {
    let Ok(inspector) = Inspector::open(path) else { return };
    if let Ok(stat) = inspector.stat(|done, all| assert!(done <= all)) {
        let sum: u64 = stat.pages.iter().map(|share| share.bytes).sum();
        assert_eq!((sum, stat.file_len), (stat.file_len, inspector.file_len()));
        let inside: u64 = stat.contents.iter().map(|share| share.bytes).sum();
        let of_pages = ["bucket_pages", "overflow_pages", "value_pages"];
        assert_eq!(inside, of_pages.into_iter().map(|name| stat.bytes(name)).sum::<u64>());
        assert!(!stat.advice().is_empty() && !stat.check.is_overtaken);
    }
    let mut shown = 0;
    let mut show = |report: splitpoint::Result<Report>| {
        shown += report.map_or(0, |report| report.to_string().len());
    };
    show(inspector.meta());
    show(inspector.directory());
    show(inspector.bitmap());
    show(inspector.log(None, 100));
    show(inspector.log(Some(1), 1));
    for n in [0, 1, 7, 63, u64::MAX] {
        show(inspector.bucket(n));
        show(inspector.overflow(n));
        show(inspector.value(n));
    }
    for page in (0..inspector.page_limit()).step_by(3).chain([u64::MAX]) {
        show(inspector.page(page));
        let view = inspector.hex(page);
        let end = view.spans.iter().fold(0, |at, span| {
            assert_eq!(span.range.start, at, "spans lie one after another");
            span.range.end
        });
        assert_eq!(end, view.bytes.len(), "spans cover the page");
    }
    for key in keys.iter().step_by(37) {
        show(inspector.key(key));
    }
    let _ = (inspector.hex_segment(0), inspector.hex_segment(1), inspector.hex_segment(2));
    let _ = inspector.check_quick(|done, all| assert!(done <= all));
}

fn note<T>(seen: &mut Vec<Promise>, result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => return Some(value),
        Err(Error::Corruption(corruption)) => seen.push(corruption.promise),
        // Of a table of fixed sizes, or one that says so.
        Err(Error::KeySize { .. }) => {}
        Err(other) => panic!("a lookup ended with {other:?}"),
    }
    None
}

fn read(options: &Options, path: &Path, keys: &[Vec<u8>], seen: &mut Seen) {
    let index = match options.clone().open(path) {
        Ok(index) => index,
        Err(error) => {
            seen.open.get_or_insert(error);
            return;
        }
    };
    let mut touched = Vec::new();
    for key in keys {
        note(&mut touched, index.get(key).map(|value| value.map(|value| value.len())));
        let mut reader = index.reader().unwrap();
        note(&mut touched, reader.get(key).map(|value| value.map(|value| value.len())));
    }
    for n in 0..50 {
        note(&mut touched, index.get(format!("absent {n}")).map(drop));
    }
    for keys in keys.chunks(100) {
        note(&mut touched, index.get_many_with(keys, |_, _| ()));
    }
    let mut scanned = 0;
    for entry in index.iter().unwrap() {
        scanned += usize::from(note(&mut touched, entry).is_some());
        assert!(scanned < 10 * keys.len() + 100_000, "a scan without end");
    }
    let report = index.check().unwrap();
    seen.found.extend(report.findings.iter().map(|finding| finding.promise));
    seen.scanned = seen.scanned.max(scanned);
    let (_, _, _) = (index.stats().unwrap(), index.len(), index.metadata().unwrap());
    if !format!("{options:?}").contains("Never") {
        seen.touched.extend(touched);
    }
    drop(index);
}

/// Writes a lot: whatever happens must be an error at worst.
fn write(disk: &SimulatedDisk, keys: &[Vec<u8>], seen: &mut Seen) {
    let index = match options(disk).open(PATH) {
        Ok(index) => index,
        Err(error) => {
            seen.write = Some(error);
            return;
        }
    };
    storm(&index, keys);
}

fn storm(index: &Index, keys: &[Vec<u8>]) {
    let mut failed = 0_u64;
    let mut note = |failure: bool| failed += u64::from(failure);
    for (n, key) in keys.iter().enumerate().take(300) {
        note(match n % 4 {
            0 => index.remove(key).is_err(),
            1 => index.insert(key, vec![3; n % 900]).is_err(),
            2 => index.update(key, |old| old.map(|old| old.repeat(2))).is_err(),
            _ => index.insert(key, vec![4; 5_000 * (n % 3)]).is_err(),
        });
    }
    note(index.checkpoint().is_err());
    // As much with the sizes of a table of fixed ones.
    for n in 0..1_500_u64 {
        note(index.insert((n * 3).to_le_bytes(), [6; 8]).is_err());
        note(index.remove((n * 2).to_le_bytes()).is_err());
    }
    for n in 0..1_500 {
        note(index.insert(key(n + 1_000_000), [1; 90]).is_err());
    }
    note(index.checkpoint().is_err());
    for n in (0..keys.len()).chain(1_000_000..1_001_500) {
        note(index.remove(key(n)).is_err());
    }
    note(index.check().is_err());
    note(index.iter().is_ok_and(|mut all| all.any(|entry| entry.is_err())));
    note(index.close().is_err());
}
