//! The C side of [`CrashDisk`]: the only unsafe code of the project's SQLite.
//!
//! SQLite allocates `szOsFile` bytes for each open file. The shim's own fields come first; the system VFS's file follows right behind them
//! (`Shim` is a multiple of 8 bytes long, the alignment SQLite gives). Each method finds it there and forwards. Memory-mapped reading
//! (`xFetch`) is left out, which SQLite allows by version 2 of the table: every write then passes through `xWrite`.

use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use libsqlite3_sys as ffi;

use super::{Change, CrashDisk, fails};

#[repr(C, align(8))]
struct Shim {
    base: ffi::sqlite3_file,
    disk: &'static CrashDisk,
    /// `None` for temporary files, which no crash has to preserve.
    path: Option<Box<PathBuf>>,
}

/// What the registered VFS's `pAppData` points to.
struct App {
    disk: &'static CrashDisk,
    system: *mut ffi::sqlite3_vfs,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Registers a VFS `name` over the system's default, backed by `disk`.
pub(super) fn register(name: CString, disk: &'static CrashDisk) {
    // SAFETY: `sqlite3_initialize` may be called any number of times; the default VFS that `sqlite3_vfs_find` returns lives as long as the
    // process and is only read here.
    let (system, mut vfs) = unsafe {
        assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
        let system = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(!system.is_null(), "SQLite has no default VFS");
        (system, *system)
    };
    vfs.pNext = std::ptr::null_mut();
    vfs.zName = name.into_raw(); // leaked, like the VFS itself
    vfs.pAppData = Box::into_raw(Box::new(App { disk, system })).cast();
    vfs.szOsFile += size_of::<Shim>() as c_int;
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    // The other methods stay the system's. On Unix they use of the VFS that they are given only `mxPathname`, which was copied (os_unix.c).
    // SAFETY: the VFS and everything it points to is leaked, so it outlives every use.
    let result = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) };
    assert_eq!(result, ffi::SQLITE_OK, "SQLite refused the VFS");
}

/// The shim of an open file.
///
/// # Safety
/// `file` must have been opened by [`open`].
unsafe fn shim<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Shim {
    // SAFETY: `open` wrote a `Shim` there; SQLite uses a file from one thread at a time.
    unsafe { &mut *file.cast::<Shim>() }
}

/// The system's file behind the shim.
///
/// # Safety
/// `file` must point to `szOsFile` bytes that SQLite allocated for this VFS.
unsafe fn behind(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `szOsFile` was raised by the size of `Shim`, so the sum lies inside the allocation.
    unsafe { file.cast::<u8>().add(size_of::<Shim>()).cast() }
}

/// Calls the system's method of the same name.
macro_rules! forward {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: the file was opened by `open`, which succeeded only when the system's file has its methods; the arguments are passed on as
        // SQLite gave them.
        unsafe {
            let file = behind($file);
            match (*(*file).pMethods).$method {
                Some(method) => method(file $(, $argument)*),
                None => unreachable!("the system's VFS has every method of version 2"),
            }
        }
    }};
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: `pAppData` was set by `register`; SQLite passes `szOsFile` bytes in `file` and, for all but temporary files, a C string that
    // lives as long as the file is open.
    unsafe {
        let app = &*(*vfs).pAppData.cast::<App>();
        let real = behind(file);
        (*real).pMethods = std::ptr::null();
        let Some(open) = (*app.system).xOpen else { return ffi::SQLITE_CANTOPEN };
        let result = open(app.system, name, real, flags, out);
        if result != ffi::SQLITE_OK {
            // A VFS that set the methods wants its file closed even so.
            if let Some(close) = (*real).pMethods.as_ref().and_then(|methods| methods.xClose) {
                close(real);
            }
            (*file).pMethods = std::ptr::null();
            return result;
        }
        let temporary = name.is_null() || flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
        let path = (!temporary).then(|| Box::new(path(name).to_owned()));
        if let Some(path) = &path {
            app.disk.opened(path);
        }
        file.cast::<Shim>().write(Shim { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, disk: app.disk, path });
    }
    ffi::SQLITE_OK
}

/// # Safety
/// `name` must be a C string.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: the caller's promise.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let app = &*(*vfs).pAppData.cast::<App>();
        let Some(delete) = (*app.system).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        let result = delete(app.system, name, sync_folder);
        if result == ffi::SQLITE_OK {
            app.disk.removed(path(name));
        }
        result
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes an open file once and uses it no more.
    drop(unsafe { shim(file) }.path.take());
    forward!(file, xClose)
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, data: *const c_void, length: c_int, offset: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file and `length` readable bytes.
    let (shim, bytes) = unsafe { (shim(file), std::slice::from_raw_parts(data.cast::<u8>(), length as usize)) };
    if shim.path.is_some() && fails(&shim.disk.failing_writes) {
        return ffi::SQLITE_FULL;
    }
    let result = forward!(file, xWrite, data, length, offset);
    if let (Some(path), ffi::SQLITE_OK) = (&shim.path, result) {
        shim.disk.changed(path, Change::Write { offset: offset as usize, data: bytes.to_vec() });
    }
    result
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let result = forward!(file, xTruncate, size);
    // SAFETY: SQLite passes an open file.
    let shim = unsafe { shim(file) };
    if let (Some(path), ffi::SQLITE_OK) = (&shim.path, result) {
        shim.disk.changed(path, Change::Truncate { size: size as usize });
    }
    result
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let shim = unsafe { shim(file) };
    let Some(path) = &shim.path else { return forward!(file, xSync, flags) };
    if fails(&shim.disk.failing_syncs) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    let mark = shim.disk.mark();
    let result = forward!(file, xSync, flags);
    if result == ffi::SQLITE_OK {
        shim.disk.synced(path, mark);
    }
    result
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, data: *mut c_void, length: c_int, offset: ffi::sqlite3_int64) -> c_int {
    forward!(file, xRead, data, length, offset)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    forward!(file, xFileSize, size)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    forward!(file, xCheckReservedLock, out)
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    forward!(file, xFileControl, operation, argument)
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    forward!(file, xSectorSize)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    forward!(file, xDeviceCharacteristics)
}

unsafe extern "C" fn shm_map(file: *mut ffi::sqlite3_file, page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int {
    forward!(file, xShmMap, page, size, extend, out)
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    forward!(file, xShmLock, offset, count, flags)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    forward!(file, xShmBarrier)
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    forward!(file, xShmUnmap, delete)
}
