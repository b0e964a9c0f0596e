//! `completions SHELL`: a script that makes the shell complete our commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, print};

#[derive(Args)]
pub(crate) struct CompletionsArguments {
    /// The shell; e.g. source <(anabranch completions bash)
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments) -> u8 {
    // Generated into memory first, because the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "anabranch", &mut script);
    print(&script)
}
