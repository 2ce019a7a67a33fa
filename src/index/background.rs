//! The two threads of an index that is open for writing: one syncs, one runs checkpoints.
//!
//! They only call what anybody may call; a simulation does without them. They start with the first
//! write, so that an index that is only read has none.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Inner;
use crate::error::Error;

/// What the threads are asked to do.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Sync what is appended by then.
    sync_by: Option<Instant>,
    checkpoint: bool,
    stop: bool,
}

impl Inner {
    /// Starts the threads once.
    pub(super) fn start_threads(self: &Arc<Inner>) {
        if self.manual || self.threads_started.swap(true, Ordering::Relaxed) {
            return;
        }
        let spawn = |name: &str, run: fn(&Weak<Inner>, Requested)| {
            let inner = Arc::downgrade(self);
            let requested = Requested { requests: self.requests.clone() };
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || run(&inner, requested))
                .ok()
        };
        let spawned =
            [spawn("splitpoint-sync", sync_loop), spawn("splitpoint-checkpoint", checkpoint_loop)];
        if spawned.iter().any(Option::is_none) {
            self.lacks_threads.store(true, Ordering::Relaxed);
        }
        let threads: Vec<JoinHandle<()>> = spawned.into_iter().flatten().collect();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).extend(threads);
    }

    pub(super) fn ask_for_sync(&self, within: Duration) {
        let (requests, changed) = &*self.requests;
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        // An interval beyond the end of time asks for nothing.
        let by = Instant::now().checked_add(within);
        requests.sync_by = [requests.sync_by, by].into_iter().flatten().min();
        changed.notify_all();
    }

    pub(super) fn ask_for_checkpoint(&self) {
        let (requests, changed) = &*self.requests;
        requests.lock().unwrap_or_else(PoisonError::into_inner).checkpoint = true;
        changed.notify_all();
    }

    /// Ends the threads and waits for them.
    pub(super) fn stop_threads(&self) {
        let (requests, changed) = &*self.requests;
        requests.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        changed.notify_all();
        let threads: Vec<_> = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.drain(..).collect()
        };
        for thread in threads {
            // A thread that panicked has left the index refusing writes; nothing to add.
            let _ = thread.join();
        }
    }
}

/// The threads' end of the requests.
struct Requested {
    requests: Arc<super::SharedRequests>,
}

impl Requested {
    /// Waits until `take` finds something to do, looking again by the moment that it names at the
    /// latest; `None` at the end.
    fn next(&self, mut take: impl FnMut(&mut Requests) -> Wait) -> Option<()> {
        let (requests, changed) = &*self.requests;
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if requests.stop {
                return None;
            }
            requests = match take(&mut requests) {
                Wait::Over => return Some(()),
                Wait::ForChange => changed.wait(requests).unwrap_or_else(PoisonError::into_inner),
                Wait::AtMost(patience) => {
                    let waited = changed.wait_timeout(requests, patience);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// How long a thread waits.
enum Wait {
    Over,
    AtMost(Duration),
    ForChange,
}

fn sync_loop(inner: &Weak<Inner>, requested: Requested) {
    let take = |requests: &mut Requests| match requests.sync_by {
        None => Wait::ForChange,
        Some(by) => match by.checked_duration_since(Instant::now()) {
            Some(patience) if !patience.is_zero() => Wait::AtMost(patience),
            _ => {
                requests.sync_by = None;
                Wait::Over
            }
        },
    };
    while requested.next(take).is_some() {
        let Some(inner) = inner.upgrade() else { break };
        let newest = {
            let mut writer = inner.writer();
            // Under one lock: whoever commits after `newest` asks anew.
            writer.sync_due_within = None;
            writer.newest_lsn()
        };
        // A failure has made the index refuse writes: the next writer hears of it.
        let _ = inner.wait_durable(newest);
    }
}

fn checkpoint_loop(inner: &Weak<Inner>, requested: Requested) {
    let take = |requests: &mut Requests| match std::mem::take(&mut requests.checkpoint) {
        true => Wait::Over,
        false => Wait::ForChange,
    };
    while requested.next(take).is_some() {
        let Some(inner) = inner.upgrade() else { break };
        let run = std::panic::AssertUnwindSafe(|| inner.run_checkpoint());
        let result = std::panic::catch_unwind(run).unwrap_or_else(|_| {
            // Writers that wait for this thread must hear that it will not come.
            let panicked = std::io::Error::other("a panic in a checkpoint");
            let error = Error::io("write", &inner.shared.path, panicked);
            inner.shared.refuse(&error);
            Err(error)
        });
        inner.note_checkpoint_result(result);
    }
}
