//! The child of a fork, which has its parent's handle and must leave the file alone.
#![allow(unsafe_code, reason = "fork, and an end without destructors, have no safe names")]

use splitpoint::{Error, Index};

/// Forks; the child runs `child` and ends. Gives whether that was true.
fn in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses what the C library allows after a fork and ends without a return.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "no fork: {}", std::io::Error::last_os_error());
    if process == 0 {
        let right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: it only ends the process.
        unsafe { libc::_exit(i32::from(right.unwrap_or(false))) };
    }
    let mut status = 0;
    // SAFETY: the process is our child, and the status a place of our own.
    let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert_eq!(waited, process);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1
}

/// Uses an index in a child in every way; "refused" if that did no harm.
pub(crate) fn use_in_child(index: Index) -> String {
    // The threads run, and a log is there.
    index.insert("before", "the fork").unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Refused { .. } | Error::Io { .. }) => true,
        other => {
            println!("the child of a fork was answered {other:?}");
            false
        }
    };
    let path = index.path().to_owned();
    type Call = fn(&Index) -> Result<(), Error>;
    let calls: [Call; 6] = [
        |index| index.insert("key", "of the child").map(drop),
        |index| index.insert("large", vec![7; 100_000]).map(drop),
        |index| index.remove("before").map(drop),
        Index::sync,
        Index::checkpoint,
        Index::close,
    ];
    for call in calls {
        let clone = index.clone();
        if !in_child(|| refused(call(&clone))) {
            return "a call went through".to_owned();
        }
    }
    // The last handle of the child; the parent keeps its own.
    let last = std::sync::Mutex::new(Some(index));
    if !in_child(|| last.lock().unwrap().take().map(drop).is_some()) {
        return "the drop of a handle failed".to_owned();
    }
    if !matches!(Index::open(&path), Err(Error::Locked { .. })) {
        return "the child gave its parent's lock away".to_owned();
    }
    let index = last.into_inner().unwrap().unwrap();
    index.insert("after", "the fork").unwrap();
    index.close().unwrap();
    "refused".to_owned() + &goes_on(&path)
}

/// What is wrong with the parent's file, if anything.
fn goes_on(path: &std::path::Path) -> String {
    let index = match Index::open(path) {
        Ok(index) => index,
        Err(error) => return format!(" {error}"),
    };
    let found = |key: &str| index.get(key).unwrap().map(|value| value.to_vec());
    let is_right = found("after").as_deref() == Some(b"the fork")
        && found("before").as_deref() == Some(b"the fork")
        && found("key").as_deref() == Some(b"value")
        && index.check().unwrap().is_sound();
    if is_right { String::new() } else { " but changed".to_owned() }
}
