//! The lineage against streams that reshard, expire and are read in any order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn id(index: usize) -> Arc<str> {
    Arc::from(format!("shardId-{index:012}"))
}

/// A stream as its server sees it.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// The parents of each shard, by index.
    parents: Vec<Vec<usize>>,
    closed: BTreeSet<usize>,
    expired: BTreeSet<usize>,
}

impl Stream {
    fn new(shards: usize) -> Stream {
        Stream { parents: vec![Vec::new(); shards], ..Stream::default() }
    }

    fn open(&self) -> Vec<usize> {
        (0..self.parents.len()).filter(|index| !self.closed.contains(index)).collect()
    }

    fn make(&mut self, parents: &[usize], children: usize) {
        self.closed.extend(parents);
        for _ in 0..children {
            self.parents.push(parents.to_vec());
        }
    }

    fn listed(&self) -> Vec<v1::Shard> {
        let shards = self.parents.iter().enumerate();
        shards
            .filter(|(index, _)| !self.expired.contains(index))
            .map(|(index, parents)| v1::Shard {
                shard_id: id(index).to_string(),
                parent_shard_id: parents.first().map(|parent| id(*parent).to_string()),
                adjacent_parent_shard_id: parents.get(1).map(|parent| id(*parent).to_string()),
                is_open: !self.closed.contains(&index),
                ..v1::Shard::default()
            })
            .collect()
    }

    fn children(&self, index: usize) -> Vec<v1::ChildShard> {
        let shards = self.parents.iter().enumerate();
        shards
            .filter(|(_, parents)| parents.contains(&index))
            .map(|(child, parents)| v1::ChildShard {
                shard_id: id(child).to_string(),
                parent_shards: parents.iter().map(|parent| id(*parent).to_string()).collect(),
                hash_key_range: None,
            })
            .collect()
    }

    /// The oldest closed shard expires: records do so in the order in which they came.
    fn expire(&mut self) {
        let oldest = self.closed.iter().find(|index| !self.expired.contains(index));
        if let Some(oldest) = oldest.copied() {
            self.expired.insert(oldest);
        }
    }
}

fn index(id: &str) -> usize {
    id.strip_prefix("shardId-").unwrap().parse().unwrap()
}

fn first(indexes: impl IntoIterator<Item = usize>) -> HashSet<Arc<str>> {
    indexes.into_iter().map(id).collect()
}

fn sorted(ids: &HashSet<Arc<str>>) -> Vec<usize> {
    let mut indexes: Vec<usize> = ids.iter().map(|id| index(id)).collect();
    indexes.sort_unstable();
    indexes
}

fn indexes(ids: Vec<Arc<str>>) -> Vec<usize> {
    ids.iter().map(|id| index(id)).collect()
}

#[test]
fn a_split_shards_children_start_when_it_has_been_read() {
    let mut stream = Stream::new(1);
    let mut lineage = Lineage::new(&stream.listed(), &first([0]), false);
    stream.make(&[0], 2);
    assert_eq!(indexes(lineage.end(&id(0), &stream.children(0))), [1, 2]);
    assert!(!lineage.needs_look());
}

#[test]
fn a_merged_shard_waits_for_both_of_its_parents_whichever_ends_first() {
    for (early, late) in [(0, 1), (1, 0)] {
        let mut stream = Stream::new(2);
        let mut lineage = Lineage::new(&stream.listed(), &first([0, 1]), false);
        stream.make(&[0, 1], 1);
        assert!(lineage.end(&id(early), &stream.children(early)).is_empty());
        assert!(!lineage.needs_look(), "the other parent is being read");
        assert_eq!(indexes(lineage.end(&id(late), &stream.children(late))), [2]);
    }
}

/// Shard 0 is split while it is read slowly; 1 is merged with 3, a child of 0 that this reader
/// has never heard of.
#[test]
fn a_merged_shard_waits_for_a_parent_that_is_still_to_come() {
    let mut stream = Stream::new(2);
    let mut lineage = Lineage::new(&stream.listed(), &first([0, 1]), false);
    stream.make(&[0], 2);
    stream.make(&[1, 3], 1);
    assert!(lineage.end(&id(1), &stream.children(1)).is_empty());
    assert!(lineage.needs_look(), "shard 3 may be to come or gone");
    let look = lineage.look();
    assert!(lineage.found(look, &stream.listed(), &HashSet::new()).is_empty());
    assert_eq!(indexes(lineage.end(&id(0), &stream.children(0))), [2, 3]);
    assert_eq!(indexes(lineage.end(&id(3), &stream.children(3))), [4]);
}

#[test]
fn a_parent_that_has_expired_is_not_waited_for() {
    let mut stream = Stream::new(2);
    stream.make(&[0, 1], 1);
    stream.expired.insert(0);
    let all = stream.listed();
    let mut lineage = Lineage::new(&all, &roots(&all), false);
    assert_eq!(sorted(lineage.reading()), [1]);
    assert_eq!(indexes(lineage.end(&id(1), &stream.children(1))), [2]);
}

