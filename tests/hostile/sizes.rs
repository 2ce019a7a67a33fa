//! Damaged pages of a table whose keys and values have fixed sizes, of eight bytes each.

use splitpoint::Promise as P;
use splitpoint::simulation::Rng;

use crate::examine::examine;
use crate::file::{BUCKET_ROOT, File, HEADER, PAGE};
use crate::sample::Sample;
use crate::table::{Expect, Row, Table};

/// Offset of the sizes in a page's header, and in a meta page of each of the two.
const SIZES: usize = 56;
const META_KEY_SIZE: usize = 72;
const META_VALUE_SIZE: usize = 80;
/// Cells of such a page, and where its records begin.
const CELLS: usize = 8;
const RECORDS: usize = HEADER + CELLS * 64;
const SLOTS: usize = 220;

/// Offsets of tag and record of each slot, by FORMAT.md's rule, with the tag.
fn slots(file: &File, page: usize) -> Vec<(usize, usize, u16)> {
    let (base, extra) = (SLOTS / CELLS, SLOTS % CELLS);
    let of_cell = |cell: usize| (0..base + usize::from(cell < extra)).map(move |slot| (cell, slot));
    (0..CELLS)
        .flat_map(of_cell)
        .map(|(cell, slot)| {
            let tag = page + HEADER + 64 * cell + 4 + 2 * slot;
            let record = page + RECORDS + 16 * (cell * base + cell.min(extra) + slot);
            (tag, record, u16::from_le_bytes([file.0[tag], file.0[tag + 1]]))
        })
        .collect()
}

fn set_tag(file: &mut File, at: usize, tag: u16) {
    file.0[at..at + 2].copy_from_slice(&tag.to_le_bytes());
}

/// A row whose damage is sealed.
macro_rules! sealed {
    ($name:expr, $expect:expr, $damage:expr) => {
        Row {
            name: $name,
            expect: $expect,
            damage: |file: &mut File| {
                let damage: fn(&mut File) = $damage;
                damage(file);
                file.seal();
            },
        }
    };
}

pub(crate) fn run(table: &mut Table) {
    let fixed = Sample::fixed();
    for row in headers().into_iter().chain(tags()) {
        table.row("pages of fixed sizes", &fixed, row);
    }
    let general = Sample::closed();
    let row = sealed!("a meta page that says sizes are fixed", Expect::Touch(P::RecordSize), |f| {
        f.set_meta(META_KEY_SIZE, 7);
        f.set_meta(META_VALUE_SIZE, 9);
    });
    table.row("pages of fixed sizes", &general, row);
    table.checked("pages of fixed sizes", "random damage", || {
        for seed in 0..100 {
            crate::watch::begin(&format!("random damage of fixed sizes, seed {seed}"));
            let mut rng = Rng::new(seed);
            let mut sample = fixed.clone();
            for _ in 0..=rng.below(4) {
                damage(&mut sample.data, &mut rng);
            }
            sample.data.seal();
            examine(&sample).map_err(|words| format!("seed {seed}: {words}"))?;
        }
        Ok(())
    });
}

fn damage(file: &mut File, rng: &mut Rng) {
    let page = [file.bucket(), file.overflow()][rng.below(2)];
    let word = page + 8 * [rng.below(8), 8 + rng.below(64), rng.below(PAGE / 8)][rng.below(3)];
    match rng.below(3) {
        0 => file.0[word + rng.below(8)] ^= 1 << rng.below(8),
        1 => file.put(word, [0, 1, u64::MAX, 0x0001_0001_0001_0001][rng.below(4)]),
        _ => file.put(word, rng.next()),
    }
}

