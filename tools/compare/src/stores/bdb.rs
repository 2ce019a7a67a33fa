//! Berkeley DB's hash access method, by a few functions in C (bdb.c).

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::RwLock;

use crate::data::{Batch, Keys};
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "Berkeley DB",
    version,
    settings: "DB_HASH without environment (no log, so not crash-safe), DB_THREAD and a RwLock around, pages of 4 KiB, \
               cache of twice the payload (half of a limit), h_nelem and h_ffactor by the formula \
               of the reference guide, sync a batch where durable. Source: Berkeley DB Reference \
               Guide, Hash access method specific configuration",
    cannot: |ask: &Ask| (ask.need == Need::Killed).then_some("not crash-safe"),
    open,
    crash_safe: false,
};

#[expect(unsafe_code, reason = "the functions of bdb.c")]
unsafe extern "C" {
    fn compare_bdb_version() -> *const c_char;
    fn compare_bdb_open(
        path: *const c_char,
        cache: c_uint,
        records: c_uint,
        record_len: c_uint,
    ) -> *mut c_void;
    fn compare_bdb_put(
        db: *mut c_void,
        key: *const u8,
        klen: c_uint,
        value: *const u8,
        vlen: c_uint,
    ) -> c_int;
    fn compare_bdb_get(
        db: *mut c_void,
        key: *const u8,
        klen: c_uint,
        buffer: *mut u8,
        room: c_uint,
    ) -> c_int;
    fn compare_bdb_del(db: *mut c_void, key: *const u8, klen: c_uint) -> c_int;
    fn compare_bdb_sync(db: *mut c_void) -> c_int;
    fn compare_bdb_close(db: *mut c_void) -> c_int;
}

#[expect(unsafe_code, reason = "a string that is never freed")]
fn version() -> String {
    unsafe { CStr::from_ptr(compare_bdb_version()) }.to_string_lossy().into_owned()
}

struct Bdb {
    db: *mut c_void,
    durable: bool,
    /// Without an environment the library has no locks of its own.
    lock: RwLock<()>,
}

#[expect(unsafe_code, reason = "opened with DB_THREAD; changes are made under a lock")]
unsafe impl Send for Bdb {}
#[expect(unsafe_code, reason = "opened with DB_THREAD; changes are made under a lock")]
unsafe impl Sync for Bdb {}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let path = CString::new(setup.folder.join("bdb").as_os_str().as_bytes())?;
    let cache = setup.cache().min(3 << 30) as c_uint;
    let (records, len) = (setup.records as c_uint, setup.shape.payload() as c_uint);
    let db = unsafe { compare_bdb_open(path.as_ptr(), cache, records, len) };
    if db.is_null() {
        return Err("Berkeley DB: cannot open".into());
    }
    Ok(Box::new(Bdb { db, durable: setup.durable, lock: RwLock::default() }))
}

fn done(code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(format!("Berkeley DB: code {code}").into()) }
}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
impl Store for Bdb {
    fn write(&self, batch: &Batch) -> Result<()> {
        let guard = self.lock.write().map_err(|_| "a thread panicked")?;
        for (key, value) in batch.iter() {
            let (k, v) = (key.as_ptr(), value.as_ptr());
            let (klen, vlen) = (key.len() as c_uint, value.len() as c_uint);
            done(unsafe { compare_bdb_put(self.db, k, klen, v, vlen) })?;
        }
        drop(guard);
        if self.durable { self.sync().map(drop) } else { Ok(()) }
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        let guard = self.lock.write().map_err(|_| "a thread panicked")?;
        for key in keys.iter() {
            done(unsafe { compare_bdb_del(self.db, key.as_ptr(), key.len() as c_uint) })?;
        }
        drop(guard);
        if self.durable { self.sync().map(drop) } else { Ok(()) }
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups { store: self, buffer: vec![0; 1 << 16] }))
    }

    fn sync(&self) -> Result<bool> {
        let _guard = self.lock.write().map_err(|_| "a thread panicked")?;
        done(unsafe { compare_bdb_sync(self.db) })?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        done(unsafe { compare_bdb_close(self.db) })
    }
}

struct Lookups<'a> {
    store: &'a Bdb,
    buffer: Vec<u8>,
}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let _guard = self.store.lock.read().map_err(|_| "a thread panicked")?;
        let (buffer, room) = (self.buffer.as_mut_ptr(), self.buffer.len() as c_uint);
        let klen = key.len() as c_uint;
        match unsafe { compare_bdb_get(self.store.db, key.as_ptr(), klen, buffer, room) } {
            -1 => Ok(()),
            len if len >= 0 => {
                sink.take(&self.buffer[..len as usize]);
                Ok(())
            }
            code => done(code),
        }
    }
}
