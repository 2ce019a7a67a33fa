//! Damaged pages behind a sound meta page.

use splitpoint::Promise as P;
use splitpoint::simulation::Rng;

use crate::examine::examine;
use crate::file::{
    BITMAP_ROOT, BUCKET_ROOT, File, HEADER, NEXT, PAGE, PAGE_COUNT, RUN_ROOT, VALUE_ROOT, pointer,
};
use crate::sample::Sample;
use crate::table::{Expect, Row, Table};

/// Damages, then seals everything.
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

pub(crate) use sealed;

/// Damages and leaves the checksums as they were.
fn raw(name: &'static str, expect: Expect, damage: fn(&mut File)) -> Row {
    Row { name, expect, damage }
}

/// Ors into the first word of a page: kind, cells and records are bytes of it.
fn set_byte(file: &mut File, at: usize, value: u8) {
    file.0[at] = value;
}

pub(crate) fn run(table: &mut Table) {
    let closed = Sample::closed();
    for row in whole_pages().into_iter().chain(chains()).chain(cells()).chain(trees()) {
        table.row("pages", &closed, row);
    }
    for row in crate::values::rows() {
        table.row("values", &closed, row);
    }
    let sweeping = Sample::sweeping();
    for row in sweeps() {
        table.row("pages in a sweep", &sweeping, row);
    }
    fuzz(table, &[closed, sweeping, Sample::killed()]);
}

fn whole_pages() -> Vec<Row> {
    use Expect::{Check, Touch};
    vec![
        raw("sealed anew, undamaged", Expect::Sound, File::seal),
        raw("a flipped bit in a bucket page", Touch(P::PageChecksum), |f| {
            let at = f.bucket();
            f.0[at + 3000] ^= 4;
        }),
        raw("a flipped bit in an overflow page", Touch(P::PageChecksum), |f| {
            let at = f.overflow();
            f.0[at + 4000] ^= 4;
        }),
        raw("a stale copy of a page: right sum, wrong pointer", Touch(P::PointerChecksum), |f| {
            let at = f.bucket();
            f.put(at + 24, 1);
            let sum = crc32fast::hash(&f.0[at + 4..at + PAGE]);
            f.put32(at, sum);
        }),
        raw("a bucket page of zeros", Touch(P::PageChecksum), |f| {
            let at = f.bucket();
            f.0[at..at + PAGE].fill(0);
        }),
        sealed!("a bucket page of zeros, sealed", Touch(P::PageKind), |f| {
            let at = f.bucket();
            f.0[at..at + PAGE].fill(0);
        }),
        sealed!("a bucket page of ones, sealed", Touch(P::PageKind), |f| {
            let at = f.bucket();
            f.0[at..at + PAGE].fill(0xff);
        }),
        sealed!("another page's number", Touch(P::PageNumber), |f| {
            let at = f.bucket();
            f.put(at + 8, 7);
        }),
        sealed!("another file's id", Touch(P::FileId), |f| {
            let at = f.bucket();
            f.put(at + 16, 7);
        }),
        sealed!("a page from the future", Check(P::PageGeneration), |f| {
            let at = f.bucket();
            f.put(at + 24, 1 << 40);
        }),
        sealed!("wrong kind", Touch(P::PageKind), |f| {
            let at = f.bucket();
            set_byte(f, at + 4, 5);
        }),
        sealed!("unknown kind", Touch(P::PageKind), |f| {
            let at = f.bucket();
            set_byte(f, at + 4, 200);
        }),
        sealed!("another bucket's page", Touch(P::PageOwner), |f| {
            let at = f.bucket();
            f.put(at + 32, 1 << 50);
        }),
        sealed!("a page of another layout", Touch(P::PageOwner), |f| {
            let at = f.bucket();
            f.put(at + 40, 1 << 50);
        }),
        sealed!("keys in the wrong bucket", Check(P::RecordBucket), |f| {
            let (a, b) = (f.entries(BUCKET_ROOT)[2].1, f.entries(BUCKET_ROOT)[3].1);
            let (first, number, owner) = (f.get(a), f.get(b + 8), f.get(b + 32));
            f.0.copy_within(a..a + PAGE, b);
            f.put(b, first);
            f.put(b + 8, number);
            f.put(b + 32, owner);
        }),
    ]
}

