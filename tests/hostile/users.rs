//! What needs another process: another user, a limit on the size of files, a small file system.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use splitpoint::{Access, Error, Index, Options};

use crate::file::PAGE;
use crate::paths::as_nobody;
use crate::sample::Sample;
use crate::table::Table;

/// What this program does when it is started as a child: opens and tells.
pub(crate) fn child_main(what: &str, path: &Path) {
    let access = if what.contains("pread") { Access::Pread } else { Access::Mapped };
    let options = Options::new().create(false).read_only(what == "read").access(access);
    match options.open(path) {
        Ok(index) if what == "fork" => println!("{}", crate::fork::use_in_child(index)),
        Ok(index) if what.starts_with("shortened") => println!("{}", read_shortened(&index)),
        Ok(index) if what == "fill" => {
            let mut count = 0_u64;
            let error = loop {
                match index.insert(count.to_le_bytes(), [5; 2_000]) {
                    Ok(_) => count += 1,
                    Err(error) => break error,
                }
            };
            let is_full = matches!(error, Error::StorageFull { .. });
            let all = (0..count).all(|n| index.contains_key(n.to_le_bytes()).unwrap());
            println!("full {is_full} {all} {count} {error}");
        }
        Ok(_) => println!("open"),
        Err(Error::Locked { .. }) => println!("locked"),
        Err(Error::Io { source, path, .. }) => {
            println!("io {:?} {}", source.kind(), path.display());
        }
        Err(error) => println!("other {error:?}"),
    }
}

/// Reads all records of the sample after the file was shortened to a few pages.
fn read_shortened(index: &Index) -> String {
    let file = std::fs::OpenOptions::new().write(true).open(index.path()).unwrap();
    file.set_len(6 * PAGE as u64).unwrap();
    let keys = Sample::closed().keys;
    let failed = keys.iter().filter(|key| match index.get(key) {
        Ok(_) => false,
        Err(Error::Corruption(_) | Error::Io { .. }) => true,
        Err(other) => panic!("{other:?}"),
    });
    if failed.count() > keys.len() / 2 { "errors" } else { "values" }.to_owned()
}

/// Starts this program again, through a shell line if there is one; gives what it printed.
pub(crate) fn child(what: &str, path: &Path, shell: Option<&str>) -> Result<String, String> {
    run_child(what, path, shell, false)
}

