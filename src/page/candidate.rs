//! Where a search most likely ends: a guess from one cell, for those who ask for memory ahead, and
//! for lookups, which are done if it has the key. Few instructions, since that is what lets a processor
//! begin the next lookup while this one waits for memory.
//!
//! One page. Knows nothing of what is done with the guess.

use super::bucket::{filter_bit, home_cell, spill_of, tag};
use super::record::{LargeRecord, Record, is_same, short_value};
use super::shape::Shape;
use super::{View, fixed};

/// A record's bytes, to the page's end where records have lengths of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a>(&'a [u8]);

impl<'a> Candidate<'a> {
    /// Where a search most likely ends: the first slot of a hash's home cell that bears its tag.
    #[inline(always)]
    pub(crate) fn find(
        page: View<'a>,
        shape: &Shape,
        cells: usize,
        hash: u64,
    ) -> Option<Candidate<'a>> {
        let home = home_cell(hash, cells);
        let candidates = match shape {
            Shape::General => page.cell(home)?.matches(tag(hash)),
            Shape::Fixed(_) => page.tag_cell(home)?.matches(fixed::tag(hash)),
        };
        Candidate::at(page, shape, home, first_bit(candidates)?)
    }

    /// The record of a lane of a general page, or of a slot of a page of fixed sizes.
    #[inline(always)]
    fn at(page: View<'a>, shape: &Shape, cell: usize, bit: usize) -> Option<Candidate<'a>> {
        match shape {
            Shape::General => page.tail(cell, bit),
            Shape::Fixed(of) => page.piece(cell, bit, of.place(cell, bit)),
        }
        .map(Candidate)
    }

    /// Its bytes, and perhaps those of records behind it.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Its value, if it has this key and is of the kind that most are.
    #[inline(always)]
    pub(crate) fn value(&self, shape: &Shape, key: &[u8]) -> Option<&'a [u8]> {
        match shape {
            Shape::General => short_value(self.0, key),
            Shape::Fixed(of) => {
                let (found, value) = self.0.split_at_checked(of.key_size)?;
                (found.len() == key.len() && is_same(found, key)).then_some(value)
            }
        }
    }

    /// The record, whatever it is.
    pub(crate) fn record(&self, shape: &Shape) -> Option<Record<'a>> {
        match shape {
            Shape::General => Record::decode(self.0),
            Shape::Fixed(of) => {
                let (key, value) = self.0.split_at_checked(of.key_size)?;
                Some(Record::Inline { key, value })
            }
        }
    }

    /// What it says of a key.
    #[inline(never)]
    pub(crate) fn look(&self, shape: &Shape, key: &[u8]) -> Glance<'a> {
        match self.record(shape) {
            Some(Record::Inline { key: found, value }) if found == key => Glance::Hit(value),
            Some(Record::Large(large, found)) if found == key && !large.has_long_key() => {
                Glance::Large(large)
            }
            _ => Glance::Unknown,
        }
    }
}

/// What one look at a home cell says of a key.
pub(crate) enum Glance<'a> {
    /// Its value.
    Hit(&'a [u8]),
    /// Where its value is.
    Large(LargeRecord),
    /// It is not here, and not in overflow.
    Nowhere,
    /// Nothing.
    Unknown,
}

/// Looks for a key in the first slot of its home cell that bears its tag.
#[inline(always)]
pub(crate) fn glance<'a>(
    page: View<'a>,
    shape: &Shape,
    cells: usize,
    hash: u64,
    key: &[u8],
) -> Glance<'a> {
    let home = home_cell(hash, cells);
    let cell = match shape {
        Shape::General => page.cell(home).map(|c| (c.header(), c.matches(tag(hash)))),
        Shape::Fixed(_) => page.tag_cell(home).map(|c| (c.header(), c.matches(fixed::tag(hash)))),
    };
    let Some((header, candidates)) = cell else { return Glance::Unknown };
    let Some(bit) = first_bit(candidates) else {
        let leads_on = spill_of(header) > 0 || header & filter_bit(hash) != 0;
        return if leads_on { Glance::Unknown } else { Glance::Nowhere };
    };
    let Some(candidate) = Candidate::at(page, shape, home, bit) else { return Glance::Unknown };
    match candidate.value(shape, key) {
        Some(value) => Glance::Hit(value),
        None => candidate.look(shape, key),
    }
}