fn chains() -> Vec<Row> {
    use Expect::{Check, Open, Touch};
    vec![
        sealed!("next is the page itself, unsound", Check(P::PageUse), |f| {
            let at = f.overflow();
            f.put(at + NEXT, pointer(0, at / PAGE, 5));
        }),
        raw("next is the page itself, forged", Touch(P::ChainLength), |f| {
            let at = f.overflow();
            f.seal();
            let wanted = 0x1234_5678;
            f.put(at + NEXT, pointer(0, at / PAGE, wanted));
            // The tag of an empty slot, or the bytes of a value: nothing that steers a search.
            let free = f.slots(at).last().unwrap().1 + 24;
            f.forge(at, free, wanted);
            f.set_chain(pointer(0, at / PAGE, wanted));
        }),
        raw("a circle of two pages, forged", Touch(P::ChainLength), |f| {
            let at = f.overflow();
            f.seal();
            let (new, wanted) = (f.push_copy(at), 0x1234_5678);
            f.put(new + NEXT, pointer(0, at / PAGE, wanted));
            let next = f.seal_page(new);
            f.put(at + NEXT, next);
            let free = f.slots(at).last().unwrap().1 + 24;
            f.forge(at, free, wanted);
            f.set_chain(pointer(0, at / PAGE, wanted));
        }),
        raw("a chain of more pages than are used", Touch(P::ChainLength), |f| {
            let at = f.overflow();
            f.seal();
            let mut next = 0;
            for _ in 0..2_000 {
                let new = f.push_copy(at);
                f.put(new + NEXT, next);
                next = f.seal_page(new);
            }
            f.put(at + NEXT, next);
            let head = f.seal_page(at);
            f.set_chain(head);
        }),
        sealed!("next is a bucket page", Touch(P::PageKind), |f| {
            let (at, bucket) = (f.overflow(), f.bucket());
            f.put(at + NEXT, pointer(0, bucket / PAGE, 0));
        }),
        sealed!("next beyond the end", Touch(P::PageRange), |f| {
            let at = f.overflow();
            f.put(at + NEXT, pointer(0, (1 << 30) - 1, 0));
        }),
        sealed!("next is the page count", Check(P::PageRange), |f| {
            let (at, count) = (f.overflow(), f.get(f.meta() + PAGE_COUNT));
            f.put(at + NEXT, pointer(0, count as usize, 0));
        }),
        sealed!("next is a meta page", Check(P::PageRange), |f| {
            let at = f.overflow();
            f.put(at + NEXT, pointer(0, 1, 0));
        }),
        sealed!("next claims to be checked", Touch(P::PageRange), |f| {
            let (at, bucket) = (f.overflow(), f.bucket());
            f.put(at + NEXT, pointer(1, bucket / PAGE, 0xff));
        }),
        sealed!("next claims to be in memory", Touch(P::PageRange), |f| {
            let at = f.overflow();
            f.put(at + NEXT, pointer(2, 3, 0xff));
        }),
        sealed!("next claims to be in memory, far away", Touch(P::PageRange), |f| {
            let at = f.overflow();
            f.put(at + NEXT, pointer(2, (1 << 30) - 1, 2));
        }),
        sealed!("next of the fourth form", Touch(P::PageRange), |f| {
            let at = f.overflow();
            f.put(at + NEXT, u64::MAX);
        }),
        sealed!("a chain into a free page", Expect::Survive, |f| {
            let at = f.overflow();
            let new = f.0.len() / PAGE;
            let copy = f.0[at..at + PAGE].to_vec();
            f.0.extend(copy);
            f.put(new * PAGE + 8, new as u64);
            f.put(at + NEXT, pointer(0, new, 0));
        }),
        sealed!("joined chains", Open(P::PageUse), |f| {
            let leaf = f.leaf(RUN_ROOT) + HEADER;
            let head = f.entries(RUN_ROOT)[0].1;
            let free = (0..100).find(|i| f.get(leaf + 8 * i) == 0);
            f.put(leaf + 8 * free.unwrap(), pointer(0, head / PAGE, 0));
        }),
        sealed!("a bucket's filter denies what is in overflow", Check(P::OverflowFilter), |f| {
            for (_, page) in f.entries(BUCKET_ROOT) {
                for cell in 0..usize::from(f.0[page + 5]) {
                    f.0[page + HEADER + 64 * cell] = 0;
                    f.0[page + HEADER + 64 * cell + 1] = 0;
                }
            }
        }),
        sealed!("a run without its chain", Check(P::PageUse), |f| {
            let leaf = f.leaf(RUN_ROOT) + HEADER;
            (0..(PAGE - HEADER) / 8).for_each(|i| f.put(leaf + 8 * i, 0));
        }),
    ]
}

