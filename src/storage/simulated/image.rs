//! What a power cut left: names and bytes, from which another disk can boot.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::memory::absolute;
use super::choice::{Choice, Choices, Volume};
use super::content::Content;
use super::durable::Durable;

/// The files of a disk at one moment; a copy costs little.
#[derive(Debug, Clone, Default)]
pub struct Image {
    files: BTreeMap<PathBuf, Content>,
    choice: Option<Choice>,
}

impl Image {
    pub(super) fn new(files: BTreeMap<PathBuf, Content>) -> Image {
        Image { files, choice: None }
    }

    pub(super) fn files(&self) -> &BTreeMap<PathBuf, Content> {
        &self.files
    }

    /// The names of its files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.files.get(&absolute(path.as_ref())).map(Content::to_bytes)
    }

    /// Puts a file in place.
    pub fn set_bytes(&mut self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.files.insert(absolute(path.as_ref()), Content::of_bytes(bytes));
    }

    /// Takes a file away; `false` if there is none.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> bool {
        self.files.remove(&absolute(path.as_ref())).is_some()
    }

    /// What the power cut left, if it was one.
    #[must_use]
    pub fn choice(&self) -> Option<&Choice> {
        self.choice.as_ref()
    }

    /// A sum of names and bytes: equal images have equal ones.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.files.iter().fold(0, |sum, (path, content)| {
            let name = xxh3_64_with_seed(path.as_os_str().as_encoded_bytes(), sum);
            xxh3_64_with_seed(&content.digest().to_le_bytes(), name)
        })
    }
}

/// Images are equal if their names and bytes are.
impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Image {}

/// The images that a power cut at one call may leave, each once.
#[derive(Debug)]
pub struct CrashImages {
    durable: Durable,
    choices: Choices,
    seen: HashSet<u64>,
}

impl CrashImages {
    pub(super) fn new(durable: Durable, seed: u64, volume: &Volume) -> CrashImages {
        let (ops, names) = (durable.op_count(), durable.name_change_count());
        CrashImages {
            durable,
            choices: Choices::new(ops, names, seed, volume),
            seen: HashSet::new(),
        }
    }
}

impl Iterator for CrashImages {
    type Item = Image;

    fn next(&mut self) -> Option<Image> {
        loop {
            let choice = self.choices.next()?;
            let mut image = self.durable.image(&choice);
            if self.seen.insert(image.digest()) {
                image.choice = Some(choice);
                return Some(image);
            }
        }
    }
}
