//! Epochs: what readers may still be looking at is given out again only when they have left.
//!
//! A reader holds a [`Pin`] while it looks at pages; [`Epoch::retire`] runs a function when every
//! pin that was held at that moment is gone. [`Published`] is a pointer that readers load under a
//! pin and the writer swaps. The reclamation is the `seize` crate's (Hyaline by Nikolaev and
//! Ravindran, with asymmetric fences), one collector for each index, so that a pin of one index
//! never holds back another's memory.
//!
//! # Proof
//! 1. What is retired was unlinked before, by a SeqCst store or swap of the word or pointer that
//!    led to it, and readers follow words and pointers with SeqCst loads under a pin: the total
//!    order that `seize` asks for. So no reader that pins after `retire` can find it.
//! 2. A [`Published`] pointer comes from `Arc::into_raw` and is dropped once: in the function that
//!    its successor retires, or with the `Published`.
//! 3. The pin that a load borrows is of the collector that the pointer's retirement goes through:
//!    `Published::load` takes the epoch's own pin, and an index has one epoch.
//! 4. The bytes of a [`PinnedBytes`] had the lifetime of a borrow of its pin, in a function that
//!    could be called with any such lifetime: so they are good for as long as the pin is held,
//!    wherever it is moved to. Those of a [`Keep`] had that of another pin of the same thread, which
//!    is still held when theirs is made: to the collector a thread is pinned until its last pin goes.
//!    So [`Pin::renew`] takes away nothing: it needs the pin for itself, so that nothing borrows it,
//!    and the collector leaves a thread pinned that has another one.
//!
//! `tests/interleavings.rs` has the protocol that rests on this under a model checker, which takes
//! the collector at its word; `tests/linearizable.rs` runs the real one.
//!
//! Knows nothing of pages: what to do with garbage is in the function that is retired.
#![allow(unsafe_code, reason = "one of the modules that DESIGN.md names; the proof is above")]

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use seize::{Collector, Guard, LocalGuard};

/// Entries of one retirement. The collector needs an entry for each thread that is pinned at that
/// moment, else it waits for the next retirement; so idle entries go along.
const ENTRIES: usize = 32;
/// As many times these at most for the last retirement of a collector, which no other comes after.
const LAST_ROUNDS: usize = 256;

/// The epoch of one index.
#[derive(Debug)]
pub(crate) struct Epoch {
    collector: Collector,
    held: Arc<Mutex<Outstanding>>,
}

/// Retired and not yet run, by number.
#[derive(Debug, Default)]
struct Outstanding {
    next: u64,
    by_number: BTreeMap<u64, (Instant, u64)>,
}

/// Keeps what a reader may see as it is.
pub(crate) struct Pin<'a> {
    guard: LocalGuard<'a>,
}

impl Pin<'_> {
    /// As leaving and pinning anew, unless the thread holds other pins.
    pub(crate) fn renew(&mut self) {
        self.guard.refresh();
    }
}

/// Bytes that were found under a pin, together with it.
pub(crate) struct PinnedBytes<'e> {
    start: NonNull<u8>,
    len: usize,
    _pin: Pin<'e>,
}

impl Deref for PinnedBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: rule 4: the pin is still held.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// What a search under a pin found.
pub(crate) enum Held<'p, O> {
    /// Bytes that stay as they are while the pin is held.
    Pinned(&'p [u8]),
    /// Something that needs no pin.
    Owned(O),
}

/// Keeps bytes that were found under the pin of [`Epoch::hold_all`].
pub(crate) struct Keep<'p, 'e> {
    epoch: &'e Epoch,
    /// Of exactly that pin's lifetime: nothing that lives shorter or longer will do.
    _pin: PhantomData<fn(&'p Pin<'e>) -> &'p Pin<'e>>,
}

impl<'p, 'e> Keep<'p, 'e> {
    /// The bytes, with another pin of this thread, for as long as that is held.
    #[inline]
    pub(crate) fn keep(&self, bytes: &'p [u8]) -> PinnedBytes<'e> {
        let pin = self.epoch.pin();
        PinnedBytes { start: NonNull::from(bytes).cast(), len: bytes.len(), _pin: pin }
    }
}

struct Deferred(Box<dyn FnOnce() + Send>);

impl Epoch {
    pub(crate) fn new() -> Epoch {
        Epoch { collector: Collector::new().batch_size(ENTRIES), held: Arc::default() }
    }

    /// Pins the current thread until the pin is dropped. Costs a store and a fence of this core.
    #[inline]
    pub(crate) fn pin(&self) -> Pin<'_> {
        Pin { guard: self.collector.enter() }
    }

