//! The checks of one crash image: it opens, within a budget of calls, to a state that is allowed;
//! a read-only handle sees the same and changes no byte; a crash inside that recovery changes
//! nothing; and life goes on: what is committed next is there after the next crash.

use splitpoint::Index;
use splitpoint::simulation::{Choice, Fault, FaultPlan, Image, Rng, SimulatedDisk, Volume};

use super::PATH;
use super::model::{Sum, sum_of};
use super::plan::Setting;

/// Which checks an image gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    /// One image in so many is opened for reading only first.
    pub(crate) look: usize,
    /// For one in so many, the index checks its own structure.
    pub(crate) sound: u64,
    /// For one in so many, life goes on.
    pub(crate) life: usize,
    /// One in so many crashes again inside its recovery.
    pub(crate) nested: usize,
    /// So many times within one another.
    pub(crate) levels: usize,
}

impl Depth {
    /// For millions of images.
    pub(crate) const SAMPLED: Depth = Depth { look: 6, sound: 8, life: 3, nested: 24, levels: 3 };
    /// Everything for each.
    pub(crate) const FULL: Depth = Depth { look: 1, sound: 1, life: 1, nested: 4, levels: 2 };
}

/// Calls that an open may need whatever it finds, and for each 4 KiB of all files.
const CALLS: usize = 400;
const CALLS_PER_BLOCK: usize = 6;

/// What is common to the checks of a plan's images.
pub(crate) struct Boot<'p> {
    pub(crate) setting: &'p Setting,
    pub(crate) depth: Depth,
    /// Called for each image that is looked at; `false` if it was looked at before.
    pub(crate) count: &'p dyn Fn(&Image, u64) -> bool,
}

