//! A data file and its log of any bytes: looked into, read through every door, written to. No
//! panic, no loop without end, and nothing changed by reading.

use splitpoint::simulation::{Rng, SimulatedDisk};
use splitpoint::{Access, Index, Options, Verify};

use super::bytes::Bytes;
use super::pack::Files;

const PATH: &str = "/data";
const OPERATIONS_MAX: usize = 60;
const PAGES_MAX: u64 = 80;

fn options(disk: &SimulatedDisk) -> Options {
    Options::new().storage(disk).manual().small_budgets(1 << 16, 1 << 18)
}

fn key(n: usize) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

pub(crate) fn run(packed: &[u8]) {
    let files = Files::unpack(packed);
    let disk = disk(&files);
    let mut ops = Bytes(&files.ops);
    let before = disk.snapshot();
    look(&disk);
    for _ in 0..2 {
        let verify = ops.of(&[Verify::OnFirstTouch, Verify::Always, Verify::Never]);
        let access = ops.of(&[Access::Pread, Access::Mapped]);
        let options = options(&disk).read_only(true).verify(verify).access(access);
        if let Ok(index) = options.open(PATH) {
            read(&index, files.data.len() + files.log.iter().map(|(_, s)| s.len()).sum::<usize>());
        }
    }
    assert!(disk.snapshot() == before, "reading changed a file");
    salvage(&files);
    let verify = ops.of(&[Verify::OnFirstTouch, Verify::Always, Verify::Never]);
    let access = ops.of(&[Access::Pread, Access::Mapped]);
    if let Ok(index) = options(&disk).verify(verify).access(access).open(PATH) {
        write(&index, &mut ops);
        drop(index);
        if let Ok(index) = options(&disk).open(PATH) {
            let _ = index.check();
        }
    }
}

fn disk(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.set_live_bytes(PATH, &files.data);
    for (number, segment) in &files.log {
        disk.set_live_bytes(format!("{PATH}-wal-{number:016x}"), segment);
    }
    disk
}

/// What the dump shows of it.
fn look(disk: &SimulatedDisk) {
    let Ok(inspector) = splitpoint::fuzzing::inspector(disk, PATH) else { return };
    let shown = |report: splitpoint::Result<_>| {
        report.map(|r: splitpoint::inspect::Report| r.to_string().len())
    };
    let _ = shown(inspector.meta());
    for number in 0..inspector.page_limit().min(PAGES_MAX) {
        let _ = shown(inspector.page(number));
    }
    for bucket in [0, 1, 2, 3, 16, u64::MAX] {
        let _ = shown(inspector.bucket(bucket));
    }
    for n in 0..4 {
        let _ = shown(inspector.key(&key(n)));
    }
    for n in [0, 1, 16, u64::MAX] {
        let _ = (shown(inspector.overflow(n)), shown(inspector.value(n)));
    }
    for report in [inspector.directory(), inspector.bitmap(), inspector.log(None, 50)] {
        let _ = shown(report);
    }
    for number in 0..inspector.page_limit().min(PAGES_MAX) {
        let view = inspector.hex(number);
        let len: usize = view.spans.iter().map(|span| span.range.len()).sum();
        assert_eq!(len, view.bytes.len(), "the names cover a page");
    }
    if let Ok(stat) = inspector.stat(|_, _| ()) {
        let sum: u64 = stat.pages.iter().map(|share| share.bytes).sum();
        assert_eq!(sum, inspector.file_len(), "all bytes are for something");
    }
    let _ = inspector.check(|done, all| assert!(done <= all)).map(|report| report.to_string());
}

/// What is left of it is an index, and the damaged files are as they were.
fn salvage(files: &Files) {
    let disk = disk(files);
    let Ok(report) = splitpoint::fuzzing::salvage(&disk, PATH, "/new") else { return };
    let _ = report.to_string();
    assert!(disk.live_bytes(PATH).as_deref() == Some(files.data.as_slice()));
    let index = options(&disk).read_only(true).open("/new").expect("a new index");
    assert_eq!(index.len(), report.record_count);
    assert!(index.check().expect("a new index").is_sound());
}

fn read(index: &Index, len: usize) {
    let keys: Vec<Vec<u8>> = (0..20).map(|n| key(5 * n)).collect();
    for key in &keys {
        let _ = index.get(key).map(|value| value.map(|value| value.len()));
        let _ = index.contains_key(key);
        let _ =
            index.reader().map(|mut reader| reader.get(key).map(|value| value.map(|v| v.len())));
    }
    let _ = index.get_many_with(&keys, |_, _| ());
    if let Ok(iter) = index.iter() {
        for (scanned, _) in iter.enumerate() {
            assert!(scanned < 10_000 + len, "a scan without end");
        }
    }
    let _ = (index.check(), index.stats(), index.metadata(), index.len());
}

fn write(index: &Index, ops: &mut Bytes<'_>) {
    for _ in 0..OPERATIONS_MAX {
        if ops.is_empty() {
            break;
        }
        let n = usize::from(ops.u8());
        let value = || vec![n as u8; 31 * (n % 16) * (1 + n % 3 * 8)];
        let _ = match ops.u8() % 16 {
            0..4 => index.insert(key(n), value()).map(drop),
            4..7 => index.remove(key(n)).map(drop),
            7 => index.update(key(n), |old| old.map(|old| old.repeat(2))).map(drop),
            8 => index.set_metadata(value().get(..n).unwrap_or_default()),
            9 => index.checkpoint(),
            10 => index.begin_checkpoint().map(drop),
            11 => (0..4).try_for_each(|_| index.step_checkpoint().map(drop)),
            12 => (0..4 * n).try_for_each(|n| index.remove(key(n)).map(drop)),
            13 => index.backup(format!("/copy {n}")).map(drop),
            _ => (0..2 * n).try_for_each(|n| index.insert(key(n + 200), [1; 90]).map(drop)),
        };
    }
    let _ = index.checkpoint();
    let _ = index.check();
    if let Ok(iter) = index.iter() {
        let _ = iter.filter(|entry| entry.is_err()).count();
    }
    let _ = index.close();
}

/// Sound files to begin with: closed and not, small, with large records, with overflow, sweeping.
pub(crate) fn seeds() -> Vec<Files> {
    let mut seeds = Vec::new();
    for (records, len, closed) in [
        (0, 0, true),
        (3, 20, true),
        (60, 60, true),
        (60, 300, false),
        (25, 2000, true),
        (10, 9000, false),
    ] {
        let disk = SimulatedDisk::new(1);
        let index = options(&disk).hash_seed(7).open(PATH).expect("a new index");
        for n in 0..records {
            let mut value = vec![0; len];
            Rng::new(n as u64).fill(&mut value[..len / 16]);
            index.insert(key(n), value).expect("insert");
            if n == records / 2 {
                index.checkpoint().expect("checkpoint");
            }
        }
        if closed {
            index.close().expect("close");
        }
        let image = disk.snapshot();
        let mut files = Files { data: image.bytes(PATH).expect("a data file"), ..Files::default() };
        for path in image.paths() {
            let name = path.to_string_lossy().into_owned();
            if let Some((_, digits)) = name.split_once("-wal-") {
                let number = u64::from_str_radix(digits, 16).expect("a number");
                let mut segment = image.bytes(path).expect("a segment");
                segment.truncate(1 << 16);
                files.log.push((number, segment));
            }
        }
        files.ops = vec![0, 1, 0, 0, 1, 0, 5, 0, 9, 4, 0, 9, 100, 14, 7, 7, 0, 10, 0, 11, 60, 12];
        seeds.push(files);
    }
    seeds
}
