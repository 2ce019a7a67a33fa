//! What the writer tells its parent: 24 bytes each, written with one call, so that what is said
//! before a kill arrives whole.

use std::io::{self, Read, Write};

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// A thread's commits that were found at open.
    Found { thread: usize, n: u64 },
    /// All are found, writing begins.
    Opened,
    /// A commit's call returned; the LSN is 0 where that call does not tell it.
    Made { thread: usize, n: u64, lsn: u64 },
    /// All commits of the thread up to this one are durable.
    Durable { thread: usize, n: u64 },
}

impl Message {
    fn encode(self) -> [u8; 24] {
        let words = match self {
            Message::Found { thread, n } => [1 << 8 | thread as u64, n, 0],
            Message::Opened => [2 << 8, 0, 0],
            Message::Made { thread, n, lsn } => [3 << 8 | thread as u64, n, lsn],
            Message::Durable { thread, n } => [4 << 8 | thread as u64, n, 0],
        };
        let mut bytes = [0; 24];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: [u8; 24]) -> Option<Message> {
        let word = |i: usize| {
            let bytes = bytes.get(8 * i..8 * i + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        let (first, n, lsn) = (word(0)?, word(1)?, word(2)?);
        let thread = usize::from(first.to_le_bytes()[0]);
        match first >> 8 {
            1 => Some(Message::Found { thread, n }),
            2 => Some(Message::Opened),
            3 => Some(Message::Made { thread, n, lsn }),
            4 => Some(Message::Durable { thread, n }),
            _ => None,
        }
    }

    /// Sends it.
    pub(crate) fn send(self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&self.encode())
    }

    /// The next one; `None` at the end, which may be in the middle of one.
    pub(crate) fn receive(mut from: impl Read) -> io::Result<Option<Message>> {
        let mut bytes = [0; 24];
        match from.read_exact(&mut bytes) {
            Ok(()) => Message::decode(bytes).map(Some).ok_or(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let sent = [
            Message::Found { thread: 2, n: 7 },
            Message::Opened,
            Message::Made { thread: 1, n: u64::MAX, lsn: 3 },
            Message::Durable { thread: 0, n: 1 },
        ];
        let mut bytes = Vec::new();
        sent.iter().for_each(|message| message.send(&mut bytes).unwrap());
        let mut rest = bytes.as_slice();
        for message in sent {
            assert_eq!(Message::receive(&mut rest).unwrap(), Some(message));
        }
        assert_eq!(Message::receive(&bytes[..20]).unwrap(), None);
    }
}
