//! Paths that are not what one expects, on the real file system.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use splitpoint::{Access, Error, Index, Options, Promise};

use crate::examine::{content, folder};
use crate::file::PAGE;
use crate::sample::Sample;
use crate::table::{Table, named};

type Outcome = Result<(), String>;
type Right = fn(&Error) -> bool;

/// Names in the folder, what they are, and the bytes of regular files.
fn look(folder: &Path) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let bytes = if kind.is_file() { std::fs::read(entry.path()).unwrap() } else { vec![] };
            (format!("{:?} {kind:?}", entry.file_name()), crc32fast::hash(&bytes).into())
        })
        .collect();
    all.sort();
    all
}

/// Both ways of opening give this error, and nothing changes.
fn refused(folder: &Path, path: &Path, right: impl Fn(&Error) -> bool) -> Outcome {
    let before = look(folder);
    for read_only in [true, false] {
        match Options::new().read_only(read_only).open(path) {
            Err(error) if right(&error) => {
                named(&error, path.file_name().unwrap().to_str().unwrap())?
            }
            other => return Err(format!("read_only {read_only}: {other:?}")),
        }
    }
    if before == look(folder) { Ok(()) } else { Err(format!("changed: {:?}", look(folder))) }
}

fn io(kind: ErrorKind) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::Io { source, .. } if source.kind() == kind)
}

