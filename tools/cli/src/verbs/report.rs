//! `report`: a page of pictures of a file.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use splitpoint::salvage::FileMap;

use crate::failure::{Answer, Context, Failure, Outcome};
use crate::output::Output;
use crate::{interrupt, report, target};

/// The arguments of `report`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The index file; it may be damaged, or open in another process.
    file: PathBuf,
    /// Where to; `-` is standard output. A file must not exist yet.
    #[arg(short, long, value_name = "OUTPUT")]
    output: PathBuf,
}

impl Args {
    /// Draws it.
    pub(crate) fn run(self) -> Outcome {
        interrupt::watch()?;
        let map = FileMap::read(&self.file).opening(&self.file)?;
        let page = report::page(&map);
        if interrupt::asked() {
            return Err(Failure::Work("interrupted; nothing was written".to_owned()));
        }
        let mut output = Output::new();
        if self.output == Path::new("-") {
            output.bytes(page.as_bytes())?;
        } else {
            self.write(&page)?;
        }
        output.finish(Answer::Yes)
    }

    fn write(&self, page: &str) -> Result<(), Failure> {
        let path = &self.output;
        if fs::symlink_metadata(path).is_ok() {
            return Err(Failure::Open(format!(
                "{} exists already; choose another name, or remove it first",
                path.display()
            )));
        }
        let open = |error| Failure::Open(format!("cannot create {}: {error}", path.display()));
        let mut temporary = target::temporary_for(path).map_err(open)?;
        let written = temporary.write_all(page.as_bytes());
        written.map_err(|error| Failure::output(path.display(), &error))?;
        temporary.persist_noclobber(path).map_err(|error| open(error.error))?;
        Ok(())
    }
}