impl Boot<'_> {
    /// Checks an image that must hold one of the allowed states.
    pub(crate) fn check(
        &self,
        image: &Image,
        allowed: &[Sum],
        rng: &mut Rng,
    ) -> Result<(), String> {
        let seen = match rng.one_in(self.depth.look) {
            true => Some(self.look(image, allowed)?),
            false => None,
        };
        let (disk, index, found) = self.open(image, allowed, rng.next())?;
        if seen.is_some_and(|seen| seen != found) {
            return Err(format!("read-only it is {seen:?}, recovered it is {found:?}"));
        }
        let opened_at = disk.call_count();
        if rng.one_in(self.depth.life) {
            self.live_on(&disk, index, found, rng)?;
        } else {
            kill(&disk, index);
        }
        if rng.one_in(self.depth.nested) {
            self.crash_again(&disk, opened_at, found, self.depth.levels, rng)?;
        }
        Ok(())
    }

    fn open(
        &self,
        image: &Image,
        allowed: &[Sum],
        seed: u64,
    ) -> Result<(SimulatedDisk, Index, Sum), String> {
        let disk = SimulatedDisk::from_image(image, seed);
        let opened = self.setting.options(&disk).open(PATH);
        let index = opened.map_err(|e| format!("it does not open: {e}"))?;
        if disk.call_count() > CALLS {
            let files = image.paths().filter_map(|path| image.bytes(path));
            let budget = CALLS + CALLS_PER_BLOCK * files.map(|b| b.len() / 4096).sum::<usize>();
            if disk.call_count() > budget {
                return Err(format!("open made {} calls, not {budget} at most", disk.call_count()));
            }
        }
        let found = sum_of(&index)?;
        if seed.is_multiple_of(self.depth.sound) {
            check_soundness(&index)?;
        }
        if !allowed.contains(&found) {
            return Err(format!("it holds {found:?}, of {} allowed {allowed:?}", allowed.len()));
        }
        Ok((disk, index, found))
    }

    /// Opens for reading only; gives what it saw.
    fn look(&self, image: &Image, allowed: &[Sum]) -> Result<Sum, String> {
        let disk = SimulatedDisk::from_image(image, 1);
        let exists = image.paths().any(|path| path == std::path::Path::new(PATH));
        let opened = self.setting.options(&disk).read_only(true).open(PATH);
        if !exists && opened.is_err() {
            return Ok(Sum::default());
        }
        let index = opened.map_err(|e| format!("it does not open read-only: {e}"))?;
        let found = sum_of(&index)?;
        if !allowed.contains(&found) {
            return Err(format!("read-only it holds {found:?}, allowed are {allowed:?}"));
        }
        index.close().map_err(|e| format!("closing a read-only handle: {e}"))?;
        drop(index);
        if disk.snapshot() != *image {
            return Err("a read-only handle changed the files".to_owned());
        }
        Ok(found)
    }

    /// Commits, ends in one way or another, opens again: it is all there.
    fn live_on(
        &self,
        disk: &SimulatedDisk,
        index: Index,
        mut found: Sum,
        rng: &mut Rng,
    ) -> Result<(), String> {
        // As long as the keys and values of plans, so that it may take the place of a torn commit.
        for number in 0..=rng.below(2) {
            let key = format!("new {:04}", 9000 + number);
            let len = self.setting.value_size.unwrap_or([8, 60][rng.below(2)]);
            let value = vec![u8::try_from(number).unwrap_or_default(); len as usize];
            match index.insert(&key, &value) {
                Ok(true) => found = found.with(key.as_bytes(), &value),
                Ok(false) => return Err(format!("{key} is there already")),
                Err(e) => return Err(format!("a commit after recovery: {e}")),
            }
        }
        if self.setting.later {
            index.sync().map_err(|e| format!("a sync after recovery: {e}"))?;
        }
        let image = match rng.below(4) {
            0 => {
                index.close().map_err(|e| format!("a close after recovery: {e}"))?;
                disk.snapshot()
            }
            1 => disk.snapshot(),
            2 => disk.crash_at(disk.call_count(), &Choice::nothing()),
            _ => {
                let at = disk.call_count();
                let mut images = disk.crash_images(at, rng.next(), &Volume::LIGHT);
                let chosen = rng.below(8);
                let first = images.next().ok_or("no image")?;
                images.nth(chosen).unwrap_or(first)
            }
        };
        kill(disk, index);
        (self.count)(&image, 1);
        let again = self.open(&image, &[found], rng.next());
        let (disk, index, _) = again.map_err(|e| format!("after a commit and a crash {e}"))?;
        kill(&disk, index);
        Ok(())
    }

    /// C8: a crash at any call of a recovery leaves what recovers to the same.
    fn crash_again(
        &self,
        disk: &SimulatedDisk,
        opened_at: usize,
        found: Sum,
        levels: usize,
        rng: &mut Rng,
    ) -> Result<(), String> {
        let cuts: Vec<usize> =
            disk.cut_points().into_iter().filter(|cut| *cut > 0 && *cut <= opened_at).collect();
        if cuts.is_empty() || levels == 0 {
            return Ok(());
        }
        for _ in 0..3 {
            let cut = cuts[rng.below(cuts.len())];
            let images: Vec<Image> = disk.crash_images(cut, rng.next(), &Volume::LIGHT).collect();
            let image = &images[rng.below(images.len())];
            if !(self.count)(image, found.sum) {
                continue;
            }
            let tell = |e| format!("after a crash before call {cut} of recovery {e}");
            let (again, index, _) = self.open(image, &[found], rng.next()).map_err(tell)?;
            let opened_at = again.call_count();
            kill(&again, index);
            self.crash_again(&again, opened_at, found, levels - 1, rng).map_err(tell)?;
        }
        Ok(())
    }
}

/// Ends a handle without the work of closing it.
pub(crate) fn kill(disk: &SimulatedDisk, index: Index) {
    disk.fail(FaultPlan::from(Fault::InputOutput, 0));
    drop(index);
    disk.heal();
}

/// Where the index's own check of its structure is called.
pub(crate) fn check_soundness(index: &Index) -> Result<(), String> {
    let report = index.check().map_err(|e| format!("check: {e}"))?;
    if report.is_sound() { Ok(()) } else { Err(format!("check finds: {report}")) }
}
