//! Damaged meta pages.

use splitpoint::{Error, Promise};

use crate::examine::{Seen, examine};
use crate::file::{BITMAP_ROOT, BUCKET_COUNT, BUCKET_ROOT, File, PAGE, PAGE_COUNT};
use crate::sample::Sample;
use crate::table::{Expect, Row, Table, says_more};

fn row(name: &'static str, expect: Expect, damage: fn(&mut File)) -> Row {
    Row { name, expect, damage }
}

fn zero(file: &mut File, offset: usize, len: usize) {
    file.0[offset..offset + len].fill(0);
}

pub(crate) fn run(table: &mut Table) {
    use Expect::{Check, NotAnIndex, Open, Sound, Version};
    use Promise as P;
    let closed = Sample::closed();
    let rows = [
        row("undamaged", Sound, |_| ()),
        row("wrong magic in all slots", NotAnIndex, |f| (0..4).for_each(|i| f.0[i * PAGE] ^= 1)),
        row("wrong magic in the newest slot", Check(P::MetaPage), |f| {
            let at = f.meta();
            f.0[at] ^= 1;
        }),
        row("truncated after 16 bytes", Open(P::FileLength), |f| f.0.truncate(16)),
        row("truncated within the magic", NotAnIndex, |f| f.0.truncate(15)),
        row("truncated within the second slot", Open(P::FileLength), |f| f.0.truncate(5_000)),
        row("truncated to the meta pages", Open(P::FileLength), |f| f.0.truncate(4 * PAGE)),
        row("truncated by a byte", Open(P::FileLength), |f| f.0.truncate(f.0.len() - 1)),
        row("all slots bad", Open(P::PageChecksum), |f| {
            (0..4).for_each(|i| f.0[i * PAGE + 99] ^= 1)
        }),
        row("all slots zero", NotAnIndex, |f| zero(f, 0, 4 * PAGE)),
        row("three slots zero", Check(P::MetaPage), |f| {
            let keep = f.meta();
            (0..4).map(|i| i * PAGE).filter(|&at| at != keep).for_each(|at| zero(f, at, PAGE));
        }),
        row("the newest slot all ones", Check(P::MetaPage), |f| {
            let at = f.meta();
            f.0[at..at + PAGE].fill(0xff);
        }),
        row("equal generations that differ", Open(P::MetaField), |f| {
            let (at, generation) = (f.meta(), f.get(f.meta() + 40));
            let other = (at + PAGE) % (4 * PAGE);
            f.0.copy_within(at..at + PAGE, other);
            f.put(other + 104, 1);
            f.put(other + 40, generation);
            f.seal_meta(other);
        }),
        row("version from the future", Version, |f| {
            let at = f.meta();
            f.put32(at + 20, 1 + f.get32(at + 20));
            f.seal_meta(at);
        }),
        row("version at most", Version, |f| {
            let at = f.meta();
            f.put32(at + 20, u32::MAX);
            f.seal_meta(at);
        }),
        row("a next layout without pages", Expect::Survive, |f| f.set_meta(160, 12)),
        row("bucket root 0", Check(P::PageUse), |f| f.set_meta(BUCKET_ROOT, 0)),
        row("unknown feature bits", Open(P::Reserved), |f| {
            let at = f.meta();
            f.put32(at + 52, f.get32(at + 52) | 0x80);
            f.seal_meta(at);
        }),
    ];
    for row in rows {
        table.row("meta", &closed, row);
    }
    words(table, &closed);
    slots(table, &closed);
    longer(table, &closed);
}