fn cells() -> Vec<Row> {
    use Expect::{Check, Touch};
    vec![
        sealed!("no cells", Touch(P::CellCount), |f| {
            let at = f.bucket();
            set_byte(f, at + 5, 0);
        }),
        sealed!("more cells than the page has room for", Touch(P::CellCount), |f| {
            let at = f.bucket();
            set_byte(f, at + 5, 255);
        }),
        sealed!("a record count that lies", Touch(P::Count), |f| {
            let at = f.bucket();
            f.put(at, f.get(at) ^ 1 << 48);
        }),
        sealed!("a length of live records that lies", Touch(P::RecordBounds), |f| {
            let at = f.bucket();
            f.put32(at + 60, u32::MAX);
        }),
        sealed!("a heap that begins in the cells", Touch(P::RecordBounds), |f| {
            let at = f.bucket();
            f.put32(at + 56, 64);
        }),
        sealed!("a heap beyond the page", Touch(P::RecordBounds), |f| {
            let at = f.bucket();
            f.put32(at + 56, 0x7fff_ffff);
        }),
        sealed!("a bucket page that leads on", Touch(P::Reserved), |f| {
            let (at, overflow) = (f.bucket(), f.overflow());
            f.put(at + NEXT, pointer(0, overflow / PAGE, f.get32(overflow)));
        }),
        sealed!("a spill longer than the page", Touch(P::Reserved), |f| {
            let at = f.bucket();
            set_byte(f, at + HEADER + 2, 255);
        }),
        sealed!("a slot beyond the page", Touch(P::RecordBounds), |f| {
            let slot = f.slots(f.bucket())[0].0;
            f.put32(slot, f.get32(slot) | 0xffff_0000);
        }),
        sealed!("a slot into the cells", Touch(P::RecordBounds), |f| {
            let slot = f.slots(f.bucket())[0].0;
            f.put32(slot, f.get32(slot) & 0xffff | 64 << 16);
        }),
        sealed!("a slot at the last byte", Touch(P::RecordBounds), |f| {
            let slot = f.slots(f.bucket())[0].0;
            f.put32(slot, f.get32(slot) & 0xffff | 4095 << 16);
        }),
        sealed!("lengths that overflow", Touch(P::RecordBounds), |f| {
            let record = f.slots(f.bucket())[0].1;
            f.0[record..record + 5].fill(0xff);
        }),
        sealed!("a key longer than its page", Touch(P::RecordBounds), |f| {
            let records = f.slots(f.bucket());
            let record = records.iter().map(|slot| slot.1).max().unwrap();
            f.0[record] = 0xfd;
        }),
        // Longer by three bytes than what it holds: a copy of it once ended in the next record's bytes.
        sealed!("a header that is not the shortest", Touch(P::RecordBounds), |f| {
            let at = f.bucket();
            let record = f.slots(at)[0].1;
            let len = 2 + u32::from(f.0[record]) + u32::from(f.0[record + 1]);
            f.0[record..record + 5].copy_from_slice(&[0xff, 1, 0, 0, 0]);
            f.put32(at + 60, f.get32(at + 60) + 3 - len);
        }),
        sealed!("a tag that lies", Check(P::RecordPlace), |f| {
            let slot = f.slots(f.bucket())[0].0;
            f.put32(slot, f.get32(slot) ^ 1);
        }),
        sealed!("two slots for one record", Touch(P::Count), |f| {
            let slots = f.slots(f.bucket());
            f.put32(slots[1].0, f.get32(slots[0].0));
        }),
        sealed!("the same key twice", Check(P::DuplicateKey), |f| {
            let at = f.bucket();
            let slots = f.slots(at);
            let len = |f: &File, record: usize| {
                let long = f.0[record + 1] == 0xff;
                2 + usize::from(f.0[record]) + usize::from(f.0[record + 1]) + usize::from(long)
            };
            let same = |a: &&(usize, usize)| len(f, a.1) < 60;
            let small = *slots.iter().find(same).unwrap();
            let big = slots.iter().find(|slot| len(f, slot.1) > len(f, small.1)).unwrap();
            let (from, to) = (len(f, small.1), len(f, big.1));
            f.0.copy_within(small.1..small.1 + from, big.1);
            f.put32(big.0, f.get32(big.0) & 0xffff_0000 | f.get32(small.0) & 0xffff);
            f.put32(at + 60, f.get32(at + 60) + from as u32 - to as u32);
        }),
        sealed!("a large record out of range", Touch(P::PageRange), |f| {
            let large = f.large()[0];
            f.set_place(large, (1 << 40) - 1);
        }),
        sealed!("a large record in the meta pages", Touch(P::ValueChecksum), |f| {
            let large = f.large()[0];
            f.set_place(large, 0);
        }),
        sealed!("a large record of another length", Touch(P::ValueChecksum), |f| {
            let large = f.large()[0];
            f.put32(large + 3, f.get32(large + 3) - 1);
        }),
        sealed!("a large record of 4 GiB", Touch(P::PageRange), |f| {
            let large = f.large()[0];
            f.put32(large + 3, u32::MAX);
        }),
        sealed!("a large record of nothing", Touch(P::ValueChecksum), |f| {
            let large = f.large()[0];
            f.put32(large + 3, 0);
        }),
        raw("a flipped bit in a value", Touch(P::ValueChecksum), |f| {
            let large = f.large()[0];
            let start = f.place(large) as usize * 64;
            f.0[start + 100] ^= 1;
        }),
    ]
}