fn tool(program: &str, arguments: &[&Path]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

pub(crate) fn run(table: &mut Table) {
    kinds(table);
    links(table);
    contents(table);
    locks(table);
    creations(table);
    while_open(table);
    shortened_for_writing(table);
    logs(table);
    large(table);
    crate::users::run(table);
}

fn kinds(table: &mut Table) {
    table.checked("path", "a folder", || {
        let folder = folder();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        refused(folder.path(), &folder.path().join("data"), io(ErrorKind::IsADirectory))
    });
    table.checked("path", "a FIFO, which does not block", || {
        let folder = folder();
        let path = folder.path().join("data");
        assert!(tool("mkfifo", &[&path]));
        assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
        refused(folder.path(), &path, io(ErrorKind::InvalidInput))
    });
    table.checked("path", "a socket", || {
        let folder = folder();
        let path = folder.path().join("data");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        refused(folder.path(), &path, io(ErrorKind::InvalidInput))
    });
    for device in ["/dev/null", "/dev/zero", "/dev/tty"] {
        table.checked("path", &format!("the device {device}"), || {
            let folder = folder();
            refused(folder.path(), Path::new(device), io(ErrorKind::InvalidInput))
        });
    }
    for path in ["/proc/self/status", "/proc/version"] {
        table.checked("path", path, || {
            let folder = folder();
            refused(folder.path(), Path::new(path), |error| {
                matches!(error, Error::Io { .. } | Error::NotAnIndex { .. })
            })
        });
    }
    table.checked("path", "a folder that is missing", || {
        let folder = folder();
        refused(folder.path(), &folder.path().join("none/data"), io(ErrorKind::NotFound))
    });
    table.checked("path", "a file as a folder", || {
        let folder = folder();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        refused(folder.path(), &folder.path().join("file/data"), io(ErrorKind::NotADirectory))
    });
    table.checked("path", "a name of 300 bytes", || {
        let folder = folder();
        let path = folder.path().join("data".repeat(75));
        refused(folder.path(), &path, |error| matches!(error, Error::Io { .. }))
    });
}

fn sample(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let index = Index::open(&path).unwrap();
    index.insert("key", "value").unwrap();
    index.close().unwrap();
    path
}

fn links(table: &mut Table) {
    table.checked("path", "a symbolic link to an index is the index", || {
        let folder = folder();
        let real = sample(folder.path(), "data");
        let link = folder.path().join("link");
        symlink(&real, &link).unwrap();
        let index = Index::open(&link).map_err(|error| error.to_string())?;
        assert_eq!(index.path(), real.canonicalize().unwrap());
        assert!(matches!(Index::open(&real), Err(Error::Locked { .. })));
        index.insert("key", "new").unwrap();
        drop(index);
        assert_eq!(Index::open(&real).unwrap().get("key").unwrap().unwrap(), "new");
        Ok(())
    });
    table.checked("path", "a dangling link", || {
        let folder = folder();
        let path = folder.path().join("data");
        symlink(folder.path().join("none"), &path).unwrap();
        refused(folder.path(), &path, |error| matches!(error, Error::Io { .. }))
    });
    table.checked("path", "a link that leads to itself", || {
        let folder = folder();
        let path = folder.path().join("data");
        symlink(&path, &path).unwrap();
        refused(folder.path(), &path, |error| matches!(error, Error::Io { .. }))
    });
    table.checked("path", "a hard link is locked as its file is", || {
        let folder = folder();
        let path = sample(folder.path(), "data");
        let other = folder.path().join("other");
        std::fs::hard_link(&path, &other).unwrap();
        let index = Index::open(&path).unwrap();
        refused(folder.path(), &other, |error| matches!(error, Error::Locked { .. }))?;
        index.close().map_err(|error| error.to_string())
    });
}

fn contents(table: &mut Table) {
    let not_ours: Right = |error| matches!(error, Error::NotAnIndex { .. });
    let texts: [(&str, Vec<u8>); 5] = [
        ("an empty file", vec![]),
        ("a text file", b"splitpoint is a fine word\n".repeat(1000)),
        ("16 MiB of zeros", vec![0; 16 << 20]),
        ("a page of ones", vec![0xff; PAGE]),
        ("another database", b"SQLite format 3\0".repeat(1024)),
    ];
    for (name, bytes) in texts {
        table.checked("path", name, || {
            let folder = folder();
            std::fs::write(folder.path().join("data"), &bytes).unwrap();
            refused(folder.path(), &folder.path().join("data"), not_ours)
        });
    }
    table.checked("path", "every length from 1 to 4,095 bytes", || {
        let folder = folder();
        let bytes = std::fs::read(sample(folder.path(), "whole")).unwrap();
        let path = folder.path().join("data");
        for len in (1..40).chain((40..4_095).step_by(97)).chain([4_095]) {
            std::fs::write(&path, &bytes[..len]).unwrap();
            refused(folder.path(), &path, |error| match error {
                Error::NotAnIndex { .. } => len < 16,
                Error::Corruption(corrupt) => corrupt.promise == Promise::FileLength,
                _ => false,
            })?;
        }
        Ok(())
    });
    table.checked("path", "a file that only has the magic, 16 TiB long", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, b"splitpoint hash\n").unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Err(error) = file.set_len((16 << 40) - 4096) {
            println!("path: (no sparse file of 16 TiB here: {error}; 1 TiB)");
            file.set_len(1 << 40).unwrap();
        }
        for read_only in [true, false] {
            let result = Options::new().read_only(read_only).open(&path);
            assert!(matches!(result, Err(Error::Corruption(_))), "{result:?}");
        }
        Ok(())
    });
}

fn locks(table: &mut Table) {
    table.checked("path", "a second opener in this process", || {
        let folder = folder();
        let path = sample(folder.path(), "data");
        let index = Index::open(&path).unwrap();
        refused(folder.path(), &path, |error| matches!(error, Error::Locked { .. }))?;
        index.close().map_err(|error| error.to_string())
    });
    table.checked("path", "a writer beside a reader, and readers beside each other", || {
        let folder = folder();
        let path = sample(folder.path(), "data");
        let readers = [(); 3].map(|()| Index::open_read_only(&path).unwrap());
        let before = content(folder.path());
        assert!(matches!(Index::open(&path), Err(Error::Locked { .. })));
        assert!(before == content(folder.path()));
        drop(readers);
        Index::open(&path).map(drop).map_err(|error| error.to_string())
    });
    table.checked("path", "a second opener in another process", || {
        let folder = folder();
        let path = sample(folder.path(), "data");
        let index = Index::open(&path).unwrap();
        let seen = crate::users::child("open", &path, None)?;
        assert!(seen.starts_with("locked"), "{seen}");
        index.close().unwrap();
        let seen = crate::users::child("open", &path, None)?;
        if seen.starts_with("open") { Ok(()) } else { Err(seen) }
    });
}