    /// Pins, searches, and keeps the pin with the bytes that were found, if they need it.
    #[inline]
    pub(crate) fn hold<'e, O, E>(
        &'e self,
        search: impl for<'p> FnOnce(&'p Pin<'e>) -> Result<Option<Held<'p, O>>, E>,
    ) -> Result<Option<Result<PinnedBytes<'e>, O>>, E> {
        let pin = self.pin();
        let (start, len) = match search(&pin)? {
            None => return Ok(None),
            Some(Held::Owned(owned)) => return Ok(Some(Err(owned))),
            Some(Held::Pinned(bytes)) => (NonNull::from(bytes).cast(), bytes.len()),
        };
        Ok(Some(Ok(PinnedBytes { start, len, _pin: pin })))
    }

    /// Pins, and searches; what is found is kept one by one, each with a pin of its own.
    pub(crate) fn hold_all<'e, R>(
        &'e self,
        search: impl for<'p> FnOnce(&'p Pin<'e>, Keep<'p, 'e>) -> R,
    ) -> R {
        let pin = self.pin();
        search(&pin, Keep { epoch: self, _pin: PhantomData })
    }

    /// Runs `free` when every pin that is held now is gone; at once if there is none. `bytes` is
    /// how much memory it holds back, for the statistics.
    pub(crate) fn retire(&self, bytes: u64, free: impl FnOnce() + Send + 'static) {
        let number = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.next += 1;
            let number = held.next;
            held.by_number.insert(number, (Instant::now(), bytes));
            number
        };
        let held = self.held.clone();
        let deferred = Deferred(Box::new(move || {
            held.lock().unwrap_or_else(PoisonError::into_inner).by_number.remove(&number);
            free();
        }));
        let deferred = Box::into_raw(Box::new(deferred));
        // SAFETY: rule 1: what `free` frees is unlinked; the box is passed on whole.
        unsafe { self.collector.retire(deferred, run) };
        self.retire_idle(ENTRIES - 1);
    }

    /// As `retire`, for the last time: also with thousands of threads pinned, none of which retires
    /// anything after it.
    pub(crate) fn retire_last(&self, free: impl FnOnce() + Send + 'static) {
        self.retire(0, free);
        for _ in 0..LAST_ROUNDS {
            if self.held.lock().unwrap_or_else(PoisonError::into_inner).by_number.is_empty() {
                break;
            }
            self.retire_idle(ENTRIES);
        }
    }

    fn retire_idle(&self, entries: usize) {
        for _ in 0..entries {
            // SAFETY: `idle` does nothing with the pointer.
            unsafe { self.collector.retire(std::ptr::dangling_mut::<u8>(), idle) };
        }
    }

    /// Bytes held back by pins, and the age of the oldest retirement among them.
    pub(crate) fn held_back(&self) -> (u64, Duration) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = held.by_number.values().map(|(_, bytes)| bytes).sum();
        let oldest = held.by_number.values().next();
        (bytes, oldest.map_or(Duration::ZERO, |(since, _)| since.elapsed()))
    }
}

/// # Safety
/// `deferred` comes from `Box::into_raw` and is passed once.
unsafe fn run(deferred: *mut Deferred, _: &Collector) {
    // SAFETY: the caller's promise.
    let deferred = unsafe { Box::from_raw(deferred) };
    (deferred.0)();
}

unsafe fn idle(_: *mut u8, _: &Collector) {}

/// A value that readers look at under a pin while the writer replaces it.
#[derive(Debug)]
pub(crate) struct Published<T> {
    pointer: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Published<T> {
        Published { pointer: AtomicPtr::new(Arc::into_raw(value).cast_mut()) }
    }

    /// The newest value, for as long as the pin is held.
    #[inline]
    pub(crate) fn load<'p>(&self, _pin: &'p Pin<'_>) -> &'p T {
        let pointer = self.pointer.load(Ordering::SeqCst);
        // SAFETY: rules 2 and 3: it is dropped only when this pin is gone.
        unsafe { &*pointer }
    }

    /// Puts another value in its place; the old one is dropped when its readers have left.
    pub(crate) fn replace(&self, epoch: &Epoch, value: Arc<T>) {
        let old = self.pointer.swap(Arc::into_raw(value).cast_mut(), Ordering::SeqCst);
        // SAFETY: rule 2: it came from `Arc::into_raw`, and this swap took it out.
        let old = unsafe { Arc::from_raw(old.cast_const()) };
        epoch.retire(0, move || drop(old));
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        // SAFETY: rule 2; nobody else has `self`.
        drop(unsafe { Arc::from_raw(self.pointer.get_mut().cast_const()) });
    }
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Published};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn garbage_waits_for_pins_that_were_held() {
        let epoch = Epoch::new();
        let freed = Arc::new(AtomicUsize::new(0));
        let free = || {
            let freed = freed.clone();
            move || {
                freed.fetch_add(1, Ordering::SeqCst);
            }
        };
        epoch.retire(1, free());
        assert_eq!(freed.load(Ordering::SeqCst), 1, "nobody is pinned");
        let pin = epoch.pin();
        epoch.retire(10, free());
        assert_eq!(freed.load(Ordering::SeqCst), 1);
        assert_eq!(epoch.held_back().0, 10);
        drop(pin);
        assert_eq!(freed.load(Ordering::SeqCst), 2);
        assert_eq!(epoch.held_back().0, 0);
    }

    #[test]
    fn many_pinned_threads_delay_and_release() {
        let epoch = Epoch::new();
        let freed = Arc::new(AtomicUsize::new(0));
        let barrier = std::sync::Barrier::new(9);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let pin = epoch.pin();
                    barrier.wait();
                    barrier.wait();
                    drop(pin);
                });
            }
            barrier.wait();
            let counter = freed.clone();
            epoch.retire(1, move || {
                counter.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(freed.load(Ordering::SeqCst), 0);
            barrier.wait();
        });
        assert_eq!(freed.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_loaded_value_outlives_its_replacement() {
        let epoch = Epoch::new();
        let published = Published::new(Arc::new(String::from("old")));
        let pin = epoch.pin();
        let seen = published.load(&pin);
        published.replace(&epoch, Arc::new(String::from("new")));
        assert_eq!(seen, "old");
        assert_eq!(published.load(&pin), "new");
    }
}
