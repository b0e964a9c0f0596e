//! Removing the files of a deleted stream, or of a shard that has expired.

use std::path::Path;

use crate::error::{IoContext, Result};
use crate::fs::Fs;
use crate::ids::{ShardId, StreamId};
use crate::log::paths::Paths;
use crate::mutant::Mutant;

/// Removes all files of a stream, durably.
pub(crate) fn remove_tree(fs: &dyn Fs, paths: &Paths, stream: StreamId) -> Result<()> {
    let dir = paths.stream(stream);
    let shards = match fs.list(&dir) {
        Ok(shards) => shards,
        // Removed before, but maybe not durably: if the sync behind that has failed, no later one
        // would prove anything. A name that is made and removed once more goes with the next.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs.create_dir(&dir).at("create", &dir, None)?;
            Vec::new()
        }
        Err(error) => return Err(error).at("list", &dir, None),
    };
    for shard in shards {
        let shard_dir = dir.join(&shard.name);
        if !shard.is_dir {
            fs.remove(&shard_dir).at("remove", &shard_dir, None)?;
            continue;
        }
        remove_dir(fs, &shard_dir)?;
    }
    fs.remove_dir(&dir).at("remove", &dir, None)?;
    let parent = paths.shards();
    Mutant::RemovalUnsynced.skips(|| fs.sync_dir(&parent)).at("sync", &parent, None)
}

/// Removes all files of a shard, durably.
pub(crate) fn remove_shard(
    fs: &dyn Fs,
    paths: &Paths,
    stream: StreamId,
    shard: ShardId,
) -> Result<()> {
    let parent = paths.stream(stream);
    let dir = paths.shard(stream, shard);
    match fs.list(&dir) {
        Ok(_) => remove_dir(fs, &dir)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if fs.list(&parent).is_err() {
                // The stream has no directory: none of its shards ever took a record.
                return Ok(());
            }
            // As above: a name that is made and removed once more.
            fs.create_dir(&dir).at("create", &dir, None)?;
            fs.remove_dir(&dir).at("remove", &dir, None)?;
        }
        Err(error) => return Err(error).at("list", &dir, None),
    }
    fs.sync_dir(&parent).at("sync", &parent, None)
}

fn remove_dir(fs: &dyn Fs, dir: &Path) -> Result<()> {
    for entry in fs.list(dir).at("list", dir, None)? {
        let path = dir.join(&entry.name);
        fs.remove(&path).at("remove", &path, None)?;
    }
    fs.remove_dir(dir).at("remove", dir, None)
}
