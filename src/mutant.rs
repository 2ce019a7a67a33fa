//! Switches that each break one rule of the crash protocol, or of what readers rely on, so that the
//! campaigns can be tested: a campaign that does not notice a mutant is not good enough.
//!
//! Without the feature `mutants` every question is answered with a constant `false`. With it the
//! answer is the thread's own, so that tests may run beside one another. Knows nothing of what the
//! mutants do: that stands where the rule is kept.

/// One classic mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code, reason = "some are for tests only"))]
#[non_exhaustive]
pub enum Mutant {
    /// A commit is acknowledged before the log is synced (C1).
    AcknowledgeBeforeSync,
    /// The meta page is written before what it reaches is synced (C3).
    MetaBeforeData,
    /// The meta page is not synced.
    MetaNotSynced,
    /// Log segments are recycled before the meta page is durable.
    LogRecycledEarly,
    /// Pages are given out again before the meta page that dropped them is durable (C2).
    PageReusedEarly,
    /// The folder is not synced after a name was made or changed (F5).
    NoFolderSync,
    /// Two lives of the log share an epoch (C5).
    SameEpochTwice,
    /// A log that was found with a torn tail is continued in its epoch (C5).
    NoNewEpochAtUncleanOpen,
    /// Recovery shows a state before it is durable (C7).
    RecoveryShowsBeforeDurable,
    /// A failed sync is tried again (C6).
    SyncRetried,
    /// Meta pages go to two slots in turn (C4).
    TwoMetaSlots,
    /// A record's checksum covers bytes that end in their own checksum.
    NestedCrc,
    /// A changed page is written before its log record is durable (I2).
    Steal,
    /// Records do not carry the LSN known durable, so damage looks like a torn tail.
    NoSyncedMark,
    /// A checkpoint freezes between append and apply (C9).
    FreezeBetweenAppendAndApply,
    /// A writer decides on published instead of pending state.
    DecideOnPublishedState,
    /// Recovery steps back a generation although that one's log is gone.
    StepBackWithoutLog,
    /// Recovery gives out pages that only an undurable meta page calls free (C4).
    FreeByUndurableMeta,
    /// Frames are given out again while readers may still look at them.
    FramesRecycledEarly,
    /// A reader that misses its key does not ask whether a record moved meanwhile.
    MissNotDoubted,
    /// A value is written into a block that a checkpoint reaches (F3).
    ValueInReachedBlock,
    /// The log goes on in a next segment before the one before is durable (L3).
    HeaderBeforeTail,
}

impl Mutant {
    /// Those that break what readers beside writers rely on: for a test with threads.
    #[cfg(feature = "mutants")]
    pub const OF_THREADS: [Mutant; 2] = [Mutant::FramesRecycledEarly, Mutant::MissNotDoubted];

    /// All that break the crash protocol.
    #[cfg(any(test, feature = "mutants"))]
    pub const ALL: [Mutant; 20] = [
        Mutant::AcknowledgeBeforeSync,
        Mutant::MetaBeforeData,
        Mutant::MetaNotSynced,
        Mutant::LogRecycledEarly,
        Mutant::PageReusedEarly,
        Mutant::NoFolderSync,
        Mutant::SameEpochTwice,
        Mutant::NoNewEpochAtUncleanOpen,
        Mutant::RecoveryShowsBeforeDurable,
        Mutant::SyncRetried,
        Mutant::TwoMetaSlots,
        Mutant::NestedCrc,
        Mutant::Steal,
        Mutant::NoSyncedMark,
        Mutant::FreezeBetweenAppendAndApply,
        Mutant::DecideOnPublishedState,
        Mutant::StepBackWithoutLog,
        Mutant::FreeByUndurableMeta,
        Mutant::ValueInReachedBlock,
        Mutant::HeaderBeforeTail,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether any thread ever chose a mistake: benchmarks are built with the switches, and ask it on the
/// path of each lookup.
#[cfg(feature = "mutants")]
static ANY: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Chooses the mistake that this thread makes from now on.
#[cfg(feature = "mutants")]
pub fn set(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
    ANY.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Whether this thread is to make the mistake.
#[cfg(feature = "mutants")]
#[inline]
pub(crate) fn mutant(mutant: Mutant) -> bool {
    ANY.load(std::sync::atomic::Ordering::Relaxed) && CHOSEN.get() == Some(mutant)
}

/// Never: this build makes no mistakes on purpose.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn mutant(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::{Mutant, mutant};

    #[test]
    fn without_a_choice_no_mistake_is_made() {
        assert!(Mutant::ALL.iter().all(|each| !mutant(*each)));
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn only_the_chosen_mistake_is_made() {
        super::set(Some(Mutant::Steal));
        let made: Vec<_> = Mutant::ALL.into_iter().filter(|each| mutant(*each)).collect();
        super::set(None);
        assert_eq!(made, [Mutant::Steal]);
    }
}