#[inline]
fn first_bit(bits: u32) -> Option<usize> {
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::edit::PageOf;
    use crate::page::{Kind, OwnedPage};

    const CELLS: usize = 6;

    fn name(glance: &Glance<'_>) -> String {
        match glance {
            Glance::Hit(value) => format!("{value:?}"),
            Glance::Large(large) => format!("{} grains on", large.place),
            Glance::Nowhere => "nowhere".into(),
            Glance::Unknown => "unknown".into(),
        }
    }

    /// A hash with this home of six, tag, and 3 for its bit of the filter.
    fn hash(home: u64, tag: u64) -> u64 {
        3 << 32 | (home * 65_536 / 6 + 100) << 16 | tag
    }

    #[test]
    fn a_look_tells_what_the_home_cell_tells_and_no_more() {
        let general = (Shape::General, CELLS);
        let fixed = Shape::new(4096, 496, Some(4), Some(40));
        let Shape::Fixed(of) = fixed else { panic!("of fixed sizes") };
        for (shape, cells) in [general, (fixed, of.cells)] {
            let mut page = OwnedPage::new(4096);
            let of_page = PageOf { kind: Kind::Bucket, owner: 0, bucket_count: 1, shape };
            let mut frame = page.frame(0, 4096);
            match shape {
                Shape::General => frame.reset(Kind::Bucket, CELLS, 0, 1),
                Shape::Fixed(_) => assert!(of_page.fill(&mut frame, &[]).is_empty()),
            }
            let hash =
                |home: u64, tag: u64| 3 << 32 | (home * 65_536 / cells as u64 + 900) << 16 | tag;
            let record = |key| Record::Inline { key, value: &[7; 40] };
            assert!(frame.insert(&shape, hash(2, 50), &record(b"key1")));
            assert!(frame.insert(&shape, hash(2, 60), &record(b"key2")));
            assert!(frame.insert(&shape, hash(2, 60), &record(b"key3")));
            let look = |frame: &crate::page::Frame<'_>, hash, key: &[u8]| {
                name(&glance(frame.view(), &shape, cells, hash, key))
            };
            let hit = name(&Glance::Hit(&[7; 40]));
            assert_eq!(look(&frame, hash(2, 50), b"key1"), hit);
            assert_eq!(look(&frame, hash(2, 60), b"key2"), hit);
            assert_eq!(look(&frame, hash(2, 60), b"key3"), "unknown", "the second of its tag");
            assert_eq!(look(&frame, hash(2, 50), b"key9"), "unknown", "a tag proves nothing");
            assert_eq!(look(&frame, hash(2, 70), b"key9"), "nowhere");
            assert_eq!(look(&frame, hash(3, 50), b"key1"), "nowhere");
            let candidate = Candidate::find(frame.view(), &shape, cells, hash(2, 60)).unwrap();
            assert_eq!(candidate.record(&shape), Some(record(b"key2")));
            assert_eq!(candidate.value(&shape, b"key2"), Some(&[7; 40][..]));
            assert_eq!(candidate.value(&shape, b"key3"), None);
            assert_eq!(candidate.value(&shape, b"key22"), None);
            assert_eq!(candidate.value(&shape, b""), None);
            assert!(Candidate::find(frame.view(), &shape, cells, hash(2, 70)).is_none());
            // What is noted of overflow leads on, for its own bit of the filter.
            frame.note_overflow(hash(2, 70));
            assert_eq!(look(&frame, hash(2, 70), b"key9"), "unknown");
            assert_eq!(look(&frame, hash(2, 70) ^ 1 << 32, b"key9"), "nowhere");
            assert_eq!(look(&frame, hash(2, 50), b"key1"), hit);
            // So does what was spilled into further cells.
            for tag in 100..140 {
                assert!(frame.insert(&shape, hash(4, tag), &record(b"more")));
            }
            assert_eq!(look(&frame, hash(4, 90), b"key9"), "unknown");
            assert_eq!(look(&frame, hash(3, 90), b"key9"), "nowhere");
        }
    }

    #[test]
    fn a_large_record_is_settled_unless_its_key_stands_behind_its_value() {
        let mut page = OwnedPage::new(4096);
        let mut frame = page.frame(0, 4096);
        frame.reset(Kind::Bucket, CELLS, 0, 1);
        let large = LargeRecord { hash: 0, key_len: 3, value_len: 900, place: 64, checksum: 0 };
        assert!(frame.insert(&Shape::General, hash(1, 5), &Record::Large(large, b"key")));
        let long = LargeRecord { hash: hash(1, 6), key_len: 300, ..large };
        assert!(frame.insert(&Shape::General, hash(1, 6), &Record::Large(long, &[])));
        let look =
            |hash, key: &[u8]| name(&glance(frame.view(), &Shape::General, CELLS, hash, key));
        assert_eq!(look(hash(1, 5), b"key"), "64 grains on");
        assert_eq!(look(hash(1, 5), b"yek"), "unknown");
        assert_eq!(look(hash(1, 6), b""), "unknown");
        assert_eq!(look(hash(1, 6), &[1; 300]), "unknown");
    }
}