fn trees() -> Vec<Row> {
    use Expect::{Check, Open};
    vec![
        raw("a flipped bit in a directory", Open(P::PageChecksum), |f| {
            let at = f.leaf(BUCKET_ROOT);
            f.0[at + 4000] ^= 1;
        }),
        raw("a flipped bit in the bitmap", Open(P::PageChecksum), |f| {
            let at = f.leaf(BITMAP_ROOT);
            f.0[at + 64] ^= 1;
        }),
        sealed!("a page of two buckets", Open(P::PageUse), |f| {
            let at = f.leaf(BUCKET_ROOT) + HEADER;
            f.put(at, f.get(at + 8));
        }),
        sealed!("a directory entry beyond the file", Open(P::PageRange), |f| {
            let at = f.leaf(BUCKET_ROOT) + HEADER;
            f.put(at, pointer(0, (1 << 30) - 1, 0));
        }),
        sealed!("a directory entry of another form", Open(P::PageRange), |f| {
            let at = f.leaf(BUCKET_ROOT) + HEADER;
            f.put(at, pointer(2, 0, 0));
        }),
        sealed!("a directory entry to a meta page", Open(P::PageRange), |f| {
            // Not the newest, which would be damaged by sealing what is pointed to.
            let (at, newest) = (f.leaf(BUCKET_ROOT) + HEADER, f.meta() / PAGE);
            f.put(at, pointer(0, (1..4).find(|slot| *slot == newest % 4 + 1).unwrap_or(1), 0));
        }),
        sealed!("entries behind the last bucket", Open(P::PageRange), |f| {
            let (at, bitmap) = (f.leaf(BUCKET_ROOT) + PAGE - 8, f.leaf(BITMAP_ROOT) + HEADER);
            let free = (4..).find(|page| f.0[bitmap + page / 8] >> (page % 8) & 1 == 0).unwrap();
            f.put(at, pointer(0, free, 0));
        }),
        sealed!("a directory that points to itself", Open(P::PageUse), |f| {
            let leaf = f.leaf(BUCKET_ROOT);
            f.put(leaf + HEADER, pointer(0, leaf / PAGE, 0));
        }),
        sealed!("a directory page of another level", Open(P::PageKind), |f| {
            let at = f.leaf(BUCKET_ROOT);
            set_byte(f, at + 5, 1);
            (0..(PAGE - HEADER) / 8).for_each(|i| f.put(at + HEADER + 8 * i, 0));
        }),
        sealed!("a bucket without its page", Check(P::PageUse), |f| {
            let at = f.leaf(BUCKET_ROOT) + HEADER;
            f.put(at, 0);
        }),
        sealed!("the bitmap calls a used page free", Open(P::PageUse), |f| {
            let (bitmap, page) = (f.leaf(BITMAP_ROOT) + HEADER, f.bucket() / PAGE);
            f.0[bitmap + page / 8] &= !(1 << (page % 8));
            let free = f.get(f.meta() + 96);
            f.put(f.meta() + 96, free + 1);
        }),
        sealed!("the bitmap calls a chain's page free", Open(P::PageUse), |f| {
            let (bitmap, page) = (f.leaf(BITMAP_ROOT) + HEADER, f.overflow() / PAGE);
            f.0[bitmap + page / 8] &= !(1 << (page % 8));
            f.put(f.meta() + 96, f.get(f.meta() + 96) + 1);
        }),
        sealed!("the bitmap calls a value page free", Open(P::PageUse), |f| {
            let large = f.large()[0];
            let (bitmap, page) = (f.leaf(BITMAP_ROOT) + HEADER, f.place(large) as usize / 64);
            f.0[bitmap + page / 8] &= !(1 << (page % 8));
            f.put(f.meta() + 96, f.get(f.meta() + 96) + 1);
        }),
        sealed!("the bitmap calls a meta page free", Open(P::PageUse), |f| {
            let bitmap = f.leaf(BITMAP_ROOT) + HEADER;
            f.0[bitmap] &= !2;
            f.put(f.meta() + 96, f.get(f.meta() + 96) + 1);
        }),
        sealed!("the bitmap calls all pages used", Expect::Survive, |f| {
            let (bitmap, meta) = (f.leaf(BITMAP_ROOT) + HEADER, f.meta());
            let count = f.get(meta + PAGE_COUNT) as usize;
            (0..count).for_each(|page| f.0[bitmap + page / 8] |= 1 << (page % 8));
            f.put(meta + 96, 0);
        }),
        sealed!("bits past the end of the bitmap", Open(P::PageUse), |f| {
            let (bitmap, count) = (f.leaf(BITMAP_ROOT) + HEADER, f.get(f.meta() + PAGE_COUNT));
            let page = count as usize;
            f.0[bitmap + page / 8] |= 1 << (page % 8);
        }),
    ]
}

