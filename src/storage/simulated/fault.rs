//! Failures on order: which call fails, how, and for how long.

use std::io;

use super::journal::CallKind;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// An input/output error of any call. A failed sync is one as in `FailedSync`.
    InputOutput,
    /// No room for a write, a growth or a new name.
    StorageFull,
    /// Half of a write is done; no error.
    ShortWrite,
    /// A sync of a file fails, and only this once says so: what was pending is lost, and later
    /// syncs succeed without it (F7).
    FailedSync,
    /// No room, and the file is left longer, half written (F10).
    Leftovers,
    /// A read or a write is interrupted by a signal before it did anything.
    Interrupted,
}

impl Fault {
    /// Whether a call of the kind can fail so.
    #[must_use]
    pub fn concerns(self, kind: CallKind) -> bool {
        use CallKind::{Create, Evict, Read, Rename, SetLen, SyncData, Write};
        match self {
            Fault::InputOutput => kind != Evict,
            Fault::StorageFull => matches!(kind, Write | SetLen | Create | Rename),
            Fault::ShortWrite => kind == Write,
            Fault::FailedSync => kind == SyncData,
            Fault::Leftovers => matches!(kind, Write | SetLen),
            Fault::Interrupted => matches!(kind, Read | Write),
        }
    }

    /// The error as the operating system gives it.
    pub(super) fn error(self) -> io::Error {
        match self {
            Fault::StorageFull | Fault::Leftovers => io::ErrorKind::StorageFull.into(),
            Fault::Interrupted => io::ErrorKind::Interrupted.into(),
            Fault::ShortWrite => io::ErrorKind::WriteZero.into(),
            #[cfg(unix)]
            Fault::InputOutput | Fault::FailedSync => io::Error::from_raw_os_error(libc::EIO),
            #[cfg(not(unix))]
            Fault::InputOutput | Fault::FailedSync => io::Error::other("input/output error"),
        }
    }
}

/// Which calls fail: the one of that number, or all from it on, as far as they can fail so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    fault: Fault,
    call_index: usize,
    lasting: bool,
}

impl FaultPlan {
    /// That call fails, if it is one that can fail so.
    #[must_use]
    pub const fn once(fault: Fault, call_index: usize) -> FaultPlan {
        FaultPlan { fault, call_index, lasting: false }
    }

    /// That call and all later ones fail. (Of interruptions every second, lest nothing ever ends.)
    #[must_use]
    pub const fn from(fault: Fault, call_index: usize) -> FaultPlan {
        FaultPlan { fault, call_index, lasting: true }
    }

    /// The first call that fails.
    #[must_use]
    pub const fn call_index(&self) -> usize {
        self.call_index
    }

    /// How the call fails by this plan.
    pub(super) fn fault(&self, call_index: usize, kind: CallKind) -> Option<Fault> {
        let due = call_index == self.call_index || (self.lasting && call_index > self.call_index);
        let spared = self.fault == Fault::Interrupted
            && (call_index - self.call_index.min(call_index)) % 2 == 1;
        (due && !spared && self.fault.concerns(kind)).then_some(self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(plan: FaultPlan, kind: CallKind) -> Vec<usize> {
        (0..6).filter(|index| plan.fault(*index, kind).is_some()).collect()
    }

    #[test]
    fn a_plan_concerns_its_calls_only() {
        assert_eq!(failing(FaultPlan::once(Fault::InputOutput, 2), CallKind::Read), [2]);
        assert_eq!(failing(FaultPlan::from(Fault::InputOutput, 3), CallKind::Open), [3, 4, 5]);
        assert_eq!(failing(FaultPlan::from(Fault::StorageFull, 0), CallKind::Read), []);
        assert_eq!(failing(FaultPlan::from(Fault::Interrupted, 1), CallKind::Read), [1, 3, 5]);
    }
}
