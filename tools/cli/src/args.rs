//! The arguments: the list of verbs, and which function runs each. Knows nothing of what they do.

use clap::{Parser, Subcommand};

use crate::failure::Outcome;
use crate::{demo, help, verbs};

/// Look up, change, fill and inspect splitpoint files: persistent hash indexes, bytes to bytes.
#[derive(Parser)]
#[command(name = "splitpoint", version, after_long_help = help::TOP, after_help = help::TOP_SHORT)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a new, empty index file.
    #[command(after_help = help::CREATE)]
    Create(verbs::create::Args),
    /// Put the records of a text or binary file into an index.
    #[command(after_help = help::LOAD, after_long_help = help::LOAD_LONG)]
    Load(verbs::load::Args),
    /// Print the value of a key, or of several.
    #[command(after_help = help::GET)]
    Get(verbs::get::Args),
    /// Set the value of a key.
    #[command(after_help = help::PUT)]
    Put(verbs::put::Args),
    /// Remove keys.
    #[command(after_help = help::DEL)]
    Del(verbs::del::Args),
    /// Print the number of records, and nothing else.
    #[command(after_help = help::COUNT)]
    Count(verbs::count::Args),
    /// Print records in hash order, a page at a time if wanted.
    #[command(after_help = help::SCAN)]
    Scan(verbs::scan::Args),
    /// Write all records as text or binary; `load` reads it back, byte for byte.
    #[command(after_help = help::EXPORT)]
    Export(verbs::export::Args),
    /// Write the file anew, as small as its records allow.
    #[command(after_help = help::COMPACT)]
    Compact(verbs::compact::Args),
    /// Show what a file is made of: bytes by use, fill of buckets, chains, cost of lookups.
    #[command(after_help = help::STAT)]
    Stat(verbs::stat::Args),
    /// Prove that every page and record is sound; exit code 1 if not.
    #[command(after_help = help::CHECK)]
    Check(verbs::check::Args),
    /// Print what stands in a file, part by part, damaged or not.
    #[command(after_help = help::DUMP)]
    Dump(verbs::dump::Args),
    /// Show the way of a lookup: hash, bucket, page, candidates, result.
    #[command(after_help = help::EXPLAIN)]
    Explain(verbs::explain::Args),
    /// Print the facts of a file for a monitoring system.
    #[command(after_help = help::METRICS)]
    Metrics(verbs::metrics::Args),
    /// Write what is left of a damaged file into a new one, and list what is lost.
    #[command(after_help = help::SALVAGE)]
    Salvage(verbs::salvage::Args),
    /// Draw a file: one page of pictures for a browser.
    #[command(after_help = help::REPORT)]
    Report(verbs::report::Args),
    /// Copy a file as it is at one moment, while another process may be writing it.
    #[command(after_help = help::BACKUP)]
    Backup(verbs::backup::Args),
    /// Print the keys that two files do not agree about; exit code 1 if there are any.
    #[command(after_help = help::DIFF)]
    Diff(verbs::diff::Args),
    /// Make a damaged copy of a file, to see what the other verbs make of it.
    #[command(after_help = help::CORRUPT)]
    Corrupt(verbs::corrupt::Args),
    /// Print a script that completes verbs and options in a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions(verbs::shell::Completions),
    /// Print the manual page, of the tool or of a verb.
    #[command(after_help = help::MAN)]
    Man(verbs::shell::Man),
    /// See it work: load, serve, count, kill a writer, recover. Under a minute.
    #[command(after_help = help::DEMO)]
    Demo(demo::Args),
    /// Explain the formats of `load` and `export`.
    #[command(long_about = help::FORMATS)]
    Formats,
    /// The child that `demo` kills.
    #[command(hide = true)]
    DemoWriter(demo::writer::Args),
}

impl Cli {
    /// Runs the verb that was asked for.
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            Verb::Create(args) => args.run(),
            Verb::Load(args) => args.run(),
            Verb::Get(args) => args.run(),
            Verb::Put(args) => args.run(),
            Verb::Del(args) => args.run(),
            Verb::Count(args) => args.run(),
            Verb::Scan(args) => args.run(),
            Verb::Export(args) => args.run(),
            Verb::Compact(args) => args.run(),
            Verb::Stat(args) => args.run(),
            Verb::Check(args) => args.run(),
            Verb::Dump(args) => args.run(),
            Verb::Explain(args) => args.run(),
            Verb::Metrics(args) => args.run(),
            Verb::Salvage(args) => args.run(),
            Verb::Report(args) => args.run(),
            Verb::Backup(args) => args.run(),
            Verb::Diff(args) => args.run(),
            Verb::Corrupt(args) => args.run(),
            Verb::Completions(args) => args.run(),
            Verb::Man(args) => args.run(),
            Verb::Demo(args) => args.run(),
            Verb::Formats => help::print_formats(),
            Verb::DemoWriter(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