fn run_child(what: &str, path: &Path, shell: Option<&str>, nobody: bool) -> Result<String, String> {
    let program = std::env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(program),
        Some(line) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{line}; exec \"$0\" \"$@\"")]).arg(program);
            command
        }
    };
    if nobody {
        as_nobody(&mut command);
    }
    command.arg("--child").arg(what).arg(path).current_dir("/");
    let output = command.output().map_err(|error| format!("no child: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn make(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("data");
    let index = Index::open(&path).unwrap();
    index.insert("key", "value").unwrap();
    index.close().unwrap();
    path
}

fn mode(path: &Path, bits: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
}

pub(crate) fn run(table: &mut Table) {
    permissions(table);
    limits(table);
    memory(table);
    unwritable(table);
    shortened(table);
    table.checked("path", "used by the child of a fork", || {
        let folder = crate::examine::folder();
        let path = make(folder.path());
        let seen = child("fork", &path, None)?;
        if seen == "refused" { Ok(()) } else { Err(seen) }
    });
}

/// The address space is too small for the map.
fn memory(table: &mut Table) {
    let name = "a file larger than the address space may be";
    let folder = crate::examine::folder();
    let path = make(folder.path());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    if let Err(error) = file.set_len((1 << 40) - 4096) {
        return table.skip("path", name, &format!("the file system says {error}"));
    }
    table.checked("path", name, || {
        let limit = Some("ulimit -v 1500000");
        for what in ["open", "read"] {
            let seen = child(what, &path, limit)?;
            assert!(seen.starts_with("io OutOfMemory") && seen.contains("data"), "{seen}");
        }
        // As the error says: read without a map.
        let seen = child("pread", &path, limit)?;
        if seen == "open" { Ok(()) } else { Err(seen) }
    });
}

/// What is promised is an error where there is no map; a map that ends too early is a signal.
fn shortened(table: &mut Table) {
    for (what, name) in [
        ("shortened, by pread", "shortened while open in a child, read without a map"),
        ("shortened, mapped", "shortened while open in a child, read through a map"),
    ] {
        table.checked("path", name, || {
            let folder = crate::examine::folder();
            Sample::closed().write(folder.path());
            match child(what, &folder.path().join("data"), None) {
                Ok(seen) if seen == "errors" => Ok(()),
                Err(seen) if what.ends_with("mapped") && seen.contains("SIGBUS") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}

/// Runs a program; its complaint if it fails.
fn try_tool(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(path).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("no {program}: {error}")),
    }
}

/// What not even root may write.
fn unwritable(table: &mut Table) {
    let name = "an immutable file";
    let folder = crate::examine::folder();
    let path = make(folder.path());
    match try_tool("chattr", &["+i"], &path) {
        Err(reason) => table.skip("path", name, &reason),
        Ok(()) => {
            table.checked("path", name, || unwritten(&path, "io PermissionDenied"));
            try_tool("chattr", &["-i"], &path).unwrap();
        }
    }
    let name = "a mount for reading only";
    let folder = tempfile::tempdir().unwrap();
    match try_tool("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs"], folder.path()) {
        Err(reason) => table.skip("path", name, &reason),
        Ok(()) => {
            let closed = make(folder.path());
            let killed = folder.path().join("killed");
            std::fs::create_dir(&killed).unwrap();
            Sample::killed().write(&killed);
            let mounted = try_tool("mount", &["-o", "remount,ro"], folder.path());
            table.checked("path", name, || {
                mounted?;
                unwritten(&closed, "io ReadOnlyFilesystem")?;
                unwritten(&killed.join("data"), "io ReadOnlyFilesystem")
            });
            try_tool("umount", &[], folder.path()).unwrap();
        }
    }
}

/// Opens for reading, and not for writing; nothing changes.
fn unwritten(path: &Path, expected: &str) -> Result<(), String> {
    let folder = path.parent().unwrap();
    let list = || {
        let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|e| (e.file_name(), std::fs::read(e.path()).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = list();
    let seen = child("read", path, None)?;
    assert_eq!(seen, "open");
    assert!(!Index::open_read_only(path).unwrap().is_empty());
    let seen = child("open", path, None)?;
    assert!(seen.starts_with(expected), "{seen}");
    let error = Index::open(path).unwrap_err();
    crate::table::named(&error, "data")?;
    if before == list() { Ok(()) } else { Err("it was changed".to_owned()) }
}

fn permissions(table: &mut Table) {
    /// File's mode, folder's mode, how it is opened, and what comes of it.
    const CASES: [(&str, u32, u32, &str, &str); 5] = [
        ("a file that may not be read", 0o600, 0o755, "read", "io PermissionDenied"),
        ("a file that may not be written", 0o644, 0o755, "open", "io PermissionDenied"),
        ("the same, for reading", 0o644, 0o755, "read", "open"),
        ("a folder that may not be entered", 0o644, 0o700, "read", "io PermissionDenied"),
        ("a folder that may not be written", 0o666, 0o755, "open", "open"),
    ];
    for (name, file_mode, folder_mode, what, expected) in CASES {
        let folder = crate::examine::folder();
        let path = make(folder.path());
        mode(&path, file_mode);
        mode(folder.path(), folder_mode);
        let seen = match run_child(what, &path, None, true) {
            Ok(seen) => seen,
            Err(reason) => {
                table.skip("path", name, &format!("no child of another user: {reason}"));
                continue;
            }
        };
        table.checked("path", name, || {
            let content = std::fs::read(&path).unwrap();
            assert!(seen.starts_with(expected), "{seen}");
            assert!(content.starts_with(b"splitpoint hash\n"));
            Ok(())
        });
    }
}

fn limits(table: &mut Table) {
    // The signal that comes with the limit ends a process unless it is ignored.
    table.checked("path", "a limit on the size of files", || {
        let folder = crate::examine::folder();
        let path = make(folder.path());
        let seen = child("fill", &path, Some("trap '' XFSZ; ulimit -f 2000"))?;
        assert!(seen.starts_with("full true true"), "{seen}");
        let index = Index::open(&path).map_err(|error| error.to_string())?;
        assert!(index.check().unwrap().is_sound());
        assert_eq!(index.get("key").unwrap().unwrap(), "value");
        Ok(())
    });
    table.checked("path", "hardly any file descriptors", || {
        let folder = crate::examine::folder();
        let path = make(folder.path());
        let seen = child("open", &path, Some("ulimit -n 4"))?;
        if seen.starts_with("io") || seen == "open" { Ok(()) } else { Err(seen) }
    });
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path())
        .output();
    let name = "a file system of 2 MiB";
    match mounted {
        Ok(output) if output.status.success() => {
            table.checked("path", name, || {
                let path = make(folder.path());
                let seen = child("fill", &path, None)?;
                assert!(seen.starts_with("full true true"), "{seen}");
                let index = Index::open_read_only(&path).map_err(|error| error.to_string())?;
                assert_eq!(index.get("key").unwrap().unwrap(), "value");
                Ok(())
            });
            let _ = Command::new("umount").arg(folder.path()).status();
        }
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            table.skip("path", name, &reason);
        }
        Err(error) => table.skip("path", name, &format!("no mount: {error}")),
    }
}
