//! Lookup, for any number of readers beside the writer.
//!
//! *Believe a hit, doubt a miss*: a reader that finds its key is right, the record was current at
//! some moment of the call. A record that moves (to the next layout, between bucket page and
//! overflow) can be missed in both places; but then a word of the directory or the splitpoint has
//! changed, since whoever moves a record changes one of the two between storing it in its new place
//! and removing it from the old. So a miss counts only if they have not changed.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use super::Wanted;
use crate::error::Result;
use crate::hash::hash;
use crate::layout::Layout;
use crate::mutant::{Mutant, mutant};
use crate::page::OwnedPage;
use crate::page::bucket::{Found, find};
use crate::page::candidate::{self, Glance};
use crate::page::record::{LargeRecord, Record};
use crate::pager::{Page, Pin, Shared, Side, State, ValueBytes, Which};

/// A value found, as long as the pin is held.
#[derive(Debug, Clone)]
pub(crate) enum Hit<'p> {
    /// In a page.
    Inline(&'p [u8]),
    /// Read into memory of its own.
    Copied(Vec<u8>),
    /// In the value area, and so long.
    Large(ValueBytes<'p>, usize),
}

impl Deref for Hit<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Hit::Inline(value) => value,
            Hit::Copied(value) => value,
            Hit::Large(bytes, len) => bytes.get(..*len).unwrap_or_default(),
        }
    }
}

/// Where a key's value is.
enum Located<'p> {
    /// In a page.
    Inline(&'p [u8]),
    /// In a page, which was read into memory of its own.
    Copied(Vec<u8>),
    /// In the value area.
    Large(LargeRecord),
}

/// The value of a key.
pub(crate) fn get<'p>(shared: &'p Shared, pin: &'p Pin<'_>, key: &[u8]) -> Result<Option<Hit<'p>>> {
    get_as(shared, pin, key, Hit::Inline, |hit| hit)
}

/// The value of a key, as `inline` makes it of one in a page and `other` of any. Both and the glance are
/// compiled into the caller, so that what most lookups find stays in registers.
#[inline(always)]
pub(crate) fn get_as<'p, R>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    key: &[u8],
    inline: impl FnOnce(&'p [u8]) -> R,
    other: impl FnOnce(Hit<'p>) -> R,
) -> Result<Option<R>> {
    let hash = hash(key, shared.parameters.hash_seed);
    match glance(shared, pin, key, hash) {
        Glance::Hit(value) => Ok(Some(inline(value))),
        Glance::Nowhere => Ok(None),
        Glance::Large(large) => Ok(Some(other(large_hit(shared, pin, &large)?))),
        Glance::Unknown => Ok(get_hashed(shared, pin, key, hash)?.map(other)),
    }
}

/// Whether a key is there. A large value is not read.
pub(crate) fn contains(shared: &Shared, pin: &Pin<'_>, key: &[u8]) -> Result<bool> {
    let hash = hash(key, shared.parameters.hash_seed);
    match glance(shared, pin, key, hash) {
        Glance::Hit(_) | Glance::Large(_) => Ok(true),
        Glance::Nowhere => Ok(false),
        Glance::Unknown => Ok(locate(shared, pin, key, hash)?.is_some()),
    }
}

/// What one look says: at the page if it is known to be sound, at one slot of it. That settles most
/// lookups, in so few instructions that the processor begins the next one while this one waits for
/// memory.
#[inline(always)]
fn glance<'p>(shared: &'p Shared, pin: &'p Pin<'_>, key: &[u8], hash: u64) -> Glance<'p> {
    let state = shared.state.load(pin);
    let (side, splitpoint) = state.side_of(hash);
    let slot = side.word(Which::Buckets, side.layout.bucket_of(hash));
    let word = slot.load(Ordering::SeqCst);
    let Some((page, cells)) = shared.known_page(pin, word) else { return Glance::Unknown };
    match candidate::glance(page, &shared.shape, cells, hash, key) {
        Glance::Nowhere
            if mutant(Mutant::MissNotDoubted)
                || slot.load(Ordering::SeqCst) != word
                || !is_current(shared, pin, state, splitpoint, hash) =>
        {
            Glance::Unknown
        }
        glance => glance,
    }
}

/// The value of a key whose hash is known.
#[inline(never)]
pub(crate) fn get_hashed<'p>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    key: &[u8],
    hash: u64,
) -> Result<Option<Hit<'p>>> {
    Ok(match locate(shared, pin, key, hash)? {
        None => None,
        Some(Located::Inline(value)) => Some(Hit::Inline(value)),
        Some(Located::Copied(value)) => Some(Hit::Copied(value)),
        Some(Located::Large(large)) => Some(large_hit(shared, pin, &large)?),
    })
}