fn headers() -> Vec<Row> {
    use Expect::{Sound, Touch};
    vec![
        sealed!("fixed: sealed anew, undamaged", Sound, |_| ()),
        sealed!("fixed: no cells", Touch(P::CellCount), |f| {
            let at = f.bucket();
            f.0[at + 5] = 0;
        }),
        sealed!("fixed: a cell less than the sizes make", Touch(P::CellCount), |f| {
            let at = f.bucket();
            f.0[at + 5] = 7;
        }),
        sealed!("fixed: a cell more than the sizes make", Touch(P::CellCount), |f| {
            let at = f.bucket();
            f.0[at + 5] = 9;
        }),
        sealed!("fixed: another key size", Touch(P::RecordSize), |f| {
            let at = f.bucket();
            f.put32(at + SIZES, 1 << 31 | 7 << 15 | 9);
        }),
        sealed!("fixed: records of no bytes", Touch(P::RecordSize), |f| {
            let at = f.bucket();
            f.put32(at + SIZES, 1 << 31);
        }),
        sealed!("fixed: records larger than the page", Touch(P::RecordSize), |f| {
            let at = f.bucket();
            f.put32(at + SIZES, u32::MAX);
        }),
        sealed!("fixed: bit 30", Touch(P::RecordSize), |f| {
            let at = f.bucket();
            f.put32(at + SIZES, 3 << 30 | 8 << 15 | 8);
        }),
        sealed!("fixed: a page of any sizes among them", Touch(P::RecordSize), |f| {
            let at = f.bucket();
            f.put32(at + SIZES, 4096);
        }),
        sealed!("fixed: another size in an overflow page", Touch(P::RecordSize), |f| {
            let at = f.overflow();
            f.put32(at + SIZES, 1 << 31 | 1 << 15);
        }),
        sealed!("fixed: a record count that lies", Touch(P::Count), |f| {
            let at = f.bucket();
            f.put(at, f.get(at) ^ 1 << 48);
        }),
        sealed!("fixed: a length of live records that lies", Touch(P::Count), |f| {
            let at = f.bucket();
            f.put32(at + 60, u32::MAX);
        }),
        sealed!("fixed: the meta page has another key size", Touch(P::RecordSize), |f| {
            f.set_meta(META_KEY_SIZE, 8);
        }),
        sealed!("fixed: the meta page has values of any size", Touch(P::RecordSize), |f| {
            f.set_meta(META_VALUE_SIZE, 0);
        }),
        sealed!("fixed: the meta page has larger records than a page", Touch(P::RecordSize), |f| {
            f.set_meta(META_VALUE_SIZE, 1 << 32);
        }),
    ]
}

fn tags() -> Vec<Row> {
    use Expect::{Check, Touch};
    vec![
        sealed!("fixed: a spill longer than the page", Touch(P::Reserved), |f| {
            let at = f.bucket();
            f.0[at + HEADER + 2] = 8;
        }),
        sealed!("fixed: the reserved byte of a cell", Touch(P::Reserved), |f| {
            let at = f.bucket();
            f.0[at + HEADER + 3] = 1;
        }),
        sealed!("fixed: a tag beyond a cell's slots", Touch(P::RecordBounds), |f| {
            let at = f.bucket();
            set_tag(f, at + HEADER + 4 + 2 * 28, 77);
        }),
        sealed!("fixed: a tag whose place is beyond the page", Touch(P::RecordBounds), |f| {
            let at = f.bucket();
            set_tag(f, at + HEADER + 64 * (CELLS - 1) + 4 + 2 * 29, 77);
        }),
        sealed!("fixed: a tag that lies", Check(P::RecordPlace), |f| {
            let tags = slots(f, f.bucket());
            let live = tags.iter().find(|slot| slot.2 > 1).unwrap();
            set_tag(f, live.0, live.2 ^ 0x4000);
        }),
        sealed!("fixed: a dead slot that is counted", Touch(P::Count), |f| {
            let tags = slots(f, f.bucket());
            set_tag(f, tags.iter().find(|slot| slot.2 > 1).unwrap().0, 1);
        }),
        sealed!("fixed: a place that never had a record", Check(P::RecordPlace), |f| {
            let page = f.entries(BUCKET_ROOT).into_iter().map(|(_, at)| at);
            let page = page.min_by_key(|&at| f.get(at) >> 48).unwrap();
            let free = *slots(f, page).iter().find(|slot| slot.2 == 0).unwrap();
            set_tag(f, free.0, 77);
            f.put(page, f.get(page) + (1 << 48));
            f.put32(page + 60, f.get32(page + 60) + 16);
        }),
        sealed!("fixed: a key of another slot", Check(P::RecordPlace), |f| {
            let tags = slots(f, f.bucket());
            let live = tags.iter().find(|slot| slot.2 > 1).unwrap();
            f.0[live.1] ^= 1;
        }),
        sealed!("fixed: the same key twice", Check(P::DuplicateKey), |f| {
            let tags = slots(f, f.bucket());
            let live: Vec<_> = tags.iter().filter(|slot| slot.2 > 1).collect();
            f.0.copy_within(live[0].1..live[0].1 + 16, live[1].1);
            set_tag(f, live[1].0, live[0].2);
        }),
    ]
}
