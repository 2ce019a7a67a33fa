//! Wrong calls, and calls at the wrong time.

use std::time::Duration;

use splitpoint::simulation::{Fault, FaultPlan, SimulatedDisk};
use splitpoint::{Access, Batch, Cursor, Durability, Error, Index, Options, Residence};

use crate::examine::image;
use crate::sample::{PATH, options};
use crate::table::Table;

/// Options changed.
type Change = fn(Options) -> Options;
/// What a call came to: `Ok` if it is the error that it should be.
type Outcome = Result<(), String>;

fn is<T: std::fmt::Debug>(result: Result<T, Error>, right: impl Fn(&Error) -> bool) -> Outcome {
    match result {
        Err(error) if right(&error) && !error.to_string().is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// An index with one record, and its disk.
fn open() -> (SimulatedDisk, Index) {
    let disk = SimulatedDisk::new(1);
    let index = options(&disk).open(PATH).unwrap();
    index.insert("key", "value").unwrap();
    (disk, index)
}

/// A call that must fail so, and change nothing on disk.
fn refused(call: impl Fn(&Index) -> Result<(), Error>, right: impl Fn(&Error) -> bool) -> Outcome {
    let (disk, index) = open();
    let before = image(&disk);
    is(call(&index), right)?;
    if before != image(&disk) {
        return Err("something changed".into());
    }
    assert_eq!(index.get("key").unwrap().unwrap(), "value");
    assert!(!index.insert("key", "other").unwrap(), "it goes on as before");
    index.close().map_err(|error| error.to_string())
}

pub(crate) fn run(table: &mut Table) {
    keys_and_values(table);
    rows(table);
    residences(table);
    options_that_disagree(table);
    closed(table);
    closures(table);
    after_a_failure(table);
}

fn keys_and_values(table: &mut Table) {
    let long = vec![b'k'; 65_536];
    let too_large =
        |error: &Error| matches!(error, Error::KeyTooLarge { len: 65_536, max: 65_535 });
    type Call = fn(&Index, &[u8]) -> Result<(), Error>;
    let calls: [(&str, Call); 11] = [
        ("get", |index, key| index.get(key).map(drop)),
        ("contains_key", |index, key| index.contains_key(key).map(drop)),
        ("reader.get", |index, key| index.reader()?.get(key).map(drop)),
        ("reader.contains_key", |index, key| index.reader()?.contains_key(key).map(drop)),
        ("get_many", |index, key| index.get_many(&[key]).map(drop)),
        ("get_many_with", |index, key| index.get_many_with(&[key], |_, _| ())),
        ("get_many_into", |index, key| {
            index.get_many_into(&[key], 1, &mut [0], &mut [false]).map(drop)
        }),
        ("insert", |index, key| index.insert(key, "v").map(drop)),
        ("remove", |index, key| index.remove(key).map(drop)),
        ("update", |index, key| index.update(key, |_| Some(vec![1])).map(drop)),
        ("compare_exchange", |index, key| index.compare_exchange(key, None, Some(b"v")).map(drop)),
    ];
    for (name, call) in calls {
        table.checked("arguments", &format!("{name} with a key of 65,536 bytes"), || {
            refused(|index| call(index, &long), too_large)
        });
    }
    table.checked("arguments", "a batch with a key of 65,536 bytes in its middle", || {
        let call = |index: &Index| {
            let mut batch = Batch::new();
            batch.insert("a", "1").insert(&long, "2").insert("b", "3");
            index.commit(batch).map(drop)
        };
        refused(call, too_large)
    });
    table.checked("arguments", "a key of 65,535 bytes and an empty one are fine", || {
        let (_disk, index) = open();
        for key in [&long[1..], &[]] {
            index.insert(key, key).unwrap();
            assert_eq!(index.get(key).unwrap().unwrap(), key);
        }
        index.close().map_err(|error| error.to_string())
    });
    table.skip("arguments", "a value of 4 GiB", "it would take that much memory");
    table.checked("arguments", "metadata of 1,025 bytes", || {
        let right =
            |error: &Error| matches!(error, Error::MetadataTooLarge { len: 1025, max: 1024 });
        refused(|index| index.set_metadata(&[0; 1025]), right)
    });
    for (name, key, value) in [
        ("key", &[1; 5][..], &[2; 8][..]),
        ("value", &[1; 4], &[2; 9]),
        ("empty key", &[], &[2; 8]),
    ] {
        table.checked("arguments", &format!("a {name} of another size than the table's"), || {
            let disk = SimulatedDisk::new(1);
            let fixed = options(&disk).key_size(Some(4)).value_size(Some(8));
            let index = fixed.open(PATH).unwrap();
            index.insert([1; 4], [2; 8]).unwrap();
            let before = image(&disk);
            let right = |error: &Error| {
                matches!(
                    error,
                    Error::KeySize { expected: 4, .. } | Error::ValueSize { expected: 8, .. }
                )
            };
            is(index.insert(key, value), right)?;
            is(index.update(key, |_| Some(value.to_vec())), right)?;
            is(index.compare_exchange(key, None, Some(value)), right)?;
            let mut batch = Batch::new();
            batch.insert(key, value);
            is(index.commit(batch), right)?;
            if before != image(&disk) {
                return Err("something changed".into());
            }
            index.close().map_err(|error| error.to_string())
        });
    }
    table.checked("arguments", "a cursor of another index", || {
        let (_disk, index) = open();
        let cursor: Cursor = "0123456789abcdef-0000000000000000".parse().unwrap();
        is(index.scan_from(cursor), |error| matches!(error, Error::ForeignCursor))
    });
    for text in ["", "-", "x", "12", "0123456789abcdef", "0123456789abcdef-zz", "é-end"] {
        table.checked("arguments", &format!("the cursor {text:?}"), || {
            is(text.parse::<Cursor>(), |error| matches!(error, Error::ForeignCursor))
        });
    }
}

fn options_that_disagree(table: &mut Table) {
    type Change = fn(Options) -> Options;
    let cases: [(&'static str, Change); 7] = [
        ("page_size", |options| options.page_size(8192)),
        ("key_size", |options| options.key_size(Some(3))),
        ("key_size", |options| options.key_size(None)),
        ("value_size", |options| options.value_size(Some(3))),
        ("value_size", |options| options.value_size(None)),
        ("hash_seed", |options| options.hash_seed(12_345)),
        ("hash_seed", |options| options.hash_seed(0).read_only(true)),
    ];
    for (n, (name, change)) in cases.into_iter().enumerate() {
        table.checked("arguments", &format!("another {name} than the file's ({n})"), || {
            let disk = SimulatedDisk::new(1);
            let fixed = options(&disk).key_size(Some(4)).value_size(Some(8));
            fixed.clone().open(PATH).unwrap().close().unwrap();
            let before = image(&disk);
            let result = change(options(&disk)).open(PATH);
            let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("data") && text.contains("; "), "{text}");
            is(
                result,
                |error| matches!(error, Error::OptionMismatch { option, .. } if *option == name),
            )?;
            if before == image(&disk) { Ok(()) } else { Err("something changed".into()) }
        });
    }
    let invalid: [(&'static str, Change); 7] = [
        ("page_size", |options| options.page_size(0)),
        ("page_size", |options| options.page_size(5_000)),
        ("page_size", |options| options.page_size(2_048)),
        ("page_size", |options| options.page_size(1 << 31)),
        ("key_size", |options| options.key_size(Some(65_536))),
        ("value_size", |options| options.value_size(Some(1 << 32))),
        ("create_new", |options| options.create_new(true).read_only(true)),
    ];
    for (n, (name, change)) in invalid.into_iter().enumerate() {
        table.checked("arguments", &format!("an impossible {name} ({n})"), || {
            let disk = SimulatedDisk::new(1);
            let result = change(options(&disk)).open(PATH);
            is(
                result,
                |error| matches!(error, Error::InvalidOption { option, .. } if *option == name),
            )?;
            if image(&disk).is_empty() { Ok(()) } else { Err("a file was made".into()) }
        });
    }
    table.checked("arguments", "create_new where a file is", || {
        let (disk, index) = open();
        index.close().unwrap();
        let exists = std::io::ErrorKind::AlreadyExists;
        is(
            options(&disk).create_new(true).open(PATH),
            |error| matches!(error, Error::Io { source, .. } if source.kind() == exists),
        )
    });
    table.checked("arguments", "create(false) where no file is", || {
        let disk = SimulatedDisk::new(1);
        is(options(&disk).create(false).open(PATH), |error| {
            matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
        })
    });
}

type Call = fn(&Index) -> Result<(), Error>;

/// Buffers and values that do not fit one another.
fn rows(table: &mut Table) {
    let cases = [
        ("a byte too few", 5, 9, 2),
        ("a byte too many", 5, 11, 2),
        ("none", 5, 0, 2),
        ("rows of more bytes than addresses", usize::MAX, 10, 2),
        ("a place too few for what was found", 5, 10, 1),
        ("a place too many for what was found", 5, 10, 3),
    ];
    for (name, row_len, len, places) in cases {
        table.checked("arguments", &format!("get_many_into: {name}"), || {
            let call = |index: &Index| {
                let (mut rows, mut found) = (vec![0; len], vec![false; places]);
                index.get_many_into(&["key", "k"], row_len, &mut rows, &mut found).map(drop)
            };
            refused(call, |error| matches!(error, Error::RowBuffer { .. }))
        });
    }
    for (name, row_len) in [("longer", 4), ("shorter", 6), ("not empty", 0)] {
        table.checked("arguments", &format!("get_many_into: a value that is {name}"), || {
            let call = |index: &Index| {
                let (mut rows, mut found) = (vec![0; 2 * row_len], [false; 2]);
                index.get_many_into(&["k", "key"], row_len, &mut rows, &mut found).map(drop)
            };
            refused(call, |error| matches!(error, Error::RowSize { row: 1, len: 5, .. }))
        });
    }
    table.checked("arguments", "get_many_into: no keys, and rows of no bytes", || {
        let (_disk, index) = open();
        let none: [&str; 0] = [];
        assert_eq!(index.get_many_into(&none, usize::MAX, &mut [], &mut []).unwrap(), 0);
        index.insert("empty", "").unwrap();
        let mut found = [false, true];
        let count = index.get_many_into(&["empty", "absent"], 0, &mut [], &mut found).unwrap();
        assert_eq!((count, found), (1, [true, false]));
        index.close().map_err(|error| error.to_string())
    });
}

fn residences(table: &mut Table) {
    for (name, change) in [
        ("huge pages for a handle that writes", (|o| o.residence(Residence::HugePages)) as Change),
        ("huge pages without a map", |o| {
            o.read_only(true).access(Access::Pread).residence(Residence::HugePages)
        }),
        ("pages fetched ahead without a map", |o| {
            o.access(Access::Pread).residence(Residence::Prefetched)
        }),
    ] {
        table.checked("arguments", name, || {
            let (disk, index) = open();
            index.close().unwrap();
            let right =
                |error: &Error| matches!(error, Error::InvalidOption { option: "residence", .. });
            is(change(options(&disk)).open(PATH), right)
        });
    }
}

/// Every method that writes.
const WRITES: [(&str, Call); 8] = [
    ("insert", |index| index.insert("a", "b").map(drop)),
    ("remove", |index| index.remove("key").map(drop)),
    ("update", |index| index.update("a", |_| Some(vec![1])).map(drop)),
    ("compare_exchange", |index| index.compare_exchange("a", None, Some(b"b")).map(drop)),
    ("commit", |index| {
        let mut batch = Batch::new();
        batch.insert("a", "b");
        index.commit(batch).map(drop)
    }),
    ("set_metadata", |index| index.set_metadata(b"mine")),
    ("checkpoint", Index::checkpoint),
    ("sync", Index::sync),
];

/// Every method that reads and can fail.
const READS: [(&str, Call); 11] = [
    ("get", |index| index.get("key").map(drop)),
    ("contains_key", |index| index.contains_key("key").map(drop)),
    ("reader", |index| index.reader().map(drop)),
    ("get_many", |index| index.get_many(&["key"]).map(drop)),
    ("get_many_with", |index| index.get_many_with(&["key"], |_, _| ())),
    ("get_many_into", |index| {
        index.get_many_into(&["key"], 5, &mut [0; 5], &mut [false]).map(drop)
    }),
    ("iter", |index| index.iter().map(drop)),
    ("metadata", |index| index.metadata().map(drop)),
    ("stats", |index| index.stats().map(drop)),
    ("check", |index| index.check().map(drop)),
    ("close", Index::close),
];

fn closed(table: &mut Table) {
    for (name, call) in READS.into_iter().chain(WRITES) {
        table.checked("arguments", &format!("{name} after close"), || {
            let (disk, index) = open();
            let clone = index.clone();
            index.close().unwrap();
            let before = image(&disk);
            is(call(&clone), |error| matches!(error, Error::Closed))?;
            if before == image(&disk) { Ok(()) } else { Err("something changed".into()) }
        });
    }
    for (name, call) in WRITES {
        table.checked("arguments", &format!("{name} on a handle for reading"), || {
            let (disk, index) = open();
            index.close().unwrap();
            let reader = options(&disk).read_only(true).open(PATH).unwrap();
            let before = image(&disk);
            let result = call(&reader);
            let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("data"), "{text}");
            is(result, |error| matches!(error, Error::ReadOnly { .. }))?;
            reader.close().unwrap();
            if before == image(&disk) { Ok(()) } else { Err("something changed".into()) }
        });
    }
}

fn closures(table: &mut Table) {
    for (name, call) in WRITES.into_iter().chain([("close", Index::close as Call)]) {
        table.checked("arguments", &format!("{name} in an update closure"), || {
            let (_disk, index) = open();
            let mut inner = None;
            let clone = index.clone();
            let there = index.update("key", |old| {
                inner = Some(call(&clone));
                old.map(<[u8]>::to_vec)
            });
            assert!(there.unwrap());
            is(inner.unwrap(), |error| matches!(error, Error::Reentrant))?;
            assert_eq!(index.get("key").unwrap().unwrap(), "value");
            drop(clone);
            index.close().map_err(|error| error.to_string())
        });
    }
    table.checked("arguments", "reads in an update closure", || {
        let (_disk, index) = open();
        let there = index.update("key", |_| Some(index.get("key").unwrap()?.repeat(2)));
        assert!(there.unwrap());
        assert_eq!(index.get("key").unwrap().unwrap(), "valuevalue");
        Ok(())
    });
    table.checked("arguments", "a panic in an update closure", || {
        let (disk, index) = open();
        let before = image(&disk);
        let panicking = std::panic::AssertUnwindSafe(|| {
            let _ = index.update("key", |_| -> Option<Vec<u8>> {
                std::panic::resume_unwind(Box::new(7_u8))
            });
        });
        let panic = std::panic::catch_unwind(panicking).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&7_u8), "the panic goes on as it was");
        assert!(before == image(&disk));
        assert_eq!(index.get("key").unwrap().unwrap(), "value");
        assert!(!index.insert("key", "other").unwrap(), "writes go on");
        index.close().map_err(|error| error.to_string())
    });
}

