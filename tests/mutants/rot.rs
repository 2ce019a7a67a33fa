//! What no power cut leaves but bad media or a mixed-up backup do: a rotten record among
//! acknowledged ones, a rotten meta page, the log of another copy of the file. Each must be an error
//! or the whole truth, never an older state without a word.

use splitpoint::simulation::{Image, SimulatedDisk};
use splitpoint::{Index, Options};

use crate::campaign::PATH;
use crate::campaign::boot::kill;
use crate::campaign::model::{Sum, sum_of};
use crate::campaign::plan::Setting;

fn options(disk: &SimulatedDisk) -> Options {
    Setting::small().options(disk)
}

fn open(disk: &SimulatedDisk) -> Result<Index, String> {
    options(disk).open(PATH).map_err(|e| format!("open: {e}"))
}

/// A disk with a closed index of a few records.
fn closed(seed: u64) -> Result<SimulatedDisk, String> {
    let disk = SimulatedDisk::new(seed);
    let index = open(&disk)?;
    insert(&index, "old", 3)?;
    index.close().map_err(|e| format!("close: {e}"))?;
    Ok(disk)
}

fn insert(index: &Index, prefix: &str, count: usize) -> Result<(), String> {
    for number in 0..count {
        let value = format!("value {number} of {prefix}");
        index.insert(format!("{prefix} {number}"), value).map_err(|e| format!("insert: {e}"))?;
    }
    Ok(())
}

/// The image opens to `truth` or not at all.
fn expect_truth(image: &Image, truth: Sum, what: &str) -> Result<(), String> {
    let disk = SimulatedDisk::from_image(image, 5);
    let Ok(index) = open(&disk) else { return Ok(()) };
    let found = sum_of(&index);
    kill(&disk, index);
    match found {
        Ok(found) if found != truth => Err(format!("{what}: it holds {found:?}, not {truth:?}")),
        _ => Ok(()),
    }
}

/// All of them.
pub(crate) fn all(seed: u64) -> Result<(), String> {
    rotten_log(seed)?;
    rotten_meta(seed)?;
    log_of_a_copy(seed)
}

fn log_name(image: &Image) -> Option<std::path::PathBuf> {
    image.paths().filter(|path| *path != std::path::Path::new(PATH)).last().map(Into::into)
}

/// One acknowledged record after another is rotten, the last one excepted.
fn rotten_log(seed: u64) -> Result<(), String> {
    let disk = closed(seed)?;
    let index = open(&disk)?;
    insert(&index, "new", 4)?;
    let (image, truth) = (disk.snapshot(), sum_of(&index)?);
    kill(&disk, index);
    let log = log_name(&image).ok_or("no log")?;
    let bytes = image.bytes(&log).ok_or("no log")?;
    for record in 0..3 {
        let mut image = image.clone();
        let mut rotten = bytes.clone();
        rotten[4096 * (1 + record) + 50] ^= 0x10;
        image.set_bytes(&log, &rotten);
        expect_truth(&image, truth, "a rotten record in the log")?;
    }
    Ok(())
}

/// The newest meta page is rotten, and the one before says that there is no log.
fn rotten_meta(seed: u64) -> Result<(), String> {
    let disk = closed(seed)?;
    let index = open(&disk)?;
    insert(&index, "new", 2)?;
    let (image, truth) = (disk.snapshot(), sum_of(&index)?);
    kill(&disk, index);
    let bytes = image.bytes(PATH).ok_or("no file")?;
    for slot in 0..4 {
        let mut image = image.clone();
        let mut rotten = bytes.clone();
        rotten[4096 * slot + 100] ^= 1;
        image.set_bytes(PATH, &rotten);
        expect_truth(&image, truth, "a rotten meta page")?;
    }
    Ok(())
}

/// Two copies of a crashed file live on, and one gets the log of the other.
fn log_of_a_copy(seed: u64) -> Result<(), String> {
    let disk = closed(seed)?;
    let index = open(&disk)?;
    insert(&index, "common", 2)?;
    let copied = disk.snapshot();
    kill(&disk, index);
    let mut lives = Vec::new();
    for name in ["one", "two"] {
        let disk =
            SimulatedDisk::from_image(&copied, seed + name.len() as u64 + lives.len() as u64);
        let index = open(&disk)?;
        insert(&index, name, 2)?;
        lives.push((disk.snapshot(), sum_of(&index)?));
        kill(&disk, index);
    }
    let (mut mixed, truth) = lives[0].clone();
    let log = log_name(&lives[1].0).ok_or("no log")?;
    let bytes = lives[1].0.bytes(&log).ok_or("no log")?;
    mixed.set_bytes(&log, &bytes);
    expect_truth(&mixed, truth, "the log of another copy")
}
