//! GNU dbm, by its C interface. One thread at a time.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

use crate::data::{Batch, Keys};
use crate::store::{Ask, Kind, Need, Reader, Result, Setup, Sink, Store};

pub const KIND: Kind = Kind {
    name: "gdbm",
    version,
    settings: "mapped; bucket cache and block size as by default since 1.21 (automatic); \
               gdbm_sync a batch where durable; a lock around each call. Not crash-safe, as \
               GDBM_NUMSYNC is off. Source: gdbm.h, the manual's chapters Open and Options",
    cannot: |ask: &Ask| (ask.need == Need::Killed).then_some("not crash-safe"),
    open,
    crash_safe: false,
};

#[repr(C)]
struct Datum {
    data: *mut c_char,
    size: c_int,
}

#[link(name = "gdbm")]
#[expect(unsafe_code, reason = "the C interface of the library")]
unsafe extern "C" {
    static gdbm_version: *const c_char;
    fn gdbm_open(
        path: *const c_char,
        block_size: c_int,
        flags: c_int,
        mode: c_int,
        fatal: Option<extern "C" fn(*const c_char)>,
    ) -> *mut c_void;
    fn gdbm_close(file: *mut c_void) -> c_int;
    fn gdbm_store(file: *mut c_void, key: Datum, value: Datum, flag: c_int) -> c_int;
    fn gdbm_fetch(file: *mut c_void, key: Datum) -> Datum;
    fn gdbm_delete(file: *mut c_void, key: Datum) -> c_int;
    fn gdbm_sync(file: *mut c_void) -> c_int;
}

const WRITE_OR_CREATE: c_int = 2;
const REPLACE: c_int = 1;

#[expect(unsafe_code, reason = "a string that is never freed")]
fn version() -> String {
    unsafe { CStr::from_ptr(gdbm_version) }.to_string_lossy().into_owned()
}

struct File(*mut c_void);

#[expect(unsafe_code, reason = "used under a mutex alone; the library keeps nothing by thread")]
unsafe impl Send for File {}

struct Gdbm {
    file: Mutex<File>,
    durable: bool,
}

fn datum(bytes: &[u8]) -> Datum {
    Datum { data: bytes.as_ptr().cast_mut().cast(), size: bytes.len() as c_int }
}

fn done(code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(format!("gdbm: code {code}").into()) }
}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
fn open(setup: &Setup) -> Result<Box<dyn Store>> {
    let path = CString::new(setup.folder.join("gdbm").as_os_str().as_bytes())?;
    let file = unsafe { gdbm_open(path.as_ptr(), 0, WRITE_OR_CREATE, 0o644, None) };
    if file.is_null() {
        return Err("gdbm: cannot open".into());
    }
    Ok(Box::new(Gdbm { file: Mutex::new(File(file)), durable: setup.durable }))
}

impl Gdbm {
    fn with<T>(&self, run: impl FnOnce(*mut c_void) -> Result<T>) -> Result<T> {
        run(self.file.lock().map_err(|_| "a thread panicked")?.0)
    }
}

#[expect(unsafe_code, reason = "calls of C with pointers that live through the call")]
impl Store for Gdbm {
    fn write(&self, batch: &Batch) -> Result<()> {
        self.with(|file| {
            for (key, value) in batch.iter() {
                done(unsafe { gdbm_store(file, datum(key), datum(value), REPLACE) })?;
            }
            if self.durable { done(unsafe { gdbm_sync(file) }) } else { Ok(()) }
        })
    }

    fn delete(&self, keys: Keys<'_>) -> Result<()> {
        self.with(|file| {
            for key in keys.iter() {
                done(unsafe { gdbm_delete(file, datum(key)) })?;
            }
            if self.durable { done(unsafe { gdbm_sync(file) }) } else { Ok(()) }
        })
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Lookups(self)))
    }

    fn sync(&self) -> Result<bool> {
        self.with(|file| done(unsafe { gdbm_sync(file) }))?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.with(|file| done(unsafe { gdbm_close(file) }))
    }
}

struct Lookups<'a>(&'a Gdbm);

#[expect(unsafe_code, reason = "the value is the caller's, who frees it")]
impl Reader for Lookups<'_> {
    fn get(&mut self, key: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let value = self.0.with(|file| Ok(unsafe { gdbm_fetch(file, datum(key)) }))?;
        if !value.data.is_null() {
            let bytes = value.data.cast::<u8>();
            sink.take(unsafe { std::slice::from_raw_parts(bytes, value.size as usize) });
            unsafe { libc::free(value.data.cast()) };
        }
        Ok(())
    }
}
