//! What the client does with streams, and what it knows of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_engine::ids::ConsumerName;
use anabranch_engine::settings::Tags;
use anabranch_engine::{Durability, Error, Stream, StreamSettings};

use super::life::{KnownShard, KnownStream, Life, Lived, Presence, RETENTION_HOURS, Stop};
use crate::checker::Event;
use crate::support::name;

impl Life {
    pub(in crate::torture) fn create_stream(&mut self, stream: &str, shards: u32) -> Lived {
        let is_known = self.streams.get(stream).map(|known| known.presence);
        let mut known = KnownStream {
            id: None,
            presence: Presence::Sure,
            retention_hours: vec![RETENTION_HOURS],
            expired_ms: 0,
            consumers: BTreeMap::new(),
            shards: (0..shards).map(|_| KnownShard::default()).collect(),
        };
        let opened = Event::Opened { is_unsynced: self.world.durability == Durability::Os };
        known.shards.iter_mut().for_each(|shard| shard.checker.see(&opened));
        match self.engine().create_stream(&name(stream), shards, StreamSettings::default()) {
            Ok(created) => {
                if is_known == Some(Presence::Sure) {
                    return Err(Stop::Found(format!("{stream} is created twice")));
                }
                known.id = Some(created.id().0);
            }
            Err(Error::StreamExists { .. }) if is_known.is_some() => return Ok(()),
            Err(error) => {
                if is_known.is_none() {
                    known.presence = Presence::InDoubt;
                    self.streams.insert(stream.to_owned(), known);
                }
                return self.failed("creating a stream", &error);
            }
        }
        self.streams.insert(stream.to_owned(), known);
        Ok(())
    }

    pub(in crate::torture) fn delete_stream(&mut self, stream: &str) -> Lived {
        match self.engine().delete_stream(&name(stream)) {
            Ok(()) => {
                self.forget(stream);
                Ok(())
            }
            Err(error) => {
                if let Some(known) = self.streams.get_mut(stream) {
                    known.presence = Presence::InDoubt;
                }
                self.failed("deleting a stream", &error)
            }
        }
    }

    pub(in crate::torture) fn forget(&mut self, stream: &str) {
        if let Some(known) = self.streams.remove(stream) {
            for shard in known.shards {
                self.tally.compared += shard.checker.compared();
                self.tally.lost_unsynced += shard.checker.lost_unsynced();
            }
        }
    }

    pub(in crate::torture) fn register_consumer(&mut self, stream: &str, consumer: &str) -> Lived {
        self.change_consumer(stream, consumer, true)
    }

    pub(in crate::torture) fn deregister_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Lived {
        self.change_consumer(stream, consumer, false)
    }

    fn change_consumer(&mut self, stream: &str, consumer: &str, is_added: bool) -> Lived {
        let Some(found) = self.find(stream)? else { return Ok(()) };
        let who: ConsumerName = consumer.parse().expect("a name");
        let outcome = match is_added {
            true => self.engine().register_consumer(&found, &who, Tags::new()).map(|_| ()),
            false => self.engine().deregister_consumer(&found, &who),
        };
        let known = self.streams.get_mut(stream).expect("it was found");
        // What was asked for and never answered: now it is known what came of it.
        match (&outcome, known.consumers.get(consumer)) {
            (Err(Error::ConsumerNotFound { .. }), None | Some(Presence::InDoubt)) => {
                known.consumers.remove(consumer);
                return Ok(());
            }
            (Err(Error::ConsumerExists { .. }), Some(Presence::InDoubt)) => {
                known.consumers.insert(consumer.to_owned(), Presence::Sure);
                return Ok(());
            }
            _ => {}
        }
        match (&outcome, is_added) {
            (Ok(()), true) => known.consumers.insert(consumer.to_owned(), Presence::Sure),
            (Ok(()), false) => known.consumers.remove(consumer),
            (Err(_), _) => known.consumers.insert(consumer.to_owned(), Presence::InDoubt),
        };
        outcome.or_else(|error| self.failed("changing a consumer", &error))
    }

    pub(in crate::torture) fn set_retention(&mut self, stream: &str, hours: u32) -> Lived {
        let Some(found) = self.find(stream)? else { return Ok(()) };
        self.expire(stream);
        let outcome = self.engine().set_retention_hours(&found, hours);
        let known = self.streams.get_mut(stream).expect("it was found");
        match outcome {
            Ok(()) => known.retention_hours = vec![hours],
            Err(error) => {
                known.retention_hours.push(hours);
                return self.failed("changing the retention", &error);
            }
        }
        Ok(())
    }

    /// The stream of that name; `None` where trouble has taken it.
    pub(in crate::torture) fn find(&mut self, stream: &str) -> Lived<Option<Arc<Stream>>> {
        match self.engine().stream(&name(stream)) {
            Ok(found) => Ok(Some(found)),
            Err(_) if self.world.fs.is_dead() => Err(Stop::PowerCut),
            Err(error) => match self.streams.get(stream).map(|known| known.presence) {
                Some(Presence::Sure) => {
                    Err(Stop::Found(format!("stream {stream} is not found: {error}")))
                }
                Some(Presence::InDoubt) | None => Ok(None),
            },
        }
    }

    /// What has become of changes that were never answered; everything else is as it was.
    pub(in crate::torture) fn settle_streams(&mut self) -> Lived {
        let engine = self.engine().clone();
        let found = engine.streams(None, 100);
        for stream in &found {
            if !self.streams.contains_key(stream.name().as_str()) {
                return Err(Stop::Found(format!("stream {} has risen", stream.name())));
            }
        }
        let named: Vec<String> = self.streams.keys().cloned().collect();
        for stream in named {
            let known = self.streams.get_mut(&stream).expect("it was listed");
            let Some(found) = found.iter().find(|found| found.name().as_str() == stream) else {
                if known.presence == Presence::Sure {
                    return Err(Stop::Found(format!("stream {stream} is lost")));
                }
                self.forget(&stream);
                continue;
            };
            known.presence = Presence::Sure;
            let id = *known.id.get_or_insert(found.id().0);
            let hours = found.retention_hours();
            let is_right = id == found.id().0
                && known.shards.len() == found.shards().len()
                && known.retention_hours.contains(&hours);
            if !is_right {
                return Err(Stop::Found(format!("stream {stream} is another one")));
            }
            known.retention_hours = vec![hours];
            let consumers: Vec<String> =
                found.consumers().iter().map(|consumer| consumer.name.to_string()).collect();
            let is_known = |name: &String| known.consumers.contains_key(name);
            let is_there = |name: &&String| {
                known.consumers[*name] == Presence::InDoubt || consumers.contains(name)
            };
            if !consumers.iter().all(is_known)
                || !known.consumers.keys().all(|name| is_there(&name))
            {
                return Err(Stop::Found(format!("the consumers of {stream} are others")));
            }
            known.consumers = consumers.into_iter().map(|name| (name, Presence::Sure)).collect();
        }
        Ok(())
    }
}