/// Damage that only a layout on its way to another can have.
fn sweeps() -> Vec<Row> {
    use Expect::{Check, Open, Survive};
    vec![
        raw("undamaged", Expect::Sound, |_| ()),
        raw("splitpoint 0", Survive, |f| f.set_meta(184, 0)),
        raw("splitpoint at MAX", Open(P::MetaField), |f| f.set_meta(184, u64::MAX)),
        raw("splitpoint moved by one", Open(P::MetaField), |f| {
            f.set_meta(184, f.get(f.meta() + 184) + 1);
        }),
        raw("the sweep forgotten", Survive, |f| {
            let meta = f.meta();
            (160..192).step_by(8).for_each(|at| f.put(meta + at, 0));
            f.seal_meta(meta);
        }),
        raw("both layouts of one size", Open(P::PageOwner), |f| {
            f.set_meta(160, f.get(f.meta() + 136));
        }),
        raw("both layouts of one root", Open(P::PageUse), |f| {
            f.set_meta(168, f.get(f.meta() + 144));
        }),
        raw("a splitpoint a run back", Check(P::SweptEntry), |f| {
            // Bucket counts and runs of 16 buckets, as the format says.
            let (meta, count) = (f.meta(), f.get(f.meta() + 136));
            let bucket = (u128::from(f.get(meta + 184)) * u128::from(count)) >> 64;
            let start = ((bucket - 16) << 64).div_ceil(u128::from(count));
            f.set_meta(184, start as u64);
        }),
    ]
}

