//! The client half of the command line: `stream`, `put`, `tail` and `bench`.
//!
//! The binary parses [`Global`] and [`ClientCommand`] together with its own commands and calls
//! [`run`], which prints what there is to print and returns an exit code: 0 done, 1 failed,
//! 2 usage, 3 damage found, 4 server unreachable. Results go to standard output, everything
//! said to a person goes to standard error, and a standard output that is gone
//! (`tail | head`) ends a command quietly.

mod bench;
mod failure;
mod key;
mod lines;
mod output;
mod put;
mod start;
mod stream;
mod tail;
mod write;

pub use output::{count, table};

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

use crate::client::Client;
use crate::identity::Identity;
use crate::retry::RetryPolicy;
use crate::trust::{Fingerprint, Trust};
use failure::Failure;

/// Done.
pub const DONE: i32 = 0;
/// Failed.
pub const FAILED: i32 = 1;
/// What was typed makes no sense.
pub const USAGE: i32 = 2;
/// Damaged records were found.
pub const DAMAGE: i32 = 3;
/// No server answers.
pub const UNREACHABLE: i32 = 4;

/// For how long a command that is under way waits for a server that went away: a restart
/// takes seconds, and a person should hear of anything else within half a minute.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a command prints its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Ndjson,
}

/// What concerns every command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// The server's address.
    pub server: String,
    /// Whose word counts for its certificate.
    pub trust: Trust,
    /// The certificate that it is shown.
    pub identity: Option<Identity>,
    /// How the result is printed.
    pub output: OutputFormat,
}

/// The flags behind [`Global`]. `tail` has an `--output` of its own with other values, and
/// clap carries a global value down into it and back: that works where both are text.
#[derive(Args)]
struct GlobalFlags {
    /// The server to talk to
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ANABRANCH_SERVER",
        default_value = "http://127.0.0.1:4567"
    )]
    server: String,

    /// PEM file with the authorities to trust at https:// [default: those of the system]
    #[arg(long, global = true, value_name = "FILE", env = "ANABRANCH_TLS_CA")]
    tls_ca: Option<PathBuf>,

    /// Certificate to trust at https://, by its fingerprint, which `serve --tls-auto` shows
    #[arg(
        long,
        global = true,
        value_name = "SHA256",
        env = "ANABRANCH_TLS_FINGERPRINT",
        conflicts_with = "tls_ca"
    )]
    tls_fingerprint: Option<Fingerprint>,

    /// PEM file with a certificate to sign in with at https://
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ANABRANCH_TLS_CLIENT_CERT",
        requires = "tls_client_key"
    )]
    tls_client_cert: Option<PathBuf>,

    /// PEM file with the key of that certificate
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ANABRANCH_TLS_CLIENT_KEY",
        requires = "tls_client_cert"
    )]
    tls_client_key: Option<PathBuf>,

    /// How to print results
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table",
        value_parser = PossibleValuesParser::new(["table", "json", "ndjson"])
    )]
    output: String,
}

impl From<GlobalFlags> for Global {
    fn from(flags: GlobalFlags) -> Self {
        let output = match flags.output.as_str() {
            "json" => OutputFormat::Json,
            "ndjson" => OutputFormat::Ndjson,
            _ => OutputFormat::Table,
        };
        let trust = match (flags.tls_fingerprint, flags.tls_ca) {
            (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
            (None, Some(file)) => Trust::Authorities(file),
            (None, None) => Trust::System,
        };
        let identity = flags.tls_client_cert.zip(flags.tls_client_key);
        let identity = identity.map(|(certificate, key)| Identity { certificate, key });
        Global { server: flags.server, trust, identity, output }
    }
}

impl FromArgMatches for Global {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        GlobalFlags::from_arg_matches(matches).map(Global::from)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Global {
    fn augment_args(command: clap::Command) -> clap::Command {
        GlobalFlags::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        GlobalFlags::augment_args_for_update(command)
    }
}

/// The commands that talk to a server.
#[derive(Subcommand, Debug)]
pub enum ClientCommand {
    /// Make streams, look at them, reshape, size, tag and delete them
    #[command(subcommand)]
    Stream(stream::StreamCommand),

    /// Put the lines of a file or of standard input into a stream, one record each
    Put(put::PutArguments),

    /// Print the records of a stream, as they come
    Tail(tail::TailArguments),

    /// Measure a server under load: throughput, latencies, and whether everything is there
    Bench(bench::BenchArguments),
}

/// Does what was typed and returns the exit code.
pub async fn run(command: ClientCommand, global: Global) -> i32 {
    let outcome = match command {
        ClientCommand::Stream(command) => stream::run(command, &global).await,
        ClientCommand::Put(arguments) => put::run(arguments, &global).await,
        ClientCommand::Tail(arguments) => tail::run(arguments, &global).await,
        ClientCommand::Bench(arguments) => bench::run(arguments, &global).await,
    };
    outcome.unwrap_or_else(|failure| {
        failure.print();
        failure.code
    })
}

/// Connects, or says at once that there is no server.
async fn connect(global: &Global) -> Result<Client, Failure> {
    let mut client = Client::builder(&global.server)
        .connect_timeout(Duration::from_secs(5))
        .trust(global.trust.clone())
        .retry(RetryPolicy::for_at_most(PATIENCE));
    if let Some(identity) = &global.identity {
        client = client.identity(identity.clone());
    }
    let client = client.build().await?;
    if client.is_secret_exposed() {
        let server = client.server();
        failure::warn(&format!("the secret in ANABRANCH_SECRET_KEY goes to {server} unencrypted"));
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        global: Global,
        #[command(subcommand)]
        command: ClientCommand,
    }

    fn parse(line: &str) -> Result<Whole, clap::Error> {
        Whole::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_global_output_and_that_of_tail_live_side_by_side() {
        use clap::CommandFactory;
        Whole::command().debug_assert();
        let list = parse("anabranch stream list --output json").unwrap();
        assert_eq!(list.global.output, OutputFormat::Json);
        assert!(parse("anabranch stream list --output csv").is_err());
        for (line, expected) in [
            ("anabranch tail s", tail::RecordFormat::Raw),
            ("anabranch tail s --output csv", tail::RecordFormat::Csv),
            ("anabranch tail s --output ndjson", tail::RecordFormat::Ndjson),
            ("anabranch --output ndjson tail s", tail::RecordFormat::Ndjson),
            ("anabranch --output json tail s", tail::RecordFormat::Ndjson),
            ("anabranch tail --output raw s", tail::RecordFormat::Raw),
        ] {
            let ClientCommand::Tail(tail) = parse(line).unwrap().command else {
                panic!("{line}");
            };
            assert_eq!(tail.record_format(), expected, "{line}");
        }
        assert!(parse("anabranch tail s --output table").is_err());
    }

    #[tokio::test]
    async fn without_a_server_the_exit_code_is_four() {
        // Bound and dropped: nobody listens there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let line = format!("anabranch --server http://{address} stream list");
        let whole = parse(&line).unwrap();
        assert_eq!(run(whole.command, whole.global).await, UNREACHABLE);
    }
}
