//! `compact`: the file written anew, as small as its records allow, in place of the old one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use splitpoint::Options;

use crate::failure::{Answer, Context, Outcome};
use crate::output::Output;
use crate::target::Target;
use crate::{human, interrupt};

/// The arguments of `compact`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// How full a page is to be on average: less leaves room for inserts [default: what makes the
    /// smallest file that is fast].
    #[arg(long, value_name = "PERCENT")]
    #[arg(value_parser = clap::value_parser!(u32).range(10..=150))]
    fill: Option<u32>,
    /// Memory for it; what does not fit goes to a file beside the index.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..1 << 30))]
    memory: u64,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Rewrites it.
    pub(crate) fn run(self) -> Outcome {
        let path = self.target.path();
        let started = Instant::now();
        let options = Options::new().create(false).wait_for_lock(self.target.wait());
        let mut loader = options.bulk_load(path).opening(path)?;
        // The loader has locked them: they are nobody else's.
        interrupt::watch_over(unfinished(path))?;
        let before = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        loader = loader.memory_budget(self.memory << 20).opening(path)?;
        if let Some(fill) = self.fill {
            loader = loader.fill_percent(fill).opening(path)?;
        }
        let finished = loader.finish();
        // The lock goes with the index: a later file of that name is another process's.
        interrupt::let_go();
        let index = finished.working(path)?;
        let (count, after) = (index.len(), index.stats().working(path)?.file_len);
        index.close().working(path)?;
        let mut output = Output::new();
        if self.json {
            output.json(&json!({
                "count": count,
                "bytes_before": before,
                "bytes": after,
                "seconds": started.elapsed().as_secs_f64(),
            }))?;
        } else {
            output.line(format!(
                "{} has {} records in {}, before it was {}; in {}",
                path.display(),
                human::count(count),
                human::bytes(after),
                human::bytes(before),
                human::duration(started.elapsed()),
            ))?;
        }
        output.finish(Answer::Yes)
    }
}

/// What a compaction writes beside the file until it is done.
fn unfinished(path: &Path) -> Vec<PathBuf> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = |suffix| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    vec![beside(".splitpoint-new"), beside(".splitpoint-spill")]
}
