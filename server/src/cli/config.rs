//! `config show`: the settings a server would be started with here, and where each comes from.

use std::path::PathBuf;

use anabranch_client::cli::{Global, OutputFormat, table};
use clap::{Args, Subcommand};

use super::{USAGE, fail, print};
use crate::config::{Config, ConfigError, Layer, Setting, resolve};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting of `serve`, its value, and where the value comes from
    Show(SettingsArguments),
}

/// The settings as flags; the rest comes from the environment and a file.
#[derive(Args)]
pub(crate) struct SettingsArguments {
    /// TOML file with settings; flags and the environment win over it
    #[arg(long, value_name = "FILE", env = "ANABRANCH_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Layer,
}

impl SettingsArguments {
    /// The settings in force.
    pub(crate) fn resolve(self) -> Result<(Config, Vec<Setting>), ConfigError> {
        let environment = Layer::from_environment(|name| std::env::var_os(name))?;
        let file = match &self.config {
            Some(path) => Layer::from_file(path)?,
            None => Layer::default(),
        };
        resolve(self.flags, environment, file)
    }
}

pub(crate) fn run(command: ConfigCommand, global: &Global) -> u8 {
    let ConfigCommand::Show(arguments) = command;
    match arguments.resolve() {
        Ok((_, settings)) => print(render(&settings, global.output).as_bytes()),
        Err(error) => fail(USAGE, &error),
    }
}

fn render(settings: &[Setting], output: OutputFormat) -> String {
    let json = |setting| serde_json::to_string(setting).expect("a setting is plain text");
    match output {
        OutputFormat::Table => {
            let row = |setting: &Setting| {
                vec![setting.name.to_owned(), setting.value.clone(), setting.origin.to_string()]
            };
            table(&["SETTING", "VALUE", "ORIGIN"], settings.iter().map(row).collect())
        }
        OutputFormat::Json => {
            let objects: Vec<_> = settings.iter().map(json).collect();
            format!("[{}]\n", objects.join(","))
        }
        OutputFormat::Ndjson => settings.iter().map(|s| json(s) + "\n").collect(),
    }
}
