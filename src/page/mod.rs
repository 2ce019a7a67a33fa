//! Pages: one page of the file <-> its fields. Knows nothing of chains, files or logs.

mod view;

pub(crate) use view::View;
