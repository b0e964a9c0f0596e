//! `anabranch stream`: making, looking at, reshaping and deleting streams. One file per command.

mod advise;
mod create;
mod delete;
mod describe;
mod hash_range;
mod list;
mod load;
mod merge;
mod mode;
mod picture;
mod quotas;
mod retention;
mod scale;
mod shard;
mod shards;
mod size;
mod split;
mod summary;
mod tags;

use clap::Subcommand;

use super::Global;
use super::failure::Failure;

/// What to do with streams.
#[derive(Subcommand, Debug)]
pub enum StreamCommand {
    /// Make a stream
    Create(create::CreateArguments),
    /// List all streams
    List,
    /// Describe a stream
    Describe(describe::DescribeArguments),
    /// Draw the shards of a stream: when they were made, from which, and their load
    Shards(shards::ShardsArguments),
    /// Split a shard in two
    Split(split::SplitArguments),
    /// Merge two neighbouring shards into one
    Merge(merge::MergeArguments),
    /// Split and merge until there are so many shards of even size
    Scale(scale::ScaleArguments),
    /// Say who decides on the number of shards: you, or the server by the load
    Mode(mode::ModeArguments),
    /// Choose the limits of a stream
    Quotas(quotas::QuotasArguments),
    /// Set for how long records are kept
    Retention(retention::RetentionArguments),
    /// Show the tags of a stream, set some or remove some
    Tags(tags::TagsArguments),
    /// Say how many shards a load needs (asks no server)
    Size(size::SizeArguments),
    /// Say which shard or key is hot, and what to do
    Advise(advise::AdviseArguments),
    /// Delete a stream with all its records
    Delete(delete::DeleteArguments),
}

pub(super) async fn run(command: StreamCommand, global: &Global) -> Result<i32, Failure> {
    match command {
        StreamCommand::Create(arguments) => create::run(arguments, global).await,
        StreamCommand::List => list::run(global).await,
        StreamCommand::Describe(arguments) => describe::run(arguments, global).await,
        StreamCommand::Shards(arguments) => shards::run(arguments, global).await,
        StreamCommand::Split(arguments) => split::run(arguments, global).await,
        StreamCommand::Merge(arguments) => merge::run(arguments, global).await,
        StreamCommand::Scale(arguments) => scale::run(arguments, global).await,
        StreamCommand::Mode(arguments) => mode::run(arguments, global).await,
        StreamCommand::Quotas(arguments) => quotas::run(arguments, global).await,
        StreamCommand::Retention(arguments) => retention::run(arguments, global).await,
        StreamCommand::Tags(arguments) => tags::run(arguments, global).await,
        StreamCommand::Size(arguments) => size::run(&arguments, global),
        StreamCommand::Advise(arguments) => advise::run(arguments, global).await,
        StreamCommand::Delete(arguments) => delete::run(arguments, global).await,
    }
}

#[cfg(test)]
mod tests;