/// Random damage, sealed three times in four: only what holds for all is asserted. One row.
fn fuzz(table: &mut Table, samples: &[Sample]) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rounds = number("SPLITPOINT_FUZZ").unwrap_or(200);
    let seeds = number("SPLITPOINT_SEED").map_or(0..rounds, |seed| seed..seed + 1);
    table.checked("pages", &format!("random damage, seeds {seeds:?}"), || {
        for seed in seeds.clone() {
            crate::watch::begin(&format!("random damage, seed {seed}"));
            let mut rng = Rng::new(seed);
            let sound = &samples[rng.below(samples.len())];
            let mut sample = sound.clone();
            for _ in 0..=rng.below(4) {
                damage(&mut sample.data, &sound.data, &mut rng);
            }
            if rng.below(4) > 0 {
                sample.data.seal();
            }
            examine(&sample).map_err(|words| format!("seed {seed}: {words}"))?;
        }
        Ok(())
    });
}

/// Damages a place that was found in the sound file.
fn damage(file: &mut File, sound: &File, rng: &mut Rng) {
    let trees = [BUCKET_ROOT, RUN_ROOT, BITMAP_ROOT, VALUE_ROOT].map(|root| sound.leaf(root));
    let pages = [trees.to_vec(), vec![sound.bucket(), sound.overflow(), sound.meta()]].concat();
    let page = pages[rng.below(pages.len())];
    let words = PAGE / 8;
    let word = page + 8 * [rng.below(8), rng.below(24), rng.below(words)][rng.below(3)];
    let old = file.get(word);
    let edges = [0, 1, u64::MAX, old.wrapping_sub(1), old.wrapping_add(1), 1 << 62];
    match rng.below(8) {
        0 => file.0[word + rng.below(8)] ^= 1 << rng.below(8),
        1 => file.put(word, edges[rng.below(edges.len())]),
        2 => file.put(word, rng.next()),
        3 => file.put(word, sound.get(pages[rng.below(pages.len())] + 8 * rng.below(words))),
        4 => file.put32(word + 4, [0, u32::MAX, 1, 1 << 31][rng.below(4)]),
        5 => {
            let other = pages[rng.below(pages.len() - 1)];
            file.0.copy_within(other..other + PAGE, page);
        }
        6 => {
            let slots = sound.slots(sound.bucket());
            let (slot, record) = slots[rng.below(slots.len())];
            match rng.below(2) {
                0 => file.put32(slot, rng.next() as u32),
                _ => file.0[record] = rng.next() as u8,
            }
        }
        _ => {
            let large = sound.large();
            let at = large[rng.below(large.len())];
            file.put32(at + [3, 7, 8, 12][rng.below(4)], rng.below(9_000) as u32);
        }
    }
}