fn creations(table: &mut Table) {
    let exists = || io(ErrorKind::AlreadyExists);
    let creates = |folder: &Path, right: &dyn Fn(&Error) -> bool| {
        let before = look(folder);
        match Index::open(folder.join("data")) {
            Err(error) if right(&error) => named(&error, "data.splitpoint-new")?,
            other => return Err(format!("{other:?}")),
        }
        if before == look(folder) { Ok(()) } else { Err("changed".to_owned()) }
    };
    table.checked("path", "an index under the name that a creation uses", || {
        let folder = folder();
        sample(folder.path(), "data.splitpoint-new");
        creates(folder.path(), &exists())
    });
    table.checked("path", "a text under the name that a creation uses", || {
        let folder = folder();
        std::fs::write(folder.path().join("data.splitpoint-new"), "precious").unwrap();
        creates(folder.path(), &exists())
    });
    table.checked("path", "a link under the name that a creation uses", || {
        let folder = folder();
        std::fs::write(folder.path().join("victim"), vec![1; 4096]).unwrap();
        symlink(folder.path().join("victim"), folder.path().join("data.splitpoint-new")).unwrap();
        creates(folder.path(), &exists())
    });
    table.checked("path", "a link that leads nowhere under the name that a creation uses", || {
        let folder = folder();
        symlink(folder.path().join("none"), folder.path().join("data.splitpoint-new")).unwrap();
        match Index::open(folder.path().join("data")) {
            Err(error) if io(ErrorKind::InvalidInput)(&error) => {
                named(&error, "data.splitpoint-new")
            }
            other => Err(format!("{other:?}")),
        }
    });
    table.checked("path", "a folder under the name that a creation uses", || {
        let folder = folder();
        std::fs::create_dir(folder.path().join("data.splitpoint-new")).unwrap();
        let path = folder.path().join("data");
        let result = Index::open(&path);
        assert!(!path.exists());
        if result.is_err() { Ok(()) } else { Err(format!("{result:?}")) }
    });
    for len in [0, 4096, 16_384] {
        table.checked("path", &format!("leftovers of a creation, {len} bytes"), || {
            let folder = folder();
            std::fs::write(folder.path().join("data.splitpoint-new"), vec![0xee; len]).unwrap();
            sample(folder.path(), "data");
            assert_eq!(look(folder.path()).len(), 1, "{:?}", look(folder.path()));
            Ok(())
        });
    }
}

