//! `stat`: the facts of a file.

use serde_json::{Map, Value, json};

use crate::failure::{Answer, Context, Outcome};
use crate::human;
use crate::output::Output;
use crate::target::Target;

/// The arguments of `stat`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print them as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self) -> Outcome {
        let index = self.target.read()?;
        let stats = index.stats().working(self.target.path())?;
        let mut output = Output::new();
        if self.json {
            let mut object = Map::new();
            for (name, number) in stats.fields() {
                object.insert(name.to_owned(), json!(number));
            }
            output.json_pretty(&Value::Object(object))?;
        } else {
            let mut fields = stats.fields();
            fields.retain(|(name, number)| *number > 0 || !is_activity(name));
            output.bytes(table(&fields).as_bytes())?;
        }
        output.finish(Answer::Yes)
    }
}

/// Whether a fact is about what this process did, not about the file: it is shown if there is any.
fn is_activity(name: &str) -> bool {
    ["get_", "hit_", "miss_", "commit_", "sync_", "checkpoint_", "moved_", "held_", "dirty_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || name.ends_with("_written_len")
}

/// The facts as aligned lines: name, number, and the number in human units where it is a size.
pub(crate) fn table(fields: &[(&'static str, u64)]) -> String {
    let name_width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let number_width =
        fields.iter().map(|(_, number)| human::count(*number).len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, number) in fields {
        let label = name.replace('_', " ");
        let exact = human::count(*number);
        text.push_str(&format!("{label:name_width$}  {exact:>number_width$}"));
        if is_bytes(name) && *number >= 1024 {
            text.push_str(&format!("  {}", human::bytes(*number)));
        }
        text.push('\n');
    }
    text
}

/// Whether a fact is in bytes: the names say so by their last word.
fn is_bytes(name: &str) -> bool {
    ["_size", "_len", "_bytes"].iter().any(|end| name.ends_with(end))
}
