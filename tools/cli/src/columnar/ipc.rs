//! Arrow IPC, message by message. A file is a stream between `ARROW1` and a footer, which is not
//! needed: the messages come in order. Knows nothing of cells.
//!
//! Every length is compared with what there is, or with the limit, before anything is allocated.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{MessageHeader, RecordBatch as BatchHeader, root_as_message};
use arrow_schema::Schema;

use super::Batches;

/// What a file begins with, padded with zeros to 8 bytes or more, and ends with.
pub(crate) const MAGIC: &[u8; 6] = b"ARROW1";
/// What stands before a message's length, and is the end if that is 0.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The most bytes of a message without its body.
const HEAD_MAX: u32 = 16 << 20;

/// Messages from the first on.
pub(super) struct Stream {
    input: Box<dyn Read + Send>,
    /// Bytes to the end of the messages, if that is known.
    left: Option<u64>,
    decoder: StreamDecoder,
    batch_max: u64,
    batches: VecDeque<RecordBatch>,
    has_ended: bool,
    /// Zeros before the first message are what the file's beginning was padded with.
    is_padding: bool,
}

impl Stream {
    /// Reads the schema.
    pub(super) fn open(
        mut input: Box<dyn Read + Send>,
        tail: Option<([u8; 10], u64)>,
        batch_max: u64,
    ) -> Result<Stream, String> {
        let mut start = Vec::new();
        take(&mut input, 8, &mut start)?;
        let is_file = start.starts_with(MAGIC);
        if start.len() < 8 {
            return Err("not Arrow IPC: it has fewer than 8 bytes".to_owned());
        }
        if !is_file && !start.starts_with(&CONTINUATION) {
            return Err(
                "not Arrow IPC: it begins with neither ARROW1 nor a message of a stream".to_owned()
            );
        }
        let mut left = None;
        if let Some((tail, len)) = tail.filter(|_| is_file) {
            let footer = tail.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
            let frame = 8 + 10 + u64::from(footer);
            if !tail.ends_with(MAGIC) || frame > len {
                return Err("an Arrow file that is cut off: it does not end with ARROW1".to_owned());
            }
            left = Some(len - frame);
        }
        let input: Box<dyn Read + Send> = match is_file {
            true => input,
            false => Box::new(std::io::Cursor::new(start).chain(input)),
        };
        let decoder = StreamDecoder::new();
        let (batches, has_ended) = (VecDeque::new(), false);
        let is_padding = is_file;
        let mut stream = Stream { input, left, decoder, batch_max, batches, has_ended, is_padding };
        while stream.decoder.schema().is_none() && !stream.has_ended {
            stream.message()?;
        }
        match stream.decoder.schema() {
            Some(_) => Ok(stream),
            None => Err("damaged: Arrow IPC without a schema".to_owned()),
        }
    }

    pub(super) fn schema(&self) -> Arc<Schema> {
        self.decoder.schema().unwrap_or_else(|| Arc::new(Schema::empty()))
    }

    /// Takes the next message in.
    fn message(&mut self) -> Result<(), String> {
        let mut word = Vec::new();
        self.exactly(4, &mut word)?;
        while self.is_padding && word == [0; 4] {
            word.clear();
            self.exactly(4, &mut word)?;
        }
        self.is_padding = false;
        if word == CONTINUATION {
            word.clear();
            self.exactly(4, &mut word)?;
        }
        let head_len = word.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if word.is_empty() || head_len == 0 {
            self.has_ended = true;
            return self.decode([&CONTINUATION[..], &[0; 4]].concat());
        }
        if head_len > HEAD_MAX {
            return Err(format!("damaged: a message of {head_len} bytes before its body"));
        }
        let mut head = Vec::new();
        self.whole(head_len.into(), &mut head)?;
        let (body_len, inflated) = self.lengths(&head)?;
        let mut body = Vec::new();
        self.whole(body_len, &mut body)?;
        if inflated {
            self.check_inflated(&head, &body)?;
        }
        let before = self.batches.len();
        self.decode([&CONTINUATION[..], &head_len.to_le_bytes()].concat())?;
        self.decode(head)?;
        self.decode(body)?;
        // A row takes a bit at least, unless it has nothing that could be a key.
        let rows = self.batches.iter().skip(before).map(RecordBatch::num_rows).sum::<usize>();
        match rows as u64 > self.batch_max.saturating_mul(8) {
            true => Err(format!("damaged: a batch of {rows} rows in {body_len} bytes")),
            false => Ok(()),
        }
    }

