//! `completions` and `man`: what a shell and a manual reader want to know of the arguments.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::Output;

/// The arguments of `completions`.
#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub(crate) fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "splitpoint", &mut script);
        let mut output = Output::new();
        output.bytes(&script)?;
        output.finish(Answer::Yes)
    }
}

/// The arguments of `man`.
#[derive(clap::Args)]
pub(crate) struct Man {
    /// The verb whose page is wanted; without one, that of the tool.
    verb: Option<String>,
}

impl Man {
    /// Prints the page.
    pub(crate) fn run(self) -> Outcome {
        let mut command = Cli::command();
        command.build();
        let command = match &self.verb {
            None => command,
            Some(verb) => command
                .find_subcommand(verb)
                .cloned()
                .ok_or_else(|| Failure::Usage(format!("there is no verb {verb:?}")))?,
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::Work(format!("cannot make the page: {error}")))?;
        let mut output = Output::new();
        output.bytes(&page)?;
        output.finish(Answer::Yes)
    }
}
