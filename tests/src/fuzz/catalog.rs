//! The catalog: tables that the library finds whole, whatever stands in them.
//!
//! An input is a list of changes to the tables of a true catalog. Pages and their checksums are
//! the library's affair; flipped bits are tried elsewhere ([`crate::damage::catalog_bits`]).

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anabranch_engine::fs::Fs;
use anabranch_engine::offline::{Mode, verify};
use anabranch_engine::settings::Tags;
use anabranch_engine::{Error, StreamSettings};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::Input;
use crate::damage::subject::{DATA, Stop, Subject};
use crate::support::{World, name, put_now, read_over_damage};

/// The catalog of every simulated world.
const CATALOG: &str = "/data/catalog.redb";

/// The tables of `engine/FORMAT.md`.
const TABLES: [&str; 5] = ["meta", "streams", "shards", "consumers", "marks"];

/// Changes that one input may ask for.
const CHANGES_MAX: usize = 8;

/// All of a table, by key.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn definition(table: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(table)
}

/// A file in memory, which outlives the database that writes it.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(&self.0.lock()[offset as usize..][..out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock()[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// A directory, and the rows of its catalog by table.
fn base() -> &'static (World, Vec<Rows>) {
    static BASE: OnceLock<(World, Vec<Rows>)> = OnceLock::new();
    BASE.get_or_init(|| {
        let world = Subject::filled(1, 2, Stop::Clean, 1_000).twin();
        let engine = world.open().expect("a sound disk opens");
        let stream = engine
            .create_stream(&name("other"), 1, StreamSettings::default())
            .expect("there is room");
        let consumer = "audit".parse().expect("a name");
        engine.register_consumer(&stream, &consumer, Tags::new()).expect("there is room");
        engine.shut_down().expect("nothing fails");
        drop((stream, engine));
        let world = world.with(world.fs.kill());
        let memory = Memory::default();
        *memory.0.lock() = world.fs.read_file(CATALOG).expect("it was made");
        let database = Database::builder().create_with_backend(memory).expect("it is whole");
        let read = database.begin_read().expect("it is whole");
        let rows = TABLES.map(|table| {
            let table = read.open_table(definition(table)).expect("it is whole");
            let rows = table.iter().expect("it is whole").map(|row| {
                let (key, value) = row.expect("it is whole");
                (key.value().to_vec(), value.value().to_vec())
            });
            rows.collect()
        });
        (world, rows.to_vec())
    })
}

/// A catalog with those rows.
fn file(tables: &[Rows]) -> Vec<u8> {
    let memory = Memory::default();
    let database = Database::builder().create_with_backend(memory.clone()).expect("memory");
    let write = database.begin_write().expect("memory");
    for (table, rows) in TABLES.iter().zip(tables) {
        let mut table = write.open_table(definition(table)).expect("memory");
        for (key, value) in rows {
            table.insert(&key[..], &value[..]).expect("memory");
        }
    }
    write.commit().expect("memory");
    drop(database);
    std::mem::take(&mut *memory.0.lock())
}

/// A list of changes to rows.
pub fn run(data: &[u8]) {
    let (world, base) = base();
    let mut tables = base.clone();
    let mut input = Input::new(data);
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        change(&mut tables, &mut input);
    }
    let world = world.with(world.fs.kill());
    world.fs.write_file(CATALOG, &file(&tables));
    let segments = world.segments();
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let verified = verify(&fs, Path::new(DATA), Mode::Offline, &mut |_| {});
    match world.open() {
        Ok(engine) => {
            for stream in engine.streams(None, 100) {
                for shard in &stream.shards() {
                    read_over_damage(shard, 0);
                    // A log may be at its end or halted; what it answers is its own affair.
                    let _ = put_now(&engine, shard, &[b"more"]);
                }
            }
            let _ = engine.shut_down();
        }
        Err(Error::CatalogLost { .. } | Error::Catalog { .. }) => {
            assert_eq!(world.segments(), segments, "a refused start changes nothing");
            let is_told = verified.is_ok_and(|report| !report.findings.is_empty());
            assert!(is_told, "verify is silent about a catalog that no start takes");
        }
        Err(Error::NewerFormat { .. }) => assert_eq!(world.segments(), segments),
        Err(error) => panic!("neither read nor refused: {error}"),
    }
}

/// One change: which table, which row, what to do, and the bytes for it.
fn change(tables: &mut [Rows], input: &mut Input<'_>) {
    let rows = &mut tables[input.number(1) as usize % TABLES.len()];
    let (row, work) = (input.number(1) as usize, input.number(1));
    let (at, len) = (input.number(1) as usize, input.number(1) as usize % 40);
    let bytes = input.bytes(len);
    if rows.is_empty() || work % 6 == 5 {
        let (key, value) = bytes.split_at(bytes.len() / 3);
        rows.push((key.to_vec(), value.to_vec()));
        return;
    }
    let row = row % rows.len();
    let patch = |target: &mut Vec<u8>| {
        let at = at % (target.len() + 1);
        let end = (at + bytes.len()).min(target.len());
        target.splice(at..end, bytes.iter().copied());
    };
    match work % 6 {
        0 | 1 => patch(&mut rows[row].1),
        2 => patch(&mut rows[row].0),
        3 => {
            let end = at % (rows[row].1.len() + 1);
            rows[row].1.truncate(end);
        }
        _ => {
            rows.remove(row);
        }
    }
}

/// Nothing changed, and a change of each kind in each table.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![]];
    for table in 0..5u8 {
        for work in 0..6u8 {
            for at in [1u8, 17] {
                seeds.push(vec![table, at, work, at, 4, 255, 255, 255, 127]);
            }
        }
    }
    seeds
}
