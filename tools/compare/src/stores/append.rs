//! A reference for durable writes: the bytes of each batch appended to a file that is written
//! full of zeros beforehand, and fdatasync. No store can be much faster.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use crate::data::{Batch, Keys};
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "append",
    version: || "pwrite and fdatasync".to_owned(),
    settings: "64 MiB of zeros written and synced beforehand, used from its start again when full",
    cannot: |ask: &Ask| match ask.need {
        Need::Durable => None,
        _ => Some("durable writes only"),
    },
    open,
    crash_safe: false,
};

const LEN: u64 = 64 << 20;

fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let path = setup.folder.join("append");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() < LEN {
        let zeros = vec![0; 1 << 20];
        for at in (0..LEN).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
    }
    Ok(Box::new(Append(Mutex::new((file, 0, Vec::new())))))
}

struct Append(Mutex<(File, u64, Vec<u8>)>);

impl Store for Append {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut guard = self.0.lock().map_err(|_| "a thread panicked")?;
        let (file, at, bytes) = &mut *guard;
        bytes.clear();
        for (key, value) in batch.iter() {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        if *at + bytes.len() as u64 > LEN {
            *at = 0;
        }
        file.write_all_at(bytes, *at)?;
        *at += bytes.len() as u64;
        Ok(file.sync_data()?)
    }

    fn delete(&self, _: Keys<'_>) -> Result<()> {
        Err("only appends".into())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Nothing))
    }

    fn sync(&self) -> Result<bool> {
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Nothing;

impl Reader for Nothing {
    fn get(&mut self, _: &[u8], _: &mut Sink<'_>) -> Result<()> {
        Ok(())
    }
}
