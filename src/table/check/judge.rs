//! What a check can say of one bucket or overflow page by itself, without the state of the check:
//! so several threads judge pages at once. What needs that state (whose pages are claimed, what
//! the key of a large record is) is handed on.

use super::Finding;
use super::trees::CheckedSide;
use crate::error::{Fault, Place, Promise};
use crate::hash::hash;
use crate::layout::Layout;
use crate::page::bucket::{self, Slot};
use crate::page::meta::{Counts, Meta};
use crate::page::record::{LargeRecord, Record};
use crate::page::usage::{Usage, filter_bits, usage};
use crate::page::{Identity, Kind, OwnedPage, check_identity, get_u64, word};
use crate::table::record_hash;

use super::pages::Wanted;

/// Turns the seed into that of a second hash. Records with two equal hashes of 64 bits have the
/// same key: one need not be kept, or read again, to compare it.
const SECOND_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The second hash of a key.
pub(super) fn second_hash(key: &[u8], seed: u64) -> u64 {
    hash(key, seed ^ SECOND_SEED)
}

/// A record in overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Overflowed {
    pub(super) hash: u64,
    /// The second hash; `None` where the key could not be read.
    pub(super) second: Option<u64>,
    pub(super) page: u64,
}

/// How a record is known: by its second hash, or as the large record of this place in
/// [`Judged::larges`], whose key is read only if its pages are its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    Second(u64),
    Large(usize),
}

/// Two records of one hash that may have one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspect {
    pub(super) one: Known,
    pub(super) other: Known,
    /// Where the other one stands.
    pub(super) page: u64,
}

/// What was seen on a page.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// `false`: the page is left out.
    pub(super) is_sound: bool,
    pub(super) findings: Vec<Finding>,
    pub(super) counts: Counts,
    /// Large records, in the order of their slots.
    pub(super) larges: Vec<LargeRecord>,
    /// The records of an overflow page.
    pub(super) records: Vec<(u64, Known)>,
    pub(super) suspects: Vec<Suspect>,
    /// The next page of an overflow page.
    pub(super) next: u64,
    /// Of a bucket page, how many records it has in overflow.
    pub(super) in_overflow: u64,
    pub(super) usage: Usage,
    pub(super) filter: (u32, u32),
}

/// What is known of all pages of a layout.
pub(super) struct Judge<'j> {
    pub(super) meta: &'j Meta,
    pub(super) side: &'j CheckedSide,
    pub(super) with_usage: bool,
}

/// A record of a bucket page.
struct Seen<'p> {
    hash: u64,
    record: Record<'p>,
    /// Of a large record, its place among them.
    large: usize,
}

