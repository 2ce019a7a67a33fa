//! Runs the tool, and makes content for it. Knows nothing of any one verb.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder of its own for each test.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a run gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// A command in this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command_in(self.folder.path(), args)
    }

    /// Runs to the end, with nothing on standard input.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Runs to the end with this input.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // The tool may stop reading early; that is its right.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ran = child.wait_with_output().unwrap().into();
        feeder.join().unwrap();
        ran
    }

    /// Runs, and insists on exit code 0 and silence on standard error.
    pub(crate) fn ok(&self, args: &[&str]) -> Vec<u8> {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        ran.out
    }

    /// The content of an index, by way of pairs.
    pub(crate) fn content(&self, index: &str) -> Content {
        from_pairs(&self.ok(&["export", index, "--format", "pairs"]))
    }
}

fn command_in(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitpoint"));
    command.current_dir(folder).args(args);
    command
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}, {} | {}", self.code, self.out.escape_ascii(), self.err)
    }
}

impl Ran {
    /// Insists on this exit code, and on a message that begins as all do and says `words`.
    pub(crate) fn fails(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.starts_with("splitpoint: "), "{self:?}");
        assert!(self.err.contains(words), "no {words:?} in {self:?}");
    }

    /// Insists on exit code 0; returns standard output as text.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        std::str::from_utf8(&self.out).unwrap()
    }

    /// The one JSON value on standard output, whatever the exit code.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.out).unwrap()
    }
}

/// Keys and values.
pub(crate) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// Content as the format `pairs` has it, written here once more, independently.
pub(crate) fn to_pairs(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in content {
        bytes.extend_from_slice(&u32::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    bytes
}

/// The inverse; a key that comes twice is a fault.
pub(crate) fn from_pairs(mut bytes: &[u8]) -> Content {
    let mut content = Content::new();
    while !bytes.is_empty() {
        let len = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (key_len, value_len) = (len(0), len(4));
        let (key, rest) = bytes[8..].split_at(key_len);
        let (value, rest) = rest.split_at(value_len);
        assert!(content.insert(key.to_vec(), value.to_vec()).is_none());
        bytes = rest;
    }
    content
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(crate) fn pick<'a>(&mut self, choices: &[&'a [u8]]) -> &'a [u8] {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// A few pieces of what breaks parsers; only text if asked so.
    pub(crate) fn hostile(&mut self, is_text: bool) -> Vec<u8> {
        const TEXT: &[&[u8]] = &[
            b"",
            b"\t",
            b"\n",
            b"\r",
            b"\r\n",
            b"\"",
            b"\"\"",
            b",",
            b"\\",
            b"\\t",
            b"\\x41",
            b"\0",
            b" ",
            b"a",
            b"key",
            b"{\"",
            b"'",
            b"\xc3\xa9",
            b"\xef\xbb\xbf",
            b"\x7f",
            b"#",
            b"-",
        ];
        const BYTES: &[&[u8]] = &[b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\x00\xff"];
        let mut bytes = Vec::new();
        for _ in 0..self.below(6) {
            let binary = !is_text && self.below(3) == 0;
            bytes.extend_from_slice(self.pick(if binary { BYTES } else { TEXT }));
        }
        bytes
    }

    /// Content of hostile keys and values, with some long ones.
    pub(crate) fn content(&mut self, len: u64, is_text: bool) -> Content {
        let mut content = Content::new();
        content.insert(Vec::new(), Vec::new());
        for _ in 0..len {
            let mut value = self.hostile(is_text);
            if self.below(50) == 0 {
                value = value.repeat(2_000);
            }
            content.insert(self.hostile(is_text), value);
        }
        content
    }
}
