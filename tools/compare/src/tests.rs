//! Each store gives back what was put in, through the trait by which it is measured.

use std::path::PathBuf;

use crate::data::{ABSENT, Batch, Probes, Shape, check_of};
use crate::store::{Ask, Kind, Need, Reader, Setup, Sink, Store};
use crate::stores;

const RECORDS: u64 = 3000;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("compare-test-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn setup(kind: &Kind, shape: Shape, durable: bool) -> Setup {
    let name = format!("{}-{}-{}", kind.name.replace(' ', "-"), shape.value, durable);
    Setup { folder: folder(&name), shape, records: RECORDS, durable, cold: false, memory: None }
}

fn looked_up(store: &dyn Store, probes: &Probes) -> (u64, u64) {
    let (mut one, mut many) = (Sink::default(), Sink::default());
    let mut reader: Box<dyn Reader + '_> = store.reader().unwrap();
    for key in probes.keys().iter() {
        reader.get(key, &mut one).unwrap();
    }
    reader.get_many(probes.keys(), &mut many).unwrap();
    assert_eq!((one.found, one.sum), (many.found, many.sum));
    (one.found, one.sum)
}

/// Load, overwrite, remove, close and open again: as far as the store can.
fn check(kind: &Kind, shape: Shape, durable: bool) {
    let can = |need| (kind.cannot)(&Ask { shape, need }).is_none();
    if !can(Need::Read) || durable && !can(Need::Durable) {
        return;
    }
    let setup = setup(kind, shape, durable);
    let mut store = (kind.open)(&setup).unwrap();
    let mut batch = Batch::new(shape);
    for first in (0..RECORDS).step_by(500) {
        store.write(batch.fill(first..first + 500, 0)).unwrap();
    }
    store.sync().unwrap();
    if can(Need::Reopen) {
        store.close().unwrap();
        store = (kind.open)(&setup).unwrap();
    }
    let all = Probes::new(shape, (0..RECORDS).collect());
    assert_eq!(looked_up(&*store, &all), (RECORDS, all.sum()), "{}", kind.name);
    let absent = Probes::new(shape, (ABSENT..ABSENT + 500).collect());
    assert_eq!(looked_up(&*store, &absent).0, 0, "{}", kind.name);
    matrix(kind, &*store, shape);
    if can(Need::Write) {
        changes(kind, &setup, store, &all);
    } else {
        store.close().unwrap();
    }
    std::fs::remove_dir_all(&setup.folder).unwrap();
}

/// Values go to the rows of their keys.
fn matrix(kind: &Kind, store: &dyn Store, shape: Shape) {
    let probes = Probes::new(shape, vec![5, ABSENT, 7]);
    let mut matrix = vec![0; 3 * shape.value];
    let mut sink = Sink { matrix: Some((&mut matrix, shape.value)), ..Sink::default() };
    store.reader().unwrap().get_many(probes.keys(), &mut sink).unwrap();
    let sums: Vec<u64> = matrix.chunks(shape.value).map(crate::data::fold).collect();
    assert_eq!(sums, [check_of(5), 0, check_of(7)], "{}", kind.name);
}

fn changes(kind: &Kind, setup: &Setup, store: Box<dyn Store>, all: &Probes) {
    let mut batch = Batch::new(setup.shape);
    store.write(batch.fill(0..100, 1)).unwrap();
    assert_eq!(looked_up(&*store, all), (RECORDS, all.sum()), "{}", kind.name);
    let mut value = vec![0; setup.shape.value];
    crate::data::write_value(7, 1, &mut value);
    let mut found = vec![0; setup.shape.value];
    let seven = Probes::new(setup.shape, vec![7]);
    let mut sink = Sink { matrix: Some((&mut found, setup.shape.value)), ..Sink::default() };
    store.reader().unwrap().get_many(seven.keys(), &mut sink).unwrap();
    assert_eq!(found, value, "{}", kind.name);
    let (gone, kept) = ((0..1000).collect(), (1000..RECORDS).collect());
    store.delete(Probes::new(setup.shape, gone).keys()).unwrap();
    let kept = Probes::new(setup.shape, kept);
    assert_eq!(looked_up(&*store, all), (RECORDS - 1000, kept.sum()), "{}", kind.name);
    store.close().unwrap();
}

#[test]
fn every_store_gives_back_what_was_put_in() {
    for kind in stores::all() {
        for (key, value) in [(16, 100), (8, 8), (24, 150), (16, 40), (16, 3072)] {
            check(&kind, Shape { key, value }, false);
        }
        check(&kind, Shape { key: 16, value: 100 }, true);
    }
}

#[test]
fn a_table_under_a_limit_of_memory_is_the_same_table() {
    let shape = Shape { key: 16, value: 100 };
    for kind in stores::all() {
        if (kind.cannot)(&Ask { shape, need: Need::Reopen }).is_some() {
            continue;
        }
        let mut setup = setup(&kind, shape, false);
        setup.folder = folder(&format!("{}-limited", kind.name.replace(' ', "-")));
        (setup.memory, setup.cold) = (Some(32 << 20), true);
        let store = (kind.open)(&setup).unwrap();
        let mut batch = Batch::new(shape);
        store.write(batch.fill(0..RECORDS, 0)).unwrap();
        store.close().unwrap();
        let store = (kind.open)(&setup).unwrap();
        let all = Probes::new(shape, (0..RECORDS).collect());
        assert_eq!(looked_up(&*store, &all), (RECORDS, all.sum()), "{}", kind.name);
        store.close().unwrap();
        std::fs::remove_dir_all(&setup.folder).unwrap();
    }
}

#[test]
fn durable_appends_are_in_the_file() {
    let shape = Shape { key: 16, value: 100 };
    let kind = stores::all().into_iter().find(|kind| kind.name == "append").unwrap();
    let setup = Setup {
        folder: folder("append"),
        shape,
        records: 1,
        durable: true,
        cold: false,
        memory: None,
    };
    let store = (kind.open)(&setup).unwrap();
    let mut batch = Batch::new(shape);
    store.write(batch.fill(0..2, 0)).unwrap();
    let bytes = std::fs::read(setup.folder.join("append")).unwrap();
    let (key, value) = batch.iter().nth(1).unwrap();
    assert_eq!((&bytes[116..132], &bytes[132..232]), (key, value));
    std::fs::remove_dir_all(&setup.folder).unwrap();
}