#[test]
fn what_came_after_shards_that_expired_unread_is_found_in_a_list() {
    let mut stream = Stream::new(1);
    let mut lineage = Lineage::new(&stream.listed(), &first([0]), false);
    stream.make(&[0], 2);
    stream.make(&[1], 2);
    stream.make(&[2, 3], 1);
    stream.expired.extend([0, 1, 2]);
    // The reader is told that shard 0 is not there.
    let look = lineage.look();
    let started = lineage.found(look, &stream.listed(), &first([0]));
    assert_eq!(indexes(started), [3, 4]);
}

#[test]
fn a_list_says_nothing_about_what_was_heard_of_after_it_was_asked_for() {
    let mut stream = Stream::new(2);
    let mut lineage = Lineage::new(&stream.listed(), &first([0, 1]), false);
    let look = lineage.look();
    let old = stream.listed();
    stream.make(&[0, 1], 1);
    assert!(lineage.end(&id(0), &stream.children(0)).is_empty());
    assert!(lineage.found(look, &old, &HashSet::new()).is_empty());
    assert_eq!(indexes(lineage.end(&id(1), &stream.children(1))), [2]);
}

/// A list was asked for, and then a shard was heard of, read and ended before it came.
#[test]
fn a_shard_that_is_too_new_for_a_list_is_not_forgotten_and_not_read_again() {
    let mut stream = Stream::new(1);
    let mut lineage = Lineage::new(&stream.listed(), &first([0]), false);
    let look = lineage.look();
    let old = stream.listed();
    for shard in 0..2 {
        stream.make(&[shard], 1);
        assert_eq!(indexes(lineage.end(&id(shard), &stream.children(shard))), [shard + 1]);
    }
    assert!(lineage.found(look, &old, &HashSet::new()).is_empty());
    let look = lineage.look();
    assert!(lineage.found(look, &stream.listed(), &HashSet::new()).is_empty());
    assert_eq!(sorted(lineage.reading()), [2]);
}

#[test]
fn from_latest_the_closed_shards_are_from_before() {
    let mut stream = Stream::new(1);
    stream.make(&[0], 2);
    let all = stream.listed();
    let mut lineage = Lineage::new(&all, &first([1, 2]), false);
    assert_eq!(sorted(lineage.reading()), [1, 2]);
    let look = lineage.look();
    assert!(lineage.found(look, &all, &HashSet::new()).is_empty());
}

/// A reshard between the pages of a list, or at exactly the time that was asked for.
#[test]
fn a_child_listed_as_open_beside_its_parent_waits_for_it() {
    let mut stream = Stream::new(1);
    stream.make(&[0], 2);
    let mut lineage = Lineage::new(&stream.listed(), &first([0, 1, 2]), false);
    assert_eq!(sorted(lineage.reading()), [0]);
    assert_eq!(indexes(lineage.end(&id(0), &stream.children(0))), [1, 2]);
}

#[test]
fn a_bounded_lineage_leaves_out_what_was_made_since() {
    let mut stream = Stream::new(1);
    stream.make(&[0], 2);
    let all = stream.listed();
    let mut lineage = Lineage::new(&all, &roots(&all), true);
    assert_eq!(indexes(lineage.end(&id(0), &stream.children(0))), [1, 2]);
    stream.make(&[1], 2);
    assert!(lineage.end(&id(1), &stream.children(1)).is_empty());
    assert!(lineage.end(&id(2), &[]).is_empty());
    assert!(lineage.is_over());
}

#[test]
fn what_the_server_has_forgotten_is_forgotten() {
    let mut stream = Stream::new(1);
    let mut lineage = Lineage::new(&stream.listed(), &first([0]), false);
    for shard in 0..=ENDED_MAX {
        stream.make(&[shard], 1);
        assert_eq!(indexes(lineage.end(&id(shard), &stream.children(shard))), [shard + 1]);
        stream.expired.insert(shard);
        assert_eq!(lineage.needs_look(), shard == ENDED_MAX);
    }
    let look = lineage.look();
    assert!(lineage.found(look, &stream.listed(), &HashSet::new()).is_empty());
    assert!(lineage.ended.is_empty() && !lineage.needs_look());
    assert_eq!(sorted(lineage.reading()), [ENDED_MAX + 1]);
}

/// What may happen next; numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Event {
    Split(usize),
    Merge(usize, usize),
    Expire,
    /// A shard that is being read is read to its end, if it is closed.
    Read(usize),
    /// The list that was asked for is made by the server.
    List,
    /// It arrives.
    Arrive,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any::<usize>().prop_map(Event::Split),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(left, right)| Event::Merge(left, right)),
        1 => Just(Event::Expire),
        5 => any::<usize>().prop_map(Event::Read),
        2 => Just(Event::List),
        2 => Just(Event::Arrive),
    ]
}

