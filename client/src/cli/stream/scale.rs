//! `stream scale`: so many shards of even size.
//!
//! One call of the API goes to at most twice and at least half as many shards as there are, as the
//! real service has it. `--steps` makes as many calls as that takes.

use clap::Args;
use serde_json::json;

use super::split;
use crate::cli::failure::Failure;
use crate::cli::output::{count, print_object};
use crate::cli::{DONE, Global, connect};

/// Which stream, and how many shards it is to have.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  anabranch stream scale orders 8
  anabranch stream scale orders 100 --steps")]
pub struct ScaleArguments {
    /// The stream
    pub(super) name: String,
    /// Open shards: at least half and at most twice as many as there are
    #[arg(value_name = "SHARDS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) target: u32,
    /// Go further than that, in several steps
    #[arg(long)]
    pub(super) steps: bool,
}

pub(super) async fn run(arguments: ScaleArguments, global: &Global) -> Result<i32, Failure> {
    let ScaleArguments { name, target, steps: may_step } = arguments;
    let client = connect(global).await?;
    let stream = client.describe_stream_summary(&name).await;
    let stream = stream.map_err(|error| Failure::about_stream(&name, error))?;
    split::check_mode(&stream)?;
    let before = stream.open_shard_count;
    let steps = steps(before, target);
    if steps.len() > 1 && !may_step {
        return Err(Failure::new(format!(
            "stream {name} has {before} open shards, and one step goes to {} at least and {} at \
             most; take {} steps with: anabranch stream scale {name} {target} --steps",
            before.div_ceil(2),
            before.saturating_mul(2),
            steps.len()
        )));
    }
    for (done, step) in steps.iter().enumerate() {
        client
            .update_shard_count(&name, *step)
            .await
            .map_err(|error| split::about_shape(&name, error))?;
        if steps.len() > 1 {
            eprintln!("step {} of {}: {} shards", done + 1, steps.len(), count((*step).into()));
        }
    }
    let words = format!(
        "stream {name} has {} open shards of even size (before: {})",
        count(target.into()),
        count(before.into())
    );
    let object = json!({
        "stream_name": name,
        "current_shard_count": before,
        "target_shard_count": target,
        "steps": steps,
    });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

/// The counts on the way, each at most twice and at least half the one before; the last is the
/// target. One step even where the count is right, which makes the shards even.
fn steps(open: u32, target: u32) -> Vec<u32> {
    let mut steps = Vec::new();
    let mut count = open.max(1);
    loop {
        count = target.clamp(count.div_ceil(2), count.saturating_mul(2));
        steps.push(count);
        if count == target {
            return steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_doubles_or_halves_at_most() {
        assert_eq!(steps(4, 4), [4]);
        assert_eq!(steps(4, 8), [8]);
        assert_eq!(steps(4, 9), [8, 9]);
        assert_eq!(steps(1, 100), [2, 4, 8, 16, 32, 64, 100]);
        assert_eq!(steps(100, 7), [50, 25, 13, 7]);
        assert_eq!(steps(5, 2), [3, 2]);
        assert_eq!(steps(10_000, 1).len(), 14);
    }
}
