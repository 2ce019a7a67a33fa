//! Writing pages of a checkpoint to the file: gathered, placed, sealed; and the nodes of trees among
//! them. Knows nothing of which pages those are.

use super::Shared;
use super::space::PageRun;
use super::tree::{Node, Nodes};
use crate::error::{Error, Fault, Place, Promise, Result};
use crate::page::pointer::Pointer;
use crate::page::{Identity, array, check_identity, meta, seal};

/// Bytes that are gathered before they are written.
const WRITE_SIZE: usize = 1 << 20;

/// The page that a pointer on file leads to.
pub(super) fn page_of(pointer: u64) -> u64 {
    match Pointer::decode(pointer) {
        Pointer::Unchecked { page, .. } | Pointer::Checked { page, .. } => page,
        Pointer::Empty | Pointer::Frame { .. } => panic!("a pointer that was written to the file"),
    }
}

/// Gathers pages that lie one after another and writes them together.
pub(super) struct Writer<'c> {
    shared: &'c Shared,
    generation: u64,
    taken: &'c mut Vec<PageRun>,
    /// Pages to use before any is allocated.
    pub(super) set_aside: Vec<u64>,
    buffer: Vec<u8>,
    first: u64,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        shared: &'c Shared,
        generation: u64,
        taken: &'c mut Vec<PageRun>,
    ) -> Writer<'c> {
        Writer { shared, generation, taken, set_aside: Vec::new(), buffer: Vec::new(), first: 0 }
    }

    /// Fills a page, gives it a place and seals it; gives its number and its pointer.
    pub(super) fn page(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<(u64, u64)> {
        let page = match self.set_aside.pop() {
            Some(page) => page,
            None => {
                let run = self.shared.allocate_page()?;
                self.taken.push(run);
                run.first
            }
        };
        let size = self.shared.parameters.page_size;
        if page != self.first + (self.buffer.len() / size) as u64 || self.buffer.len() >= WRITE_SIZE
        {
            self.flush()?;
            self.first = page;
        }
        let at = self.buffer.len();
        self.buffer.resize(at + size, 0);
        let bytes = self.buffer.get_mut(at..).unwrap_or_default();
        fill(bytes);
        let checksum = seal(bytes, page, self.shared.parameters.file_tag(), self.generation);
        Ok((page, Pointer::Unchecked { page, checksum }.encode()))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let size = self.shared.parameters.page_size;
        self.shared.ensure_len(self.first + (self.buffer.len() / size) as u64)?;
        let offset = self.shared.offset_of(self.first) as u64;
        let written = self.shared.file.write_all_at(&self.buffer, offset);
        written.map_err(|e| Error::io("write", &self.shared.path, e))?;
        self.buffer.clear();
        Ok(())
    }
}

/// The pages of trees, in the file.
pub(super) struct FileNodes<'c> {
    shared: &'c Shared,
    pub(super) writer: Writer<'c>,
    pub(super) freed: Vec<PageRun>,
}

impl<'c> FileNodes<'c> {
    pub(super) fn new(shared: &'c Shared, generation: u64, taken: &'c mut Vec<PageRun>) -> Self {
        FileNodes { shared, writer: Writer::new(shared, generation, taken), freed: Vec::new() }
    }
}

impl Nodes for FileNodes<'_> {
    fn read(&mut self, node: Node, pointer: u64) -> Result<Vec<u64>> {
        read_node(self.shared, node, pointer)
    }

    fn write(&mut self, node: Node, words: &[u64]) -> Result<u64> {
        let (_, pointer) = self.writer.page(|bytes| {
            array::encode(bytes, node.kind, node.level, node.owner, node.bucket_count, words);
        })?;
        Ok(pointer)
    }

    fn free(&mut self, pointer: u64) {
        self.freed.push(PageRun::one(page_of(pointer)));
    }
}

/// Reads a page of a tree and checks it.
pub(super) fn read_node(shared: &Shared, node: Node, pointer: u64) -> Result<Vec<u64>> {
    let at = |page: u64| move |fault: Fault| fault.at(&shared.path, Place::Page(page));
    let Pointer::Unchecked { page, checksum } = Pointer::decode(pointer) else {
        return Err(at(0)(Fault::new(Promise::PageRange, 0, pointer)));
    };
    if page < meta::first_page(shared.parameters.page_size) {
        return Err(at(page)(Fault::new(Promise::PageRange, 4, page)));
    }
    let owned = shared.read_page(page)?;
    let is = Identity {
        page_number: page,
        file_tag: shared.parameters.file_tag(),
        kind: node.kind,
        owner: node.owner,
        bucket_count: node.bucket_count,
    };
    check_identity(owned.bytes(), checksum, is).map_err(at(page))?;
    array::check_header(owned.bytes(), node.level).map_err(at(page))?;
    Ok(array::words(owned.bytes()).collect())
}
