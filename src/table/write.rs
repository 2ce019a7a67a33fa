//! Insert and remove, on pages that the writer has made its own.
//!
//! Preparing can fail: it reads pages. Applying cannot: it finds everything that it needs in
//! memory (the writer's own pages stay there until the next freeze, and a freeze waits until all
//! that is prepared is applied).

use std::convert::Infallible;

use super::{Home, Table, Wanted, check_key, check_value};
use crate::error::Result;
use crate::page::View;
use crate::page::bucket::{self, Found, KeyMatch, SlotPlace, find, has_room};
use crate::page::edit::PageOf;
use crate::page::record::{LargeRecord, Record, large_len};
use crate::pager::{Pin, Which};

/// What applying an insert needs: the record as it will stand in a page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prepared {
    Inline,
    Large(LargeRecord),
}

/// Where the writer found a key.
#[derive(Debug, Clone, Copy)]
enum At {
    Bucket(u32, SlotPlace),
    Overflow(u32, SlotPlace),
}

/// A search that cannot fail, for a change whose record is durable already.
struct Applied<'k>(Wanted<'k>);

impl KeyMatch for Applied<'_> {
    type Error = Infallible;

    #[inline]
    fn matches_inline(&self, key: &[u8]) -> bool {
        self.0.matches_inline(key)
    }

    /// If the key cannot be read now, the length and the 64 bits of the hash decide, which are the
    /// same: a record that was taken for another would leave its key in two places (I6).
    fn matches_large(&self, large: &LargeRecord) -> std::result::Result<bool, Infallible> {
        let is_as_long = usize::from(large.key_len) == self.0.key.len();
        Ok(is_as_long && self.0.matches_large(large).unwrap_or(true))
    }
}

impl Table {
    /// Does everything for an insert that can fail. The key's pages are the writer's own now; a
    /// large record is written to its place.
    pub(crate) fn prepare_insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<Prepared> {
        check_key(self.shared(), key)?;
        check_value(self.shared(), value)?;
        let shape = self.shared().shape;
        let len = shape.inline_len(key.len(), value.len());
        let large_len = large_len(key.len());
        // A long key may take more in the page than a short value beside it would.
        let is_large =
            !shape.is_fixed() && len > self.shared().parameters.inline_max && large_len < len;
        self.own_pages(hash, key, if is_large { large_len } else { len })?;
        if is_large {
            return Ok(Prepared::Large(self.pager.write_large(hash, key, value)?));
        }
        Ok(Prepared::Inline)
    }

    /// A prepared insert is not applied after all. In reverse order of preparing.
    pub(crate) fn forget_insert(&mut self, prepared: &Prepared) {
        if let Prepared::Large(large) = prepared {
            self.pager.give_back_large(large);
        }
    }

    /// Does everything for a removal that can fail; the key is there.
    pub(crate) fn prepare_remove(&mut self, hash: u64, key: &[u8]) -> Result<()> {
        check_key(self.shared(), key)?;
        self.own_pages(hash, key, 0)
    }

    /// Makes the pages the writer's own that a change of this key will change: those that hold it,
    /// and the chain if a record of `len` bytes will have to go there.
    fn own_pages(&mut self, hash: u64, key: &[u8], len: usize) -> Result<()> {
        let home = self.home(hash);
        let Some(frame) = self.pager.private_bucket(&home.side, home.bucket)? else {
            return Ok(());
        };
        let needs_chain = {
            let view = self.pager.view(frame);
            let cells = self.pager.bucket_cells(&home.side, home.bucket);
            let shape = &self.shared().shape;
            match self.find_in(view, cells, hash, key)? {
                // One that is no longer has the place of the old one, in a copy of the page at least,
                // whatever else is applied before.
                Some(Found::Record(_, old)) => {
                    len > shape.record_len(&old) && !has_room(view, shape, len)
                }
                Some(Found::PerhapsInOverflow) => true,
                _ => !has_room(view, shape, len),
            }
        };
        if needs_chain {
            self.pager.private_chain(&home.side, home.run)?;
        }
        Ok(())
    }

