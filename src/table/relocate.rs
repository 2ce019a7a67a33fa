//! Moving values to other places, each as an ordinary change: a page with the new places is put in
//! the place of the one with the old, and a reader sees one or the other. The log hears nothing of
//! it: redo leads to the same records, wherever their values stand.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Table;
use crate::error::{Fault, Place, Promise, Result};
use crate::page::bucket::{self, SlotPlace};
use crate::page::record::{LargeRecord, Record};
use crate::pager::{Side, Which};

/// Which values are to move, and where to.
pub(super) struct Relocation<'w> {
    pub(super) is_wanted: &'w dyn Fn(&LargeRecord) -> bool,
    /// A value that would not come to stand lower in the file stays where it is.
    pub(super) only_down: bool,
}

/// A value that was written anew.
struct Moved {
    place: SlotPlace,
    old: LargeRecord,
    new: LargeRecord,
}

impl Table {
    /// Moves values of the records in a bucket's page, or in a run's chain; how many grains.
    pub(super) fn relocate(
        &mut self,
        side: &Arc<Side>,
        which: Which,
        index: u64,
        relocation: &Relocation<'_>,
    ) -> Result<u64> {
        if !self.has_wanted(side, which, index, relocation)? {
            return Ok(0);
        }
        let frames = match which {
            Which::Buckets => self.pager.private_bucket(side, index)?.into_iter().collect(),
            Which::Runs => self.pager.private_chain(side, index)?,
        };
        let mut grains = 0;
        let mut before = None;
        for frame in frames {
            let (moved, failure) = self.write_anew(frame, relocation);
            let at = (side, which, index);
            let new = self.substitute(at, (before, frame), &moved);
            if new.is_some() {
                moved.iter().for_each(|moved| self.pager.drop_large(&moved.old));
                grains += moved.iter().map(|moved| moved.old.grain_count()).sum::<u64>();
                self.pager.moved_page_count += moved.len() as u64;
            }
            before = Some(new.unwrap_or(frame));
            failure.map_or(Ok(()), Err)?;
        }
        Ok(grains)
    }

    fn has_wanted(
        &self,
        side: &Arc<Side>,
        which: Which,
        index: u64,
        relocation: &Relocation<'_>,
    ) -> Result<bool> {
        let shared = self.shared().clone();
        let slot = side.word(which, index);
        let words = match which {
            Which::Buckets => vec![slot.load(Ordering::SeqCst)],
            Which::Runs if slot.load(Ordering::SeqCst) == 0 => return Ok(false),
            Which::Runs => self.pager.chain_words(side, index)?,
        };
        for word in words {
            let pin = shared.epoch.pin();
            let slot = (which == Which::Buckets).then_some(slot);
            let Some(page) = shared.page(&pin, side, which, index, word, slot)? else { continue };
            let found = bucket::records(page.view()).flatten().any(|(_, _, record)| {
                matches!(record, Record::Large(large, _) if (relocation.is_wanted)(&large))
            });
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the wanted values of a page to new places, up to the first that cannot be.
    fn write_anew(
        &mut self,
        frame: u32,
        relocation: &Relocation<'_>,
    ) -> (Vec<Moved>, Option<crate::Error>) {
        let shared = self.shared().clone();
        let view = shared.arena.view(frame);
        let mut moved = Vec::new();
        for (place, _, record) in bucket::records(view).flatten() {
            let Record::Large(old, key) = record else { continue };
            if !(relocation.is_wanted)(&old) {
                continue;
            }
            match self.copy_value(&old, key) {
                Err(error) => return (moved, Some(error)),
                Ok(new) if relocation.only_down && new.place > old.place => {
                    self.pager.give_back_large(&new);
                }
                Ok(new) => moved.push(Moved { place, old, new }),
            }
        }
        (moved, None)
    }

    fn copy_value(&mut self, old: &LargeRecord, key: &[u8]) -> Result<LargeRecord> {
        let shared = self.shared().clone();
        let pin = shared.epoch.pin();
        let bytes = shared.large_bytes(&pin, old)?;
        let value_len = usize::try_from(old.value_len).unwrap_or(usize::MAX);
        let (value, behind) = bytes.split_at_checked(value_len).unwrap_or((&bytes, &[]));
        let key = if old.has_long_key() { behind } else { key };
        let new = self.pager.write_large(old.hash, key, value)?;
        // Bytes that nobody verified must not get a checksum that says they are right.
        let same = Fault::expect(Promise::ValueChecksum, old.checksum.into(), new.checksum.into());
        if let Err(fault) = same {
            self.pager.give_back_large(&new);
            let page = old.first_page(shared.parameters.page_size);
            return Err(fault.at(&shared.path, Place::Page(page)));
        }
        Ok(new)
    }

    /// Puts a page with the new places where one with the old is; gives its frame. `None`, and the
    /// values are given back, if there is nothing to put, or it has no room.
    fn substitute(
        &mut self,
        (side, which, index): (&Arc<Side>, Which, u64),
        (before, frame): (Option<u32>, u32),
        moved: &[Moved],
    ) -> Option<u32> {
        if moved.is_empty() {
            return Some(frame);
        }
        let of = self.pager.page_of(side, which, index);
        let seed = self.shared().parameters.hash_seed;
        let (new, fits) = self.pager.new_frame_from(&[frame], |new, sources| {
            let source = sources.first().copied().expect("one source");
            let all: Vec<(u64, Record<'_>)> = bucket::records(source)
                .map(|found| found.expect("the writer's own page is sound"))
                .map(|(place, _, record)| (super::record_hash(&record, seed), place, record))
                .map(|(hash, place, record)| (hash, with_new_place(place, record, moved)))
                .collect();
            let fits = of.fill(new, &all).is_empty();
            match which {
                Which::Buckets => new.inherit_filter(source),
                Which::Runs => new.set_next(source.word(crate::page::word::NEXT)),
            }
            fits
        });
        if !fits {
            self.pager.give_back_frame(new);
            moved.iter().rev().for_each(|moved| self.pager.give_back_large(&moved.new));
            return None;
        }
        let old = self.pager.word_of(frame);
        match before {
            Some(before) => {
                let word = self.pager.word_of(new);
                self.pager.edit(before).set_next(word);
            }
            None => self.pager.publish(side, which, index, Some(new)),
        }
        self.pager.discard(old);
        Some(new)
    }
}

fn with_new_place<'r>(place: SlotPlace, record: Record<'r>, moved: &[Moved]) -> Record<'r> {
    let new = moved.iter().find(|moved| moved.place == place).map(|moved| moved.new);
    match (record, new) {
        (Record::Large(_, key), Some(new)) => Record::Large(new, key),
        (record, _) => record,
    }
}
