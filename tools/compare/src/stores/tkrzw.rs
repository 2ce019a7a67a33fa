//! tkrzw's HashDBM, by its C interface.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;

use super::able;
use crate::data::{Batch, Keys};
use crate::store::{Kind, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "tkrzw",
    version,
    settings: "HashDBM on MemoryMapParallelFile, num_buckets twice the records, lookups by a \
               callback on the mapped record, Synchronize(hard) a batch where durable. No log and \
               no atomic batches: not crash-safe. Source: tkrzw_dbm_hash.h, TuningParameters",
    cannot: able,
    open,
    crash_safe: false,
};

type Processor =
    extern "C" fn(*mut c_void, *const c_char, i32, *const c_char, i32, *mut i32) -> *const c_char;

#[link(name = "tkrzw")]
#[expect(unsafe_code, reason = "the C interface of the library")]
unsafe extern "C" {
    static TKRZW_PACKAGE_VERSION: *const c_char;
    static TKRZW_REC_PROC_NOOP: *const c_char;
    fn tkrzw_get_last_status_message() -> *const c_char;
    fn tkrzw_dbm_open(path: *const c_char, writable: bool, params: *const c_char) -> *mut c_void;
    fn tkrzw_dbm_close(dbm: *mut c_void) -> bool;
    fn tkrzw_dbm_set(
        dbm: *mut c_void,
        key: *const c_char,
        key_size: i32,
        value: *const c_char,
        value_size: i32,
        overwrite: bool,
    ) -> bool;
    fn tkrzw_dbm_remove(dbm: *mut c_void, key: *const c_char, key_size: i32) -> bool;
    fn tkrzw_dbm_process(
        dbm: *mut c_void,
        key: *const c_char,
        key_size: i32,
        proc: Processor,
        arg: *mut c_void,
        writable: bool,
    ) -> bool;
    fn tkrzw_dbm_synchronize(
        dbm: *mut c_void,
        hard: bool,
        proc: Option<extern "C" fn(*mut c_void, *const c_char)>,
        arg: *mut c_void,
        params: *const c_char,
    ) -> bool;
}

#[expect(unsafe_code, reason = "a string that is never freed")]
fn version() -> String {
    unsafe { CStr::from_ptr(TKRZW_PACKAGE_VERSION) }.to_string_lossy().into_owned()
}

struct Tkrzw {
    dbm: *mut c_void,
    durable: bool,
}

#[expect(unsafe_code, reason = "DBM objects may be shared by threads, says the library")]
unsafe impl Send for Tkrzw {}
#[expect(unsafe_code, reason = "DBM objects may be shared by threads, says the library")]
unsafe impl Sync for Tkrzw {}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let path = CString::new(setup.folder.join("casket.tkh").as_os_str().as_bytes())?;
    let params = CString::new(format!(
        "dbm=HashDBM,file=MemoryMapParallelFile,num_buckets={},offset_width=5",
        setup.records * 2
    ))?;
    let dbm = unsafe { tkrzw_dbm_open(path.as_ptr(), true, params.as_ptr()) };
    if dbm.is_null() {
        return Err(status());
    }
    Ok(Box::new(Tkrzw { dbm, durable: setup.durable }))
}

#[expect(unsafe_code, reason = "the message lives until the thread's next call")]
fn status() -> Box<dyn std::error::Error + Send + Sync> {
    let message = unsafe { CStr::from_ptr(tkrzw_get_last_status_message()) };
    format!("tkrzw: {}", message.to_string_lossy()).into()
}

fn done(success: bool) -> Result<()> {
    if success { Ok(()) } else { Err(status()) }
}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
impl Store for Tkrzw {
    fn write(&self, batch: &Batch) -> Result<()> {
        for (key, value) in batch.iter() {
            let (k, v) = (key.as_ptr().cast(), value.as_ptr().cast());
            let (klen, vlen) = (key.len() as i32, value.len() as i32);
            done(unsafe { tkrzw_dbm_set(self.dbm, k, klen, v, vlen, true) })?;
        }
        if self.durable { self.sync().map(drop) } else { Ok(()) }
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        for key in keys.iter() {
            let k = key.as_ptr().cast();
            done(unsafe { tkrzw_dbm_remove(self.dbm, k, key.len() as i32) })?;
        }
        if self.durable { self.sync().map(drop) } else { Ok(()) }
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups(self)))
    }

    fn sync(&self) -> Result<bool> {
        let (nobody, params) = (std::ptr::null_mut(), c"".as_ptr());
        done(unsafe { tkrzw_dbm_synchronize(self.dbm, true, None, nobody, params) })?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        done(unsafe { tkrzw_dbm_close(self.dbm) })
    }
}

struct Lookups<'a>(&'a Tkrzw);

#[expect(unsafe_code, reason = "tkrzw calls this with the sink that it was given, and a record")]
extern "C" fn look(
    sink: *mut c_void,
    _: *const c_char,
    _: i32,
    value: *const c_char,
    len: i32,
    _: *mut i32,
) -> *const c_char {
    if !value.is_null() {
        let value = unsafe { std::slice::from_raw_parts(value.cast::<u8>(), len as usize) };
        unsafe { (*sink.cast::<Sink<'_>>()).take(value) };
    }
    unsafe { TKRZW_REC_PROC_NOOP }
}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let (k, sink) = (key.as_ptr().cast(), std::ptr::from_mut(sink).cast());
        done(unsafe { tkrzw_dbm_process(self.0.dbm, k, key.len() as i32, look, sink, false) })
    }
}
