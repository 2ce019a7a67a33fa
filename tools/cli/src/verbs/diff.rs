//! `diff`: the keys that two files do not agree about.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use splitpoint::{Difference, Index, Options};

use crate::escape;
use crate::failure::{Answer, Context, Failure, Outcome};
use crate::human;
use crate::interrupt;
use crate::output::{Output, put_bytes};

/// The arguments of `diff`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first file: what was.
    before: PathBuf,
    /// The second file: what is.
    after: PathBuf,
    /// Print the counts only.
    #[arg(long)]
    count: bool,
    /// Print one JSON object a key, with the values, and the counts in one of their own.
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
}

fn open(path: &PathBuf) -> Result<Index, Failure> {
    let options = Options::new().create(false).read_only(true).wait_for_lock(Duration::ZERO);
    options.open(path).opening(path)
}

impl Args {
    /// Prints it; the answer is no if there is any.
    pub(crate) fn run(self) -> Outcome {
        let (before, after) = (open(&self.before)?, open(&self.after)?);
        interrupt::watch()?;
        let mut output = Output::new();
        let mut counts = Counts::default();
        let mut failure = None;
        let result = before.diff(&after, |difference| {
            let counter = match difference {
                Difference::Added { .. } => &mut counts.added,
                Difference::Removed { .. } => &mut counts.removed,
                Difference::Changed { .. } => &mut counts.changed,
            };
            *counter += 1;
            if !self.count {
                failure = self.print(&mut output, difference).err();
            }
            if interrupt::asked() {
                failure = Some(Failure::Work("interrupted".to_owned()));
            }
            if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        result.working(&self.before)?;
        let Counts { added, removed, changed } = counts;
        if self.json {
            output.json(&json!({ "added": added, "removed": removed, "changed": changed }))?;
        } else {
            let [added, removed, changed] = [added, removed, changed].map(human::count);
            output.line(format!("{added} added, {removed} removed, {changed} changed"))?;
        }
        let is_equal = counts.added + counts.removed + counts.changed == 0;
        output.finish(if is_equal { Answer::Yes } else { Answer::No })
    }

    fn print(&self, output: &mut Output, difference: Difference<'_>) -> Result<(), Failure> {
        let (sign, name, key, values): (_, _, _, Vec<(&str, &[u8])>) = match difference {
            Difference::Added { key, value } => ('+', "added", key, vec![("after", value)]),
            Difference::Removed { key, value } => ('-', "removed", key, vec![("before", value)]),
            Difference::Changed { key, before, after } => {
                ('~', "changed", key, vec![("before", before), ("after", after)])
            }
        };
        if !self.json {
            return output.line(format!("{sign} {}", escape::shown(key)));
        }
        let mut object = Map::new();
        object.insert("difference".to_owned(), json!(name));
        put_bytes(&mut object, "key", key, true);
        for (name, value) in values {
            put_bytes(&mut object, name, value, true);
        }
        output.json(&Value::Object(object))
    }
}
