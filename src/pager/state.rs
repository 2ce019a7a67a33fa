//! Where the pages are: the directories of one layout, and which layout a hash is looked up in.
//!
//! Knows nothing of what a page holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::Layout;
use crate::page::{Kind, prefetch, zeroed_words};

/// Which of the two arrays of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Which {
    /// A word for each bucket: its bucket page.
    Buckets,
    /// A word for each run: the first page of its overflow chain.
    Runs,
}

impl Which {
    /// The kind of page that the words point to.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Which::Buckets => Kind::Bucket,
            Which::Runs => Kind::Overflow,
        }
    }
}

/// A layout and its directories. Their words are stored by the writer; a reader that checked a
/// page may only replace its word by one that says so.
#[derive(Debug)]
pub(crate) struct Side {
    /// Tells the sides of one index apart, for its life as an open handle.
    pub(crate) id: u64,
    pub(crate) layout: Layout,
    buckets: Box<[AtomicU64]>,
    runs: Box<[AtomicU64]>,
}

impl Side {
    /// A side without pages.
    pub(crate) fn new(id: u64, layout: Layout) -> Side {
        Side {
            id,
            layout,
            buckets: zeroed_words(layout.bucket_count),
            runs: zeroed_words(layout.run_count()),
        }
    }

    /// The word of a bucket or run that the layout has.
    #[inline]
    pub(crate) fn word(&self, which: Which, index: u64) -> &AtomicU64 {
        let words = match which {
            Which::Buckets => &self.buckets,
            Which::Runs => &self.runs,
        };
        let index = usize::try_from(index).expect("bucket counts have 31 bits");
        words.get(index).expect("a bucket of the layout")
    }

    /// Asks the processor to have a word ready.
    #[inline]
    pub(crate) fn prefetch(&self, which: Which, index: u64) {
        prefetch(self.word(which, index));
    }

    /// Loads a word as readers must (see `epoch`).
    #[inline]
    pub(crate) fn load(&self, which: Which, index: u64) -> u64 {
        self.word(which, index).load(Ordering::SeqCst)
    }

    pub(crate) fn len(&self, which: Which) -> u64 {
        match which {
            Which::Buckets => self.buckets.len() as u64,
            Which::Runs => self.runs.len() as u64,
        }
    }
}

/// The layout of hashes at or above the splitpoint and, while a sweep runs, of those below it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) current: Arc<Side>,
    pub(crate) next: Option<Arc<Side>>,
    pub(crate) splitpoint: AtomicU64,
}

impl State {
    /// The side that a hash is looked up in, and the splitpoint that said so.
    #[inline]
    pub(crate) fn side_of(&self, hash: u64) -> (&Arc<Side>, u64) {
        match &self.next {
            None => (&self.current, 0),
            Some(next) => {
                let splitpoint = self.splitpoint.load(Ordering::SeqCst);
                (if hash < splitpoint { next } else { &self.current }, splitpoint)
            }
        }
    }

    /// The side of this id.
    pub(crate) fn side(&self, id: u64) -> Option<&Arc<Side>> {
        [Some(&self.current), self.next.as_ref()].into_iter().flatten().find(|side| side.id == id)
    }
}
