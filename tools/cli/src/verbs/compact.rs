//! `compact`: the file written anew, as small as its records allow, in place of the old one.

use std::time::Instant;

use serde_json::json;
use splitpoint::Options;

use crate::failure::{Answer, Context, Outcome};
use crate::human;
use crate::output::Output;
use crate::target::Target;

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
        let before = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        loader = loader.memory_budget(self.memory << 20).opening(path)?;
        if let Some(fill) = self.fill {
            loader = loader.fill_percent(fill).opening(path)?;
        }
        let index = loader.finish().working(path)?;
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
