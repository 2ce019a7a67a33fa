//! Bulk loads into what is not an index, of what no index holds, with settings that make no sense.

use std::io::ErrorKind;

use splitpoint::simulation::SimulatedDisk;
use splitpoint::{BulkLoader, Error, Index, Options};

use crate::examine::{folder, image};
use crate::sample::{PATH, Sample, options};
use crate::table::{Table, named};

type Outcome = Result<(), String>;

fn is<T: std::fmt::Debug>(result: Result<T, Error>, right: impl Fn(&Error) -> bool) -> Outcome {
    match result {
        Err(error) if right(&error) && !error.to_string().is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Names in the folder, what they are, and the bytes of regular files.
fn look(folder: &std::path::Path) -> Vec<(std::ffi::OsString, String, Option<Vec<u8>>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut all: Vec<_> = entries
        .map(|entry| {
            let kind = entry.file_type().unwrap();
            let bytes = kind.is_file().then(|| std::fs::read(entry.path()).unwrap());
            (entry.file_name(), format!("{kind:?}"), bytes)
        })
        .collect();
    all.sort();
    all
}

pub(crate) fn run(table: &mut Table) {
    targets(table);
    settings(table);
    records(table);
    memory(table);
    damage(table);
}

fn targets(table: &mut Table) {
    type Make = fn(&std::path::Path);
    type Right = fn(&Error) -> bool;
    let cases: [(&str, Make, Right); 5] = [
        (
            "a folder",
            |path| std::fs::create_dir(path).unwrap(),
            |e| matches!(e, Error::Io { source, .. } if source.kind() == ErrorKind::IsADirectory),
        ),
        (
            "a text",
            |path| std::fs::write(path, "precious").unwrap(),
            |e| matches!(e, Error::NotAnIndex { .. }),
        ),
        (
            "a link that leads nowhere",
            |path| std::os::unix::fs::symlink("nothing", path).unwrap(),
            |e| matches!(e, Error::Io { .. }),
        ),
        (
            "a text under the name of the unfinished file",
            |path| std::fs::write(path.with_file_name("data.splitpoint-new"), "mine").unwrap(),
            |e| matches!(e, Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists),
        ),
        (
            "an index under the name of the unfinished file",
            |path| {
                let index = Index::open(path.with_file_name("data.splitpoint-new")).unwrap();
                index.insert("a", "b").unwrap();
                index.close().unwrap();
            },
            |e| matches!(e, Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists),
        ),
    ];
    for (name, make, right) in cases {
        table.checked("bulk", &format!("into {name}"), || {
            let folder = folder();
            let path = folder.path().join("data");
            make(&path);
            let before = look(folder.path());
            match Options::new().bulk_load(&path) {
                Err(error) if right(&error) => named(&error, "data")?,
                other => return Err(format!("{other:?}")),
            }
            if before == look(folder.path()) { Ok(()) } else { Err("changed".to_owned()) }
        });
    }
    table.checked("bulk", "a spill file under whose name is somebody's text", || {
        let folder = folder();
        std::fs::write(folder.path().join("data.splitpoint-spill"), "mine").unwrap();
        let loader = Options::new().bulk_load(folder.path().join("data")).unwrap();
        let mut loader = loader.memory_budget(1 << 20).unwrap();
        let mut results = (0..100_000_u32).map(|n| loader.insert(n.to_le_bytes(), [1; 40]));
        let error = results.find_map(Result::err).ok_or("it was taken")?;
        named(&error, "data.splitpoint-spill")?;
        is(loader.finish(), |error| matches!(error, Error::Refused { .. }))?;
        let text = std::fs::read(folder.path().join("data.splitpoint-spill")).unwrap();
        if text == b"mine" { Ok(()) } else { Err("changed".to_owned()) }
    });
}

fn settings(table: &mut Table) {
    type Set = fn(BulkLoader) -> Result<BulkLoader, Error>;
    let cases: [(&'static str, Set); 6] = [
        ("memory_budget", |loader| loader.memory_budget(0)),
        ("memory_budget", |loader| loader.memory_budget((1 << 20) - 1)),
        ("threads", |loader| loader.threads(0)),
        ("threads", |loader| loader.threads(1_000_000)),
        ("fill_percent", |loader| loader.fill_percent(0)),
        ("fill_percent", |loader| loader.fill_percent(u32::MAX)),
    ];
    for (n, (name, set)) in cases.into_iter().enumerate() {
        table.checked("bulk", &format!("{name} of no sense ({n})"), || {
            let disk = SimulatedDisk::new(1);
            let loader = options(&disk).bulk_load(PATH).unwrap();
            is(set(loader), |e| matches!(e, Error::InvalidOption { option, .. } if *option == name))
        });
    }
    let late: [(&'static str, Set); 4] = [
        ("memory_budget", |loader| loader.memory_budget(1 << 30)),
        ("threads", |loader| loader.threads(1)),
        ("replace", BulkLoader::replace),
        ("merge_with", |loader| loader.merge_with(|_, _| ())),
    ];
    for (name, set) in late {
        table.checked("bulk", &format!("{name} after the first record"), || {
            let disk = SimulatedDisk::new(1);
            let mut loader = options(&disk).bulk_load(PATH).unwrap();
            loader.insert("a", "b").unwrap();
            is(set(loader), |e| matches!(e, Error::InvalidOption { option, .. } if *option == name))
        });
    }
    table.checked("bulk", "a handle that only reads", || {
        let disk = SimulatedDisk::new(1);
        let right = |e: &Error| matches!(e, Error::InvalidOption { option: "read_only", .. });
        is(options(&disk).read_only(true).bulk_load(PATH), right)
    });
    table.checked("bulk", "into nothing, without leave to create", || {
        let disk = SimulatedDisk::new(1);
        is(options(&disk).create(false).bulk_load(PATH), |e| matches!(e, Error::Io { .. }))
    });
    table.checked("bulk", "over an index that must not be there", || {
        let disk = Sample::closed().disk();
        let before = image(&disk);
        is(options(&disk).create_new(true).bulk_load(PATH), |e| matches!(e, Error::Io { .. }))?;
        if before == image(&disk) { Ok(()) } else { Err("changed".to_owned()) }
    });
}

fn records(table: &mut Table) {
    table.checked("bulk", "records that the index cannot hold are passed over", || {
        let disk = SimulatedDisk::new(1);
        let fixed = options(&disk).key_size(Some(4)).value_size(Some(8));
        let mut loader = fixed.bulk_load(PATH).unwrap();
        loader.insert([1; 4], [2; 8]).unwrap();
        is(loader.insert([1; 5], [2; 8]), |e| matches!(e, Error::KeySize { expected: 4, .. }))?;
        is(loader.remove([1; 3]), |e| matches!(e, Error::KeySize { expected: 4, .. }))?;
        is(loader.insert([1; 4], [2; 9]), |e| matches!(e, Error::ValueSize { expected: 8, .. }))?;
        let index = loader.finish().map_err(|error| error.to_string())?;
        if index.len() == 1 { Ok(()) } else { Err(format!("{} records", index.len())) }
    });
    table.checked("bulk", "a key of 65,536 bytes", || {
        let disk = SimulatedDisk::new(1);
        let mut loader = options(&disk).bulk_load(PATH).unwrap();
        let long = vec![b'k'; 65_536];
        is(loader.insert(&long, ""), |e| matches!(e, Error::KeyTooLarge { .. }))?;
        loader.insert(&long[1..], "longest").unwrap();
        let index = loader.finish().map_err(|error| error.to_string())?;
        assert_eq!(index.get(&long[1..]).unwrap().unwrap(), "longest");
        Ok(())
    });
    table.checked("bulk", "a merged value of another size than the table's", || {
        let disk = SimulatedDisk::new(1);
        let loader = options(&disk).value_size(Some(8)).bulk_load(PATH).unwrap();
        let mut loader = loader.merge_with(|old, new| old.extend_from_slice(new)).unwrap();
        loader.insert("a", [1; 8]).unwrap();
        loader.insert("a", [2; 8]).unwrap();
        is(loader.finish(), |e| matches!(e, Error::ValueSize { len: 16, expected: 8 }))
    });
}

/// Large values of the index that is there were not counted against the budget: all of them were loaded
/// at once.
fn memory(table: &mut Table) {
    table.checked("bulk", "into an index of large values, with little memory", || {
        const COUNT: u32 = 200;
        let folder = folder();
        let path = folder.path().join("data");
        let index = Index::open(&path).unwrap();
        let value = |n: u32| n.to_le_bytes().repeat(16 << 10);
        (0..COUNT).for_each(|n| _ = index.insert(n.to_le_bytes(), value(n)).unwrap());
        index.close().unwrap();
        drop(index);
        crate::memory::begin();
        let loader = Options::new().manual().bulk_load(&path).unwrap();
        let mut loader = loader.memory_budget(1 << 20).unwrap();
        loader.insert("a", "b").unwrap();
        let index = loader.finish().unwrap();
        let peak = crate::memory::peak();
        (0..COUNT)
            .for_each(|n| assert!(*index.get(n.to_le_bytes()).unwrap().unwrap() == *value(n)));
        if peak < 10 << 20 { Ok(()) } else { Err(format!("{peak} bytes of memory")) }
    });
}

fn damage(table: &mut Table) {
    table.checked("bulk", "into an index with damaged pages", || {
        let mut sample = Sample::closed();
        let len = sample.data.0.len();
        (16_384..len).step_by(4096).for_each(|at| sample.data.0[at + 2_000] ^= 1);
        let disk = sample.disk();
        let before = image(&disk);
        let result = options(&disk).bulk_load(PATH).and_then(|mut loader| {
            loader.insert("a", "b")?;
            loader.finish()
        });
        is(result, |e| matches!(e, Error::Corruption(_)))?;
        if before == image(&disk) { Ok(()) } else { Err("changed".to_owned()) }
    });
    table.checked("bulk", "into an index that was killed", || {
        let sample = Sample::killed();
        let disk = sample.disk();
        let mut loader = options(&disk).bulk_load(PATH).map_err(|error| error.to_string())?;
        loader.insert("a", "b").unwrap();
        let index = loader.finish().map_err(|error| error.to_string())?;
        assert_eq!(index.len(), sample.keys.len() as u64 + 1);
        let found = sample.keys.iter().all(|key| index.contains_key(key).unwrap());
        if found { Ok(()) } else { Err("commits of the log are missing".to_owned()) }
    });
}
