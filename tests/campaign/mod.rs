//! What the campaigns share: plans, the model that judges them, the checks of one image.
//!
//! | file | what |
//! |---|---|
//! | `plan` | operations and options, drawn from a seed |
//! | `model` | what an index should hold, as sums |
//! | `run` | a plan carried out on a simulated disk, with what may be lost at each call |
//! | `boot` | the checks of one crash image |
//! | `short` | all short sequences of operations, from a few states |
//! | `shrink` | a failing plan made smaller |
//! | `tally` | distinct states, counted by all threads together |
//!
//! Knows the library by its public face only.
#![allow(dead_code, reason = "each campaign uses its own part")]

pub(crate) mod boot;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod short;
pub(crate) mod shrink;
pub(crate) mod tally;

/// The data file of every campaign.
pub(crate) const PATH: &str = "/index";

/// A number that the caller of the test may set.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs it; a panic is an error with the panic's words.
pub(crate) fn quietly<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}{}", text.unwrap_or("?"), LAST_PANIC.take()))
    })
}

thread_local! {
    static LAST_PANIC: std::cell::Cell<String> = const { std::cell::Cell::new(String::new()) };
}

/// Keeps panics from being printed: campaigns provoke them by the thousand when they shrink.
pub(crate) fn hush_panics() {
    std::panic::set_hook(Box::new(|info| {
        LAST_PANIC.set(info.location().map(|at| format!(", at {at}")).unwrap_or_default());
    }));
}