fn after_a_failure(table: &mut Table) {
    for (name, call) in WRITES {
        table.checked("arguments", &format!("{name} after a failed sync"), || {
            let (disk, index) = open();
            disk.fail(FaultPlan::once(Fault::FailedSync, 0));
            disk.heal();
            disk.fail(FaultPlan::from(Fault::FailedSync, disk.call_count()));
            is(index.insert("key", "lost"), |error| {
                matches!(error, Error::Io { .. } | Error::Refused { .. })
            })?;
            disk.heal();
            let result = call(&index);
            let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("data") && text.contains("open it again"), "{text}");
            is(result, |error| matches!(error, Error::Refused { .. }))?;
            // Reads go on, and show nothing that was pending.
            assert_eq!(index.get("key").unwrap().unwrap(), "value");
            assert_eq!((index.len(), index.iter().unwrap().count()), (1, 1));
            is(index.close(), |error| matches!(error, Error::Refused { .. }))?;
            drop(index);
            disk.evict();
            let index = options(&disk).open(PATH).unwrap();
            assert_eq!(index.get("key").unwrap().unwrap(), "value");
            index.close().map_err(|error| error.to_string())
        });
    }
    table.checked("arguments", "a full disk in the middle of a commit", || {
        let (disk, index) = open();
        let room: usize = image(&disk).values().map(Vec::len).sum();
        disk.set_capacity(Some(room as u64 + (64 << 10)));
        let mut acknowledged = 0;
        let error = loop {
            match index.insert(format!("{acknowledged}"), [7; 1000]) {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        full(&disk, index, acknowledged, &error)
    });
    table.checked("arguments", "a full disk in the middle of a large value", || {
        let (disk, index) = open();
        let room: usize = image(&disk).values().map(Vec::len).sum();
        disk.set_capacity(Some(room as u64 + (64 << 10)));
        let error = index.insert("large", vec![7; 1 << 20]).unwrap_err();
        full(&disk, index, 0, &error)
    });
    table.checked("arguments", "a full disk in the middle of a checkpoint", || {
        let disk = SimulatedDisk::new(1);
        let background = Durability::Background(Duration::from_secs(3600));
        let big = options(&disk).small_budgets(1 << 24, 1 << 24).durability(background);
        let index = big.open(PATH).unwrap();
        index.insert("key", "value").unwrap();
        for n in 0..2_000 {
            index.insert(format!("{n}"), [7; 100]).unwrap();
        }
        index.sync().unwrap();
        disk.set_capacity(Some(disk_len(&disk) + (16 << 10)));
        let error = index.checkpoint().unwrap_err();
        full(&disk, index, 2_000, &error)
    });
}

fn disk_len(disk: &SimulatedDisk) -> u64 {
    image(disk).values().map(Vec::len).sum::<usize>() as u64
}

/// The disk was full: what was acknowledged is there, and with room again all goes on.
fn full(disk: &SimulatedDisk, index: Index, acknowledged: usize, error: &Error) -> Outcome {
    let text = error.to_string();
    if !matches!(error, Error::StorageFull { .. }) || !text.contains("data") {
        return Err(format!("{error:?}"));
    }
    let all = |index: &Index| {
        assert_eq!(index.get("key").unwrap().unwrap(), "value");
        assert!((0..acknowledged).all(|n| index.contains_key(format!("{n}")).unwrap()));
        assert_eq!(index.len(), acknowledged as u64 + 1);
    };
    all(&index);
    disk.set_capacity(None);
    index.insert("key", "value").map_err(|error| format!("with room again: {error}"))?;
    index.checkpoint().map_err(|error| format!("with room again: {error}"))?;
    all(&index);
    index.close().map_err(|error| error.to_string())?;
    drop(index);
    let index = options(disk).open(PATH).unwrap();
    all(&index);
    assert!(index.check().unwrap().is_sound());
    index.close().map_err(|error| error.to_string())
}
