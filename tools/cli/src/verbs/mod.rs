//! The verbs, one file each: what its arguments are, and what it does.

pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod count;
pub(crate) mod create;
pub(crate) mod del;
pub(crate) mod dump;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod load;
mod load_bulk;
mod load_reader;
pub(crate) mod put;
pub(crate) mod scan;
pub(crate) mod stat;
