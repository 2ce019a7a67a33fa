//! The verbs, one file each: what its arguments are, and what it does.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod corrupt;
pub(crate) mod count;
pub(crate) mod create;
pub(crate) mod del;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod load;
mod load_bulk;
mod load_input;
mod load_reader;
pub(crate) mod metrics;
pub(crate) mod put;
pub(crate) mod report;
pub(crate) mod salvage;
pub(crate) mod scan;
pub(crate) mod shell;
pub(crate) mod stat;