/// A word of the meta page, what it is set to, and what that breaks.
fn words(table: &mut Table, closed: &Sample) {
    use Promise as P;
    let page_count = closed.data.get(closed.data.meta() + PAGE_COUNT);
    let cases: &[(&'static str, usize, u64, &[P])] = &[
        ("page count 0", PAGE_COUNT, 0, &[]),
        ("page count above the file", PAGE_COUNT, page_count + 1, &[P::FileLength, P::Count]),
        ("page count far above the file", PAGE_COUNT, 1 << 29, &[P::FileLength]),
        ("page count beyond all pages", PAGE_COUNT, 1 << 31, &[P::MetaField]),
        ("page count at MAX", PAGE_COUNT, u64::MAX, &[P::MetaField]),
        ("page count x page size overflows", PAGE_COUNT, u64::MAX / 4096 + 1, &[P::MetaField]),
        ("page count below the pages", PAGE_COUNT, page_count - 5, &[]),
        ("bucket count 0", BUCKET_COUNT, 0, &[P::MetaField]),
        ("bucket count 1", BUCKET_COUNT, 1, &[]),
        ("bucket count 2^63", BUCKET_COUNT, 1 << 63, &[P::MetaField]),
        ("bucket count 2^30", BUCKET_COUNT, 1 << 30, &[P::MetaField]),
        ("splitpoint without a next layout", 184, 1 << 60, &[P::MetaField]),
        ("next root without a next layout", 168, 5, &[P::MetaField]),
        ("bucket root out of range", BUCKET_ROOT, page_count, &[P::PageRange]),
        ("bucket root in the meta pages", BUCKET_ROOT, 2, &[P::PageRange]),
        ("bucket root of another form", BUCKET_ROOT, 3 << 62 | 9, &[P::PageRange]),
        ("bitmap root out of range", BITMAP_ROOT, (1 << 30) - 1, &[P::PageRange]),
        ("bitmap root 0", BITMAP_ROOT, 0, &[]),
        ("unknown hash", 64, 99, &[P::HashFingerprint]),
        ("key size above the limit", 72, 65_537, &[P::MetaField]),
        ("value size above the limit", 80, 1 << 33, &[P::MetaField]),
        ("free pages that lie", 96, 1 << 20, &[P::Count]),
        ("generation at MAX", 40, u64::MAX, &[P::MetaField]),
        ("LSN at MAX", 224, u64::MAX, &[P::MetaField]),
        ("LSN 0", 224, 0, &[P::MetaField]),
        ("log epoch at MAX", 200, u64::MAX, &[P::MetaField]),
        ("log segment at MAX", 216, u64::MAX, &[P::MetaField]),
        ("inline limit 0", 232, 0, &[P::MetaField]),
        ("inline limit above a quarter of a page", 232, 993 << 32, &[P::MetaField]),
        ("value pages behind the last page", 248, page_count + 1, &[P::MetaField]),
        ("no value pages", 248, 0, &[P::PageRange]),
        ("value root out of range", 256, page_count, &[P::PageRange]),
        ("value root in the meta pages", 256, 3, &[P::PageRange]),
        ("value root of another form", 256, 2 << 62 | 9, &[P::PageRange]),
        ("value root 0", 256, 0, &[P::Count]),
        ("reserved bytes", 264, 1, &[P::Reserved]),
        ("bytes behind the metadata", 4000, 1, &[P::Reserved]),
        ("metadata longer than its room", 232, 496 << 32 | 1025, &[P::MetaField]),
    ];
    for &(name, offset, value, promises) in cases {
        table.checked("meta", name, || {
            let mut sample = closed.clone();
            sample.data.set_meta(offset, value);
            open_fails(&examine(&sample)?, promises)
        });
    }
    for size in [0, 1, 4095, 6000, 1 << 31, 2048, 1 << 17] {
        table.checked("meta", &format!("page size {size}"), || {
            let mut sample = closed.clone();
            let at = sample.data.meta();
            sample.data.put32(at + 48, size);
            sample.data.seal_meta(at);
            open_fails(&examine(&sample)?, &[P::MetaField])
        });
    }
    for (name, offset) in [
        ("record count", 104),
        ("record bytes", 112),
        ("overflow pages", 120),
        ("value pages", 128),
        ("value bytes", 240),
    ] {
        for (how, value) in [("0", 0), ("1 << 40", 1 << 40), ("MAX", u64::MAX)] {
            table.checked("meta", &format!("{name} that lie: {how}"), || {
                let mut sample = closed.clone();
                sample.data.set_meta(offset, value);
                let seen = examine(&sample)?;
                // No bytes cannot be that many records; value pages are counted at open.
                if value > 0 || [112, 128].contains(&offset) {
                    return open_fails(&seen, &[P::Count]);
                }
                if seen.found.contains(&P::Count) { Ok(()) } else { Err(format!("{seen:?}")) }
            });
        }
    }
}

fn open_fails(seen: &Seen, promises: &[Promise]) -> Result<(), String> {
    says_more(seen)?;
    match (&seen.open, &seen.write) {
        (Some(Error::Corruption(a)), Some(Error::Corruption(b)))
            if a.promise == b.promise && (promises.is_empty() || promises.contains(&a.promise)) =>
        {
            Ok(())
        }
        _ => Err(format!("expected {promises:?}, saw {seen:?}")),
    }
}

/// Each slot bad in turn, on a file that was killed: what the newest whole one says counts.
fn slots(table: &mut Table, closed: &Sample) {
    for slot in 0..4 {
        table.checked("meta", &format!("slot {slot} bad"), || {
            let mut sample = closed.clone();
            sample.data.0[slot * PAGE + 200] ^= 0x10;
            let seen = examine(&sample)?;
            let found = seen.found.iter().all(|promise| *promise == Promise::PageChecksum);
            // The clean meta page has a twin: no slot is the only one.
            let same = seen.scanned == sample.keys.len();
            let fine = seen.open.is_none() && seen.write.is_none() && found && same;
            if fine { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
}

fn longer(table: &mut Table, closed: &Sample) {
    for more in [1, PAGE - 1, PAGE, 1000 * PAGE + 7] {
        table.checked("meta", &format!("file longer by {more} bytes"), || {
            let mut sample = closed.clone();
            let len = sample.data.0.len();
            sample.data.0.resize(len + more, 0xaa);
            let seen = examine(&sample)?;
            let fine = seen.open.is_none() && seen.write.is_none() && seen.touched.is_empty();
            if fine && seen.scanned == sample.keys.len() {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        });
    }
}