#[inline(never)]
fn locate<'p>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    key: &[u8],
    hash: u64,
) -> Result<Option<Located<'p>>> {
    let wanted = Wanted { key, shared, pin };
    loop {
        let state = shared.state.load(pin);
        let (side, splitpoint) = state.side_of(hash);
        let bucket = side.layout.bucket_of(hash);
        let slot = side.word(Which::Buckets, bucket);
        let word = slot.load(Ordering::SeqCst);
        if mutant(Mutant::MissNotDoubted) {
            // Records move in the blink of an eye: a longer look makes the mistake show sooner.
            std::thread::yield_now();
        }
        let page = match shared.known_page(pin, word) {
            Some((view, cell_count)) => Some(Page::Shared { view, cell_count }),
            None => shared.page(pin, side, Which::Buckets, bucket, word, Some(slot))?,
        };
        let mut chain_word = None;
        if let Some(page) = page {
            match search(shared, &page, hash, &wanted)? {
                Searched::Hit(located) => return Ok(Some(located)),
                Searched::Nowhere => {}
                Searched::PerhapsInOverflow => {
                    let run = Layout::run_of(bucket);
                    let head = side.load(Which::Runs, run);
                    chain_word = Some(head);
                    let located = search_chain(shared, pin, side, (run, head), hash, &wanted)?;
                    if located.is_some() {
                        return Ok(located);
                    }
                }
            }
        }
        if mutant(Mutant::MissNotDoubted) {
            return Ok(None);
        }
        if is_current(shared, pin, state, splitpoint, hash)
            && same_page(slot.load(Ordering::SeqCst), word)
            && chain_word
                .is_none_or(|head| same_page(side.load(Which::Runs, Layout::run_of(bucket)), head))
        {
            return Ok(None);
        }
    }
}

/// Whether a hash is still looked up where the state said.
#[inline]
fn is_current(shared: &Shared, pin: &Pin<'_>, state: &State, splitpoint: u64, hash: u64) -> bool {
    let now = shared.state.load(pin);
    let (_, splitpoint_now) = now.side_of(hash);
    std::ptr::eq(now, state) && (hash < splitpoint) == (hash < splitpoint_now)
}

/// Whether two words of one entry lead to the same page: a reader may have noted in between that
/// it is checked.
pub(super) fn same_page(now: u64, before: u64) -> bool {
    use crate::page::pointer::Pointer;
    if now == before {
        return true;
    }
    matches!(
        (Pointer::decode(now), Pointer::decode(before)),
        (Pointer::Checked { page: now, .. }, Pointer::Unchecked { page: before, .. }) if now == before
    )
}

enum Searched<'p> {
    Hit(Located<'p>),
    PerhapsInOverflow,
    Nowhere,
}

#[inline]
fn search<'p>(
    shared: &Shared,
    page: &Page<'p>,
    hash: u64,
    wanted: &Wanted<'_>,
) -> Result<Searched<'p>> {
    match page {
        Page::Shared { view, cell_count } => {
            let found = find(*view, &shared.shape, *cell_count, hash, wanted)?;
            Ok(searched(found, Located::Inline))
        }
        Page::Owned { page, cell_count } => search_owned(shared, (page, *cell_count), hash, wanted),
    }
}

#[cold]
fn search_owned<'p>(
    shared: &Shared,
    (page, cell_count): (&OwnedPage, usize),
    hash: u64,
    wanted: &Wanted<'_>,
) -> Result<Searched<'p>> {
    let found = find(page.view(), &shared.shape, cell_count, hash, wanted)?;
    Ok(searched(found, |value| Located::Copied(value.to_vec())))
}

#[inline]
fn searched<'v, 'p>(
    found: Found<'v>,
    inline: impl FnOnce(&'v [u8]) -> Located<'p>,
) -> Searched<'p> {
    match found {
        Found::Record(_, Record::Inline { value, .. }) => Searched::Hit(inline(value)),
        Found::Record(_, Record::Large(large, _)) => Searched::Hit(Located::Large(large)),
        Found::PerhapsInOverflow => Searched::PerhapsInOverflow,
        Found::Nowhere => Searched::Nowhere,
    }
}

#[inline(never)]
pub(super) fn large_hit<'p>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    large: &LargeRecord,
) -> Result<Hit<'p>> {
    let len = usize::try_from(large.value_len).unwrap_or(usize::MAX);
    Ok(Hit::Large(shared.large_bytes(pin, large)?, len))
}

#[cold]
fn search_chain<'p>(
    shared: &'p Shared,
    pin: &'p Pin<'_>,
    side: &Side,
    (run, head): (u64, u64),
    hash: u64,
    wanted: &Wanted<'_>,
) -> Result<Option<Located<'p>>> {
    let mut word = head;
    let mut slot = Some(side.word(Which::Runs, run));
    for len in 0.. {
        shared.check_chain_len(len, word)?;
        let page = shared.page(pin, side, Which::Runs, run, word, slot.take())?;
        let Some(page) = page else { break };
        if let Searched::Hit(located) = search(shared, &page, hash, wanted)? {
            return Ok(Some(located));
        }
        word = page.next();
    }
    Ok(None)
}
