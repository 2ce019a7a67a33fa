//! `create`: a new, empty index.

use serde_json::json;
use splitpoint::Options;

use crate::failure::{Answer, Context, Outcome};
use crate::output::Output;
use crate::target::Target;

/// The arguments of `create`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Bytes in a page: 4096 to 65536, a power of two; fixed from now on.
    #[arg(long, value_name = "BYTES")]
    page_size: Option<usize>,
    /// All keys have this size; saves space.
    #[arg(long, value_name = "BYTES")]
    key_size: Option<usize>,
    /// All values have this size; saves space.
    #[arg(long, value_name = "BYTES")]
    value_size: Option<usize>,
    /// The seed of the hash function, instead of a random one. Whoever knows it can choose keys
    /// that collide; give it only to make the same file twice.
    #[arg(long, value_name = "NUMBER")]
    hash_seed: Option<u64>,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Makes it; an existing file is left alone and an error.
    pub(crate) fn run(self) -> Outcome {
        let mut options = Options::new().create_new(true);
        if let Some(page_size) = self.page_size {
            options = options.page_size(page_size);
        }
        if let Some(seed) = self.hash_seed {
            options = options.hash_seed(seed);
        }
        options = options.key_size(self.key_size).value_size(self.value_size);
        let path = self.target.path();
        self.target.open(options)?.close().working(path)?;
        let mut output = Output::new();
        if self.json {
            output.json(&json!({ "created": path.to_string_lossy() }))?;
        } else if output.is_terminal() {
            output.line(format!("made {}, empty", path.display()))?;
        }
        output.finish(Answer::Yes)
    }
}