    /// The length of a message's body, and whether it is compressed.
    fn lengths(&self, head: &[u8]) -> Result<(u64, bool), String> {
        let message = root_as_message(head).map_err(|error| format!("damaged: {error}"))?;
        let len =
            u64::try_from(message.bodyLength()).map_err(|error| format!("damaged: {error}"))?;
        if len > self.batch_max {
            return Err(self.too_large(len));
        }
        Ok((len, header(head)?.is_some_and(|batch| batch.compression().is_some())))
    }

    fn too_large(&self, len: u64) -> String {
        format!(
            "a record batch of {len} bytes, and {} are what one may take here; give more memory \
             (--bulk --memory MIB), or write it with smaller batches",
            self.batch_max
        )
    }

    /// Each buffer of a compressed body begins with its length when it is not: together they are
    /// within the limit.
    fn check_inflated(&self, head: &[u8], body: &[u8]) -> Result<(), String> {
        let Some(batch) = header(head)? else { return Ok(()) };
        let mut sum = 0_u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let start = usize::try_from(buffer.offset()).ok();
            let bytes = start.and_then(|start| body.get(start..)?.first_chunk());
            // −1: as it is, which the body's own length covers.
            let len = bytes.map_or(0, |bytes| i64::from_le_bytes(*bytes));
            sum = sum.saturating_add(u64::try_from(len).unwrap_or(0));
        }
        if sum > self.batch_max { Err(self.too_large(sum)) } else { Ok(()) }
    }

    fn decode(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let mut buffer = Buffer::from_vec(bytes);
        while !buffer.is_empty() {
            let batch = self.decoder.decode(&mut buffer);
            self.batches.extend(batch.map_err(|error| format!("damaged: {error}"))?);
        }
        Ok(())
    }

    /// Reads bytes that may be missing as a whole: then it is the end.
    fn exactly(&mut self, len: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
        if self.left == Some(0) {
            return Ok(());
        }
        let len = len.min(self.left.unwrap_or(len));
        take(&mut self.input, len, bytes)?;
        self.left = self.left.map(|left| left - bytes.len() as u64);
        if bytes.is_empty() || bytes.len() as u64 == 4 { Ok(()) } else { Err(cut_off()) }
    }

    /// Reads bytes that must be there.
    fn whole(&mut self, len: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
        if self.left.is_some_and(|left| left < len) {
            return Err(cut_off());
        }
        take(&mut self.input, len, bytes)?;
        self.left = self.left.map(|left| left - len);
        if bytes.len() as u64 == len { Ok(()) } else { Err(cut_off()) }
    }
}

impl Batches for Stream {
    fn next(&mut self) -> Result<Option<RecordBatch>, String> {
        while self.batches.is_empty() && !self.has_ended {
            self.message()?;
        }
        Ok(self.batches.pop_front())
    }
}

fn cut_off() -> String {
    "cut off: it ends within a message".to_owned()
}

/// The header of a batch or of a dictionary's.
fn header(head: &[u8]) -> Result<Option<BatchHeader<'_>>, String> {
    let message = root_as_message(head).map_err(|error| format!("damaged: {error}"))?;
    Ok(match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
        }
        _ => None,
    })
}

/// Reads up to `len` bytes. The memory grows with what is there, not with what a length claims.
fn take(input: &mut dyn Read, len: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
    input.take(len).read_to_end(bytes).map(drop).map_err(|error| error.to_string())
}