impl Judge<'_> {
    /// An overflow page: its own promises; the records are for comparisons.
    pub(super) fn overflow(&self, wanted: Wanted, page: &OwnedPage) -> Judged {
        let mut judged = Judged::default();
        if !self.contents(&mut judged, Kind::Overflow, wanted, page) {
            return judged;
        }
        for slot in bucket::slots(page.view()) {
            if let Some(seen) = self.record(&mut judged, (Kind::Overflow, wanted), page, slot) {
                let known = self.known(&seen);
                judged.records.push((seen.hash, known));
            }
        }
        judged.next = page.view().word(word::NEXT);
        judged
    }

    /// A bucket page, against the records that its run has in overflow.
    pub(super) fn bucket(
        &self,
        wanted: Wanted,
        page: &OwnedPage,
        overflow: &[Overflowed],
    ) -> Judged {
        let mut judged = Judged::default();
        if !self.contents(&mut judged, Kind::Bucket, wanted, page) {
            return judged;
        }
        let place = Place::Page(wanted.page);
        let view = page.view();
        judged.expect(place, Fault::expect(Promise::Reserved, 0, view.word(word::NEXT)));
        let mut seen: Vec<Seen<'_>> = Vec::new();
        for slot in bucket::slots(view) {
            seen.extend(self.record(&mut judged, (Kind::Bucket, wanted), page, slot));
        }
        seen.sort_unstable_by_key(|seen| seen.hash);
        for pair in seen.windows(2) {
            let [one, other] = pair else { continue };
            if one.hash == other.hash {
                let (one, other) = (self.known(one), self.known(other));
                judged.compare(wanted.page, one, other, wanted.page);
            }
        }
        let start = self.side.layout.first_hash(wanted.index).unwrap_or(u64::MAX);
        let end = self.side.layout.first_hash(wanted.index + 1);
        let from = overflow.partition_point(|record| record.hash < start);
        let of_bucket = overflow.get(from..).unwrap_or_default().iter();
        for record in of_bucket.take_while(|record| end.is_none_or(|end| record.hash < end)) {
            judged.in_overflow += 1;
            if !bucket::admits_overflow(view, record.hash) {
                judged.find(place, Fault::new(Promise::OverflowFilter, 1, 0));
            }
            let at = seen.partition_point(|seen| seen.hash < record.hash);
            let equal = seen.get(at..).unwrap_or_default();
            for seen in equal.iter().take_while(|seen| seen.hash == record.hash) {
                if let Some(second) = record.second {
                    let (one, other) = (self.known(seen), Known::Second(second));
                    judged.compare(wanted.page, one, other, record.page);
                }
            }
        }
        judged
    }

    /// Checks what needs no look at keys. A page that fails is left out.
    fn contents(&self, judged: &mut Judged, kind: Kind, wanted: Wanted, page: &OwnedPage) -> bool {
        let is = Identity {
            page_number: wanted.page,
            file_tag: self.meta.parameters.file_tag(),
            kind,
            owner: wanted.index,
            bucket_count: self.side.layout.bucket_count,
        };
        let place = Place::Page(wanted.page);
        let whole = check_page(self.meta, page, wanted.checksum, is);
        judged.is_sound = judged.expect(place, whole)
            && judged
                .expect(place, bucket::check_shape(page.view(), &self.meta.parameters.shape()))
            && judged.expect(place, bucket::check_structure(page.view()));
        if judged.is_sound {
            judged.expect(place, bucket::check_tidy(page.view()));
            if self.with_usage {
                judged.usage = usage(page.view());
                judged.filter = filter_bits(page.view());
            }
        }
        judged.is_sound
    }

    fn record<'p>(
        &self,
        judged: &mut Judged,
        (kind, wanted): (Kind, Wanted),
        page: &'p OwnedPage,
        slot: Slot<'p>,
    ) -> Option<Seen<'p>> {
        let record = slot.record?;
        let place = Place::Page(wanted.page);
        judged.counts.record_count += 1;
        judged.counts.record_len += self.meta.parameters.shape().record_len(&record) as u64;
        let parameters = &self.meta.parameters;
        let hash = record_hash(&record, parameters.hash_seed);
        let (key_len, value_len) = match &record {
            Record::Inline { key, value } => (key.len() as u64, value.len() as u64),
            Record::Large(large) => (large.key_len.into(), large.value_len.into()),
        };
        for (fixed, len) in [(parameters.key_size, key_len), (parameters.value_size, value_len)] {
            let expected = fixed.map_or(len, |size| size as u64);
            judged.expect(place, Fault::expect(Promise::RecordSize, expected, len));
        }
        judged.expect(place, self.at_home(kind, wanted, hash));
        if !bucket::is_reachable(page.view(), slot.place, slot.tag, hash) {
            let tag = bucket::tag_in(page.view(), hash).into();
            judged.find(place, Fault::new(Promise::RecordPlace, tag, slot.tag.into()));
        }
        let large = judged.larges.len();
        if let Record::Large(stands) = record {
            judged.larges.push(stands);
        }
        Some(Seen { hash, record, large })
    }

    /// I5: the bucket (or run) of its hash, on the side that the splitpoint selects.
    fn at_home(&self, kind: Kind, wanted: Wanted, hash: u64) -> Result<(), Fault> {
        let bucket = self.side.layout.bucket_of(hash);
        let owner = if kind == Kind::Bucket { bucket } else { Layout::run_of(bucket) };
        Fault::expect(Promise::RecordBucket, owner, wanted.index)?;
        let is_below = hash < self.meta.splitpoint;
        if self.meta.next.is_none() || is_below == self.side.is_next {
            Ok(())
        } else {
            Err(Fault::new(Promise::RecordBucket, self.meta.splitpoint, hash))
        }
    }

    fn known(&self, seen: &Seen<'_>) -> Known {
        match &seen.record {
            Record::Inline { key, .. } => {
                Known::Second(second_hash(key, self.meta.parameters.hash_seed))
            }
            Record::Large(_) => Known::Large(seen.large),
        }
    }
}

impl Judged {
    fn find(&mut self, place: Place, fault: Fault) {
        self.findings.push(Finding::new(place, fault));
    }

    fn expect(&mut self, place: Place, result: Result<(), Fault>) -> bool {
        if let Err(fault) = result {
            self.find(place, fault);
            return false;
        }
        true
    }

    /// I6, for two records of one hash.
    fn compare(&mut self, page: u64, one: Known, other: Known, other_page: u64) {
        match (one, other) {
            (Known::Second(a), Known::Second(b)) if a != b => {}
            (Known::Second(_), Known::Second(_)) => {
                let fault = Fault::new(Promise::DuplicateKey, page, other_page);
                self.find(Place::Page(other_page), fault);
            }
            _ => self.suspects.push(Suspect { one, other, page: other_page }),
        }
    }
}

/// Checks that a page is the one that is meant, and who wrote it.
pub(super) fn check_page(
    meta: &Meta,
    page: &OwnedPage,
    checksum: u32,
    is: Identity,
) -> Result<(), Fault> {
    check_identity(page.bytes(), checksum, is)?;
    let generation = get_u64(page.bytes(), 8 * word::GENERATION);
    // A page of the future is of a checkpoint that this one does not know.
    if (1..=meta.generation).contains(&generation) {
        Ok(())
    } else {
        Err(Fault::new(Promise::PageGeneration, meta.generation, generation))
    }
}
