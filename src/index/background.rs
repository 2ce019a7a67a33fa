//! The two threads of an index that is open for writing: one syncs, one runs checkpoints.
//!
//! They only call what anybody may call; a simulation does without them. They start with the first
//! write, so that an index that is only read has none.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Inner;
use crate::error::Error;

/// What the threads are asked to do.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Sync what is appended, this long after now at the latest.
    sync_within: Option<Duration>,
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
        let threads: Vec<JoinHandle<()>> =
            [spawn("splitpoint-sync", sync_loop), spawn("splitpoint-checkpoint", checkpoint_loop)]
                .into_iter()
                .flatten()
                .collect();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).extend(threads);
    }

    pub(super) fn ask_for_sync(&self, within: Duration) {
        let (requests, changed) = &*self.requests;
        requests.lock().unwrap_or_else(PoisonError::into_inner).sync_within = Some(within);
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
        let current = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != current {
                // A thread that panicked has left the index refusing writes; nothing to add.
                let _ = thread.join();
            }
        }
    }
}

/// The threads' end of the requests.
struct Requested {
    requests: Arc<super::SharedRequests>,
}

impl Requested {
    /// Waits until `take` finds something to do; `None` at the end.
    fn next<T>(&self, mut take: impl FnMut(&mut Requests) -> Option<T>) -> Option<T> {
        let (requests, changed) = &*self.requests;
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if requests.stop {
                return None;
            }
            if let Some(found) = take(&mut requests) {
                return Some(found);
            }
            requests = changed.wait(requests).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits; `false` if the end came first.
    fn sleep(&self, patience: Duration) -> bool {
        let (requests, changed) = &*self.requests;
        let requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(requests, patience, |requests| !requests.stop);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

fn sync_loop(inner: &Weak<Inner>, requested: Requested) {
    while let Some(within) = requested.next(|requests| requests.sync_within.take()) {
        if !requested.sleep(within) {
            break;
        }
        let Some(inner) = inner.upgrade() else { break };
        let newest = inner.writer().newest_lsn();
        // A failure has made the index refuse writes: the next writer hears of it.
        let _ = inner.wait_durable(newest);
    }
}

fn checkpoint_loop(inner: &Weak<Inner>, requested: Requested) {
    let take = |requests: &mut Requests| std::mem::take(&mut requests.checkpoint).then_some(());
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
