//! Removing the files of a deleted stream.

use crate::error::{IoContext, Result};
use crate::fs::Fs;
use crate::ids::StreamId;
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
        for entry in fs.list(&shard_dir).at("list", &shard_dir, None)? {
            let path = shard_dir.join(&entry.name);
            fs.remove(&path).at("remove", &path, None)?;
        }
        fs.remove_dir(&shard_dir).at("remove", &shard_dir, None)?;
    }
    fs.remove_dir(&dir).at("remove", &dir, None)?;
    let parent = paths.shards();
    Mutant::RemovalUnsynced.skips(|| fs.sync_dir(&parent)).at("sync", &parent, None)
}