/// A reader, as the one in the module above behaves, and what it has done.
struct Model {
    stream: Stream,
    lineage: Lineage,
    /// Its look, and the list once the server has made it.
    look: Option<(u64, Option<Vec<v1::Shard>>)>,
    /// Shards whose reading failed because they have expired.
    missing: HashSet<Arc<str>>,
    started: BTreeSet<usize>,
    done: BTreeSet<usize>,
    before: BTreeSet<usize>,
}

impl Model {
    fn begin(stream: Stream, from_latest: bool) -> Model {
        let all = stream.listed();
        let first = if from_latest { first(stream.open()) } else { roots(&all) };
        let lineage = Lineage::new(&all, &first, false);
        let started: BTreeSet<usize> = sorted(lineage.reading()).into_iter().collect();
        let before = match from_latest {
            true => (0..stream.parents.len()).filter(|index| !started.contains(index)).collect(),
            false => stream.expired.clone(),
        };
        let (look, missing) = (None, HashSet::new());
        Model { stream, lineage, look, missing, started, done: BTreeSet::new(), before }
    }

    fn start(&mut self, ids: Vec<Arc<str>>) {
        for index in indexes(ids) {
            assert!(self.started.insert(index), "{index} is started twice");
            assert!(!self.before.contains(&index), "{index} is from before");
            for parent in &self.stream.parents[index] {
                let is_past = self.done.contains(parent)
                    || self.before.contains(parent)
                    || self.stream.expired.contains(parent) && !self.started.contains(parent);
                assert!(is_past, "{index} is started before {parent} has ended");
            }
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Split(choice) => {
                let open = self.stream.open();
                self.stream.make(&[open[choice % open.len()]], 2);
            }
            Event::Merge(left, right) => {
                let open = self.stream.open();
                let (left, right) = (open[left % open.len()], open[right % open.len()]);
                if left != right {
                    self.stream.make(&[left, right], 1);
                }
            }
            Event::Expire => self.stream.expire(),
            Event::Read(choice) => self.read(choice),
            Event::List => {
                if let Some((_, list @ None)) = &mut self.look {
                    *list = Some(self.stream.listed());
                }
            }
            Event::Arrive => {
                if let Some((look, Some(list))) = self.look.take_if(|(_, list)| list.is_some()) {
                    let listed: HashSet<&str> =
                        list.iter().map(|shard| shard.shard_id.as_str()).collect();
                    let gone: HashSet<Arc<str>> =
                        self.missing.extract_if(|id| !listed.contains(&**id)).collect();
                    self.done.extend(sorted(&gone));
                    let started = self.lineage.found(look, &list, &gone);
                    self.start(started);
                }
            }
        }
        let wants_look = self.lineage.needs_look() || !self.missing.is_empty();
        if self.look.is_none() && wants_look {
            self.look = Some((self.lineage.look(), None));
        }
    }

    fn read(&mut self, choice: usize) {
        let mut reading = sorted(self.lineage.reading());
        reading.retain(|index| self.stream.closed.contains(index));
        reading.retain(|index| !self.missing.contains(&id(*index)));
        let Some(index) = reading.get(choice % reading.len().max(1)).copied() else {
            return;
        };
        if self.stream.expired.contains(&index) {
            self.missing.insert(id(index));
            return;
        }
        self.done.insert(index);
        let started = self.lineage.end(&id(index), &self.stream.children(index));
        self.start(started);
    }
}

proptest! {
    #[test]
    fn every_shard_is_read_once_and_behind_its_parents(
        shards in 1usize..4,
        past in proptest::collection::vec(event(), 0..20),
        future in proptest::collection::vec(event(), 0..80),
        from_latest in any::<bool>(),
    ) {
        let mut stream = Model::begin(Stream::new(shards), true);
        for event in past {
            if !matches!(event, Event::Read(_)) {
                stream.step(event);
            }
        }
        let mut model = Model::begin(stream.stream, from_latest);
        for event in future {
            model.step(event);
        }
        // Nothing happens any more but reading.
        while sorted(model.lineage.reading()) != model.stream.open() {
            let before = (model.started.clone(), model.done.clone(), model.look.clone());
            for event in [Event::Read(0), Event::List, Event::Arrive] {
                model.step(event);
            }
            let after = (model.started.clone(), model.done.clone(), model.look.clone());
            prop_assert_ne!(before, after, "stuck: {:?}", model.lineage);
        }
        for index in 0..model.stream.parents.len() {
            let is_there = !model.stream.expired.contains(&index);
            prop_assert!(
                !is_there || model.before.contains(&index) || model.started.contains(&index),
                "{index} is not read"
            );
        }
    }
}