fn while_open(table: &mut Table) {
    for (name, replaced) in [("replaced", true), ("unlinked", false)] {
        table.checked("path", &format!("{name} while open"), || {
            let folder = folder();
            let path = sample(folder.path(), "data");
            let index = Index::open(&path).unwrap();
            index.insert("key", "new").unwrap();
            if replaced {
                let other = sample(folder.path(), "other");
                std::fs::rename(other, &path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            assert_eq!(index.get("key").unwrap().unwrap(), "new");
            // What comes of these is no promise, but for no panic and no hang.
            let _ = index.insert("key", "newer");
            let _ = index.check();
            let _ = index.close();
            drop(index);
            if replaced {
                let index = Index::open(&path).map_err(|error| error.to_string())?;
                assert_eq!(index.get("key").unwrap().unwrap(), "value");
            }
            Ok(())
        });
    }
    table.checked("path", "shortened while open, read without a map", || {
        let folder = folder();
        let sample = Sample::closed();
        sample.write(folder.path());
        let path = folder.path().join("data");
        let options = Options::new().read_only(true).access(Access::Pread);
        let index = options.open(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(6 * PAGE as u64).unwrap();
        let results = sample.keys.iter().map(|key| index.get(key).map(drop));
        let failed = results.filter(|result| match result {
            Ok(()) => false,
            Err(Error::Corruption(_) | Error::Io { .. }) => true,
            Err(other) => panic!("{other:?}"),
        });
        assert!(failed.count() > sample.keys.len() / 2);
        assert!(!index.check().unwrap().is_sound());
        Ok(())
    });
}

fn shortened_for_writing(table: &mut Table) {
    table.checked("path", "shortened while open for writing, read without a map", || {
        let folder = folder();
        let sample = Sample::closed();
        sample.write(folder.path());
        let path = folder.path().join("data");
        let index = Options::new().access(Access::Pread).open(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(6 * PAGE as u64).unwrap();
        let right = |error: &Error| matches!(error, Error::Corruption(_) | Error::Io { .. });
        let failed = sample.keys.iter().filter(|key| match index.get(key) {
            Ok(_) => false,
            Err(error) if right(&error) => true,
            Err(other) => panic!("{other:?}"),
        });
        assert!(failed.count() > sample.keys.len() / 2);
        // A change needs the page that is gone; nothing is acknowledged that rests on it.
        let changed = sample.keys.iter().map(|key| index.insert(key, "changed"));
        let refused = changed.filter(|result| match result {
            Ok(_) => false,
            Err(Error::Refused { .. }) => true,
            Err(error) if right(error) => true,
            Err(other) => panic!("{other:?}"),
        });
        assert!(refused.count() > sample.keys.len() / 2);
        assert!(!index.check().unwrap().is_sound());
        let _ = index.close();
        Ok(())
    });
}

fn logs(table: &mut Table) {
    for name in ["a folder", "a FIFO"] {
        table.checked("path", &format!("a log that is {name}"), || {
            let folder = folder();
            let mut sample = Sample::killed();
            let log = folder.path().join(&sample.log[0].0);
            sample.log.clear();
            sample.write(folder.path());
            match name {
                "a folder" => std::fs::create_dir(&log).unwrap(),
                _ => assert!(tool("mkfifo", &[&log])),
            }
            refused(folder.path(), &folder.path().join("data"), |error| {
                matches!(error, Error::Io { .. })
            })
        });
    }
}

fn large(table: &mut Table) {
    for exponent in [40, 44, 46] {
        let name = format!("a sound index, made 2^{exponent} bytes long");
        let folder = tempfile::tempdir().unwrap();
        let path = sample(folder.path(), "data");
        let len = (1_u64 << exponent) - 4096;
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Err(error) = file.set_len(len) {
            table.skip("path", &name, &format!("the file system says {error}"));
            continue;
        }
        table.checked("path", &name, || {
            let index = Index::open_read_only(&path).map_err(|error| error.to_string())?;
            assert_eq!(index.get("key").unwrap().unwrap(), "value");
            assert!(index.check().unwrap().is_sound());
            drop(index);
            let index = Index::open(&path).map_err(|error| error.to_string())?;
            index.insert("other", "value").unwrap();
            index.close().map_err(|error| error.to_string())?;
            let len = std::fs::metadata(&path).unwrap().len();
            if len < 1 << 20 { Ok(()) } else { Err(format!("still {len} bytes")) }
        });
    }
    table.checked("path", "a folder that nobody may write to, for reading", || {
        let folder = folder();
        let path = sample(folder.path(), "data");
        let locked = std::fs::Permissions::from_mode(0o500);
        std::fs::set_permissions(folder.path(), locked).unwrap();
        let index = Index::open_read_only(&path).map_err(|error| error.to_string())?;
        assert_eq!(index.get("key").unwrap().unwrap(), "value");
        drop(index);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Ok(())
    });
}

/// Runs a command as another user.
pub(crate) fn as_nobody(command: &mut Command) {
    command.uid(65_534).gid(65_534);
}
