//! File systems of our own, in an image on a loop device. Root only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A file system in an image.
pub(crate) struct LoopMount {
    kind: String,
    image: PathBuf,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    is_mounted: bool,
}

/// Runs a program; its complaint if it fails.
pub(crate) fn tool(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(format!("{program}: {}: {words}", output.status))
        }
    }
}

impl LoopMount {
    /// Makes a file system of a kind (`ext4`, `xfs`) and mounts it in the folder.
    pub(crate) fn make(folder: &Path, kind: &str, bytes: u64) -> Result<LoopMount, String> {
        let image = folder.join(format!("{kind}.image"));
        let point = folder.join(kind);
        let words = |error: std::io::Error| error.to_string();
        std::fs::create_dir(&point).map_err(words)?;
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&image);
        file.and_then(|file| file.set_len(bytes)).map_err(words)?;
        tool(&format!("mkfs.{kind}"), &["-q".as_ref(), image.as_os_str()])?;
        let mut mount = LoopMount { kind: kind.to_owned(), image, point, is_mounted: false };
        mount.mount()?;
        Ok(mount)
    }

    /// Mounts it.
    pub(crate) fn mount(&mut self) -> Result<(), String> {
        let arguments: [&std::ffi::OsStr; 6] = [
            "-t".as_ref(),
            self.kind.as_ref(),
            "-o".as_ref(),
            "loop".as_ref(),
            self.image.as_os_str(),
            self.point.as_os_str(),
        ];
        tool("mount", &arguments)?;
        self.is_mounted = true;
        Ok(())
    }

    /// Unmounts it; waits a little for whoever still looks at it.
    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        for attempt in 0..50 {
            result = tool("umount", &[self.point.as_os_str()]);
            if result.is_ok() {
                self.is_mounted = false;
                break;
            }
            std::thread::sleep(Duration::from_millis(attempt));
        }
        result
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = self.unmount();
        }
    }
}