    fn find_in<'v>(
        &self,
        view: View<'v>,
        cells: usize,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<Found<'v>>> {
        let shared = self.shared();
        let pin = shared.epoch.pin();
        let wanted = Wanted { key, shared, pin: &pin };
        find(view, &shared.shape, cells, hash, &wanted).map(Some)
    }

    /// Where a key is, among the writer's own pages.
    fn locate(&self, home: &Home, hash: u64, key: &[u8]) -> Option<At> {
        let pin: Pin<'_> = self.shared().epoch.pin();
        let wanted = Applied(Wanted { key, shared: self.shared(), pin: &pin });
        let search = |frame: u32| {
            let view = self.pager.view(frame);
            let cells = crate::page::cell_count(view);
            let Ok(found) = find(view, &self.shared().shape, cells, hash, &wanted);
            found
        };
        let frame = self.pager.bucket_frame(&home.side, home.bucket)?;
        match search(frame) {
            Found::Record(place, _) => Some(At::Bucket(frame, place)),
            Found::Nowhere => None,
            Found::PerhapsInOverflow => {
                let chain = self.pager.chain_frames(&home.side, home.run);
                chain.into_iter().find_map(|frame| match search(frame) {
                    Found::Record(place, _) => Some(At::Overflow(frame, place)),
                    _ => None,
                })
            }
        }
    }

    /// Inserts a record that was prepared; `true` if the key is new.
    pub(crate) fn apply_insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        prepared: &Prepared,
    ) -> bool {
        let record = match prepared {
            Prepared::Inline => Record::Inline { key, value },
            Prepared::Large(large) if large.has_long_key() => Record::Large(*large, &[]),
            Prepared::Large(large) => Record::Large(*large, key),
        };
        let shape = self.shared().shape;
        let home = self.home(hash);
        let at = self.locate(&home, hash, key);
        self.count_added(&record);
        let Some(at) = at else {
            self.place(&home, hash, &record);
            self.grow_if_full();
            return true;
        };
        let (At::Bucket(frame, place) | At::Overflow(frame, place)) = at;
        let (old_len, old_large) = self.look_at(frame, place);
        match at {
            _ if self.pager.edit(frame).replace(&shape, place, hash, &record) => {}
            At::Bucket(frame, place) => {
                if !self.rebuild_bucket(&home, frame, Some(place), Some((hash, &record))) {
                    // Only overflow has room. The new record is there before the old one goes.
                    self.place_in_overflow(&home, &[(hash, record)], true);
                    let frame = self.pager.bucket_frame(&home.side, home.bucket);
                    let frame = frame.expect("a bucket with overflow has a page");
                    let gone = self.rebuild_bucket(&home, frame, Some(place), None);
                    assert!(gone, "a page without one of its records fits a page");
                }
            }
            At::Overflow(frame, place) if shape.is_fixed() => {
                let new = self.rebuild_in_chain(&home, frame, Some(place), (hash, &record));
                assert!(new.is_some(), "a record fits the place of one of its size");
            }
            At::Overflow(frame, place) => {
                // Without rebuilding the page that the old record is in.
                if !self.place_in_bucket(&home, hash, &record) {
                    self.place_in_overflow(&home, &[(hash, record)], false);
                }
                // A reader that has passed the new place must see that something changed before it
                // misses the old one.
                self.touch_bucket(&home);
                self.remove_from_chain(&home, frame, place);
            }
        }
        self.count_removed(old_len, old_large);
        self.grow_if_full();
        false
    }

    /// Removes a key whose removal was prepared; `true` if it was there.
    pub(crate) fn apply_remove(&mut self, hash: u64, key: &[u8]) -> bool {
        let home = self.home(hash);
        let Some(at) = self.locate(&home, hash, key) else { return false };
        let (At::Bucket(frame, place) | At::Overflow(frame, place)) = at;
        let (old_len, old_large) = self.look_at(frame, place);
        match at {
            At::Bucket(frame, place) => {
                let shape = self.shared().shape;
                self.pager.edit(frame).remove(&shape, place);
                let view = self.pager.view(frame);
                if crate::page::record_count(view) == 0 && !bucket::has_overflow(view) {
                    let word = self.pager.word_of(frame);
                    self.pager.publish(&home.side, Which::Buckets, home.bucket, None);
                    self.pager.discard(word);
                }
            }
            At::Overflow(frame, place) => self.remove_from_chain(&home, frame, place),
        }
        self.count_removed(old_len, old_large);
        self.shrink_if_empty();
        true
    }

    fn remove_from_chain(&mut self, home: &Home, frame: u32, place: SlotPlace) {
        let shape = self.shared().shape;
        self.pager.edit(frame).remove(&shape, place);
        self.pager.unlink_if_empty(&home.side, home.run, frame);
    }

    /// A record's length in its page, and where its value is if it is large.
    fn look_at(&self, frame: u32, place: SlotPlace) -> (usize, Option<LargeRecord>) {
        let shape = &self.shared().shape;
        let record = bucket::record_at(self.pager.view(frame), shape, place);
        let record = record.expect("a record that was just found");
        let large = match record {
            Record::Large(large, _) => Some(large),
            Record::Inline { .. } => None,
        };
        (shape.record_len(&record), large)
    }

    fn count_added(&mut self, record: &Record<'_>) {
        let len = self.shared().shape.record_len(record);
        let counts = &mut self.pager.counts;
        counts.record_count += 1;
        counts.record_len += len as u64;
    }

    fn count_removed(&mut self, len: usize, large: Option<LargeRecord>) {
        let counts = &mut self.pager.counts;
        // The counts come from the file: `check` tells if they lie, here they must only not wrap.
        counts.record_count = counts.record_count.saturating_sub(1);
        counts.record_len = counts.record_len.saturating_sub(len as u64);
        if let Some(large) = large {
            self.pager.drop_large(&large);
        }
    }

    /// Puts a record that no page holds yet where there is room for it.
    pub(super) fn place(&mut self, home: &Home, hash: u64, record: &Record<'_>) {
        if !self.place_in_bucket(home, hash, record) && !self.place_by_exchange(home, hash, record)
        {
            self.place_in_overflow(home, &[(hash, *record)], true);
        }
    }

    /// Puts a record into its bucket's full page in the place of another one, which goes to
    /// overflow: one whose filter bit is set already. So fewer searches for absent keys are sent
    /// on. `false` if there is none, or the record's own bit is set.
    fn place_by_exchange(&mut self, home: &Home, hash: u64, record: &Record<'_>) -> bool {
        let shared = self.shared().clone();
        let Some(frame) = self.pager.bucket_frame(&home.side, home.bucket) else { return false };
        let view = shared.arena.view(frame);
        if bucket::admits_overflow(view, hash) {
            return false;
        }
        let shape = shared.shape;
        let hash_of = |record: &Record<'_>| self.hash_of(record);
        let other = bucket::admitted(view, &shape, shape.record_len(record), hash_of);
        let Some((place, other_hash, other)) = other else { return false };
        self.place_in_overflow(home, &[(other_hash, other)], true);
        let (new, ()) = self.pager.new_frame(|new| {
            assert!(new.copy_from(view), "the writer's own page is sound");
            new.exchange(&shape, place, hash, record);
        });
        self.pager.publish(&home.side, Which::Buckets, home.bucket, Some(new));
        self.pager.discard(self.pager.word_of(frame));
        true
    }

    fn place_in_bucket(&mut self, home: &Home, hash: u64, record: &Record<'_>) -> bool {
        let Some(frame) = self.pager.bucket_frame(&home.side, home.bucket) else {
            let of = self.bucket_page(home);
            let (frame, rest) =
                self.pager.new_frame(|frame| of.fill(frame, &[(hash, *record)]).len());
            assert_eq!(rest, 0, "an inline record fits an empty page");
            self.pager.publish(&home.side, Which::Buckets, home.bucket, Some(frame));
            return true;
        };
        let shape = self.shared().shape;
        self.pager.edit(frame).insert(&shape, hash, record)
            || self.rebuild_bucket(home, frame, None, Some((hash, record)))
    }

    pub(super) fn bucket_page(&self, home: &Home) -> PageOf {
        self.pager.page_of(&home.side, Which::Buckets, home.bucket)
    }

    /// Replaces a bucket's page by one with the same records, without one and with another, and
    /// without dead bytes. `false`, and nothing changed, if they do not fit.
    fn rebuild_bucket(
        &mut self,
        home: &Home,
        frame: u32,
        without: Option<SlotPlace>,
        with: Option<(u64, &Record<'_>)>,
    ) -> bool {
        let shape = self.shared().shape;
        let added = with.map_or(0, |(_, record)| shape.record_len(record));
        let removed = without.map_or(0, |place| self.look_at(frame, place).0);
        let view = self.pager.view(frame);
        let live = crate::page::live_len(view) + added - removed;
        let count = crate::page::record_count(view) + usize::from(with.is_some())
            - usize::from(without.is_some());
        if !crate::page::edit::fits(view.len(), &shape, count, live) {
            return false;
        }
        let of = self.bucket_page(home);
        let seed = self.shared().parameters.hash_seed;
        let (new, fits) = self.pager.new_frame_from(&[frame], |new, sources| {
            let source = sources.first().copied().expect("one source");
            of.remake(new, source, without, with, |record| super::record_hash(record, seed))
        });
        if !fits {
            self.pager.give_back_frame(new);
            return false;
        }
        let old = self.pager.word_of(frame);
        self.pager.publish(&home.side, Which::Buckets, home.bucket, Some(new));
        self.pager.discard(old);
        true
    }

    /// Replaces a bucket's page by a copy, so that its word changes.
    fn touch_bucket(&mut self, home: &Home) {
        if let Some(frame) = self.pager.bucket_frame(&home.side, home.bucket) {
            let arena = self.shared().arena.clone();
            let (copy, is_sound) = self.pager.new_frame(|copy| copy.copy_from(arena.view(frame)));
            assert!(is_sound, "the writer's own page");
            let old = self.pager.word_of(frame);
            self.pager.publish(&home.side, Which::Buckets, home.bucket, Some(copy));
            self.pager.discard(old);
        }
    }

    /// Puts records that their bucket's page has no room for into overflow, each into the first page
    /// with room.
    pub(super) fn place_in_overflow(
        &mut self,
        home: &Home,
        records: &[(u64, Record<'_>)],
        may_rebuild: bool,
    ) {
        let mut chain = self.pager.private_chain_frames(&home.side, home.run);
        let shape = self.shared().shape;
        for (hash, record) in records {
            let insert = |&frame: &u32| self.pager.edit(frame).insert(&shape, *hash, record);
            if chain.iter().any(insert)
                || may_rebuild && self.rebuild_any(home, &mut chain, (*hash, record))
            {
                continue;
            }
            let (frame, rest) = self.pager.push_overflow(&home.side, home.run, |frame, of| {
                of.fill(frame, &[(*hash, *record)]).len()
            });
            assert_eq!(rest, 0, "an inline record fits an empty page");
            chain.push(frame);
        }
        let frame = self.pager.bucket_frame(&home.side, home.bucket);
        let frame = frame.expect("a bucket overflows only when its page is full");
        let mut page = self.pager.edit(frame);
        records.iter().for_each(|(hash, _)| page.note_overflow(*hash));
    }

    /// Replaces a page of a chain by one without dead bytes that holds another record as well, in
    /// the place of one of the same key or beside all. `None`, and nothing changed, if it does not
    /// fit.
    fn rebuild_in_chain(
        &mut self,
        home: &Home,
        frame: u32,
        without: Option<SlotPlace>,
        with: (u64, &Record<'_>),
    ) -> Option<u32> {
        let of = self.pager.page_of(&home.side, Which::Runs, home.run);
        let seed = self.shared().parameters.hash_seed;
        let (new, fits) = self.pager.new_frame_from(&[frame], |new, sources| {
            let source = sources.first().copied().expect("one source");
            let hash_of = |record: &Record<'_>| super::record_hash(record, seed);
            of.remake(new, source, without, Some(with), hash_of)
        });
        if !fits {
            self.pager.give_back_frame(new);
            return None;
        }
        self.pager.replace_in_chain(&home.side, home.run, frame, new);
        Some(new)
    }

    /// Adds a record to the first page of a chain that has room for it once its dead bytes are
    /// dropped; the frames are the chain's.
    fn rebuild_any(&mut self, home: &Home, chain: &mut [u32], with: (u64, &Record<'_>)) -> bool {
        let shape = self.shared().shape;
        chain.iter_mut().any(|frame| {
            let view = self.pager.view(*frame);
            let live = crate::page::live_len(view) + shape.record_len(with.1);
            // Only if it gains a good deal: else a full page is rebuilt again and again for nothing.
            let gains = (live + view.len() / 8) as u64 <= shape.payload(view.len());
            let new = gains.then(|| self.rebuild_in_chain(home, *frame, None, with)).flatten();
            new.inspect(|new| *frame = *new).is_some()
        })
    }
}
