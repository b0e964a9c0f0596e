//! What a bench has found: for people, for programs, and in its exit code.

use serde_json::{Map, Value, json};

use super::super::failure::{Failure, warn};
use super::super::output::{bytes, count, print_object, table};
use super::super::{DONE, Global};
use super::BenchArguments;
use super::check::Checked;
use super::follow::Followed;
use super::measure::Measure;
use crate::error::Error;

/// The percentiles that are told, with their names in JSON.
const PERCENTILES: [(f64, &str, &str); 6] = [
    (0.5, "p50", "ms_p50"),
    (0.9, "p90", "ms_p90"),
    (0.99, "p99", "ms_p99"),
    (0.999, "p99.9", "ms_p99_9"),
    (0.9999, "p99.99", "ms_p99_99"),
    (1.0, "max", "ms_max"),
];

/// The result of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) arguments: BenchArguments,
    pub(super) server: String,
    pub(super) shards: u32,
    /// In the whole run, the warm-up included.
    pub(super) acknowledged: u64,
    /// From when a record was due to its acknowledgement.
    pub(super) acknowledgements: Measure,
    /// From when a record was due to its delivery to a subscriber.
    pub(super) deliveries: Measure,
    pub(super) put_again: u64,
    pub(super) may_stand_twice: u64,
    pub(super) followed: Vec<Followed>,
    pub(super) checked: Option<Checked>,
    /// Why the run ended early.
    pub(super) error: Option<Error>,
    pub(super) is_interrupted: bool,
}

impl Report {
    pub(super) fn print(mut self, global: &Global) -> Result<i32, Failure> {
        let words = table(&["WHAT", "FIGURE", ""], self.rows());
        print_object(global.output, words.trim_end(), &self.object())?;
        if self.may_stand_twice > 0 {
            warn(&format!(
                "{} records may stand twice: their answer got lost and they were put again",
                count(self.may_stand_twice)
            ));
        }
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(DONE),
        }
    }

    /// What the run is about, in a line.
    pub(super) fn title(&self) -> String {
        let arguments = &self.arguments;
        let rate = match arguments.rate {
            Some(rate) => format!("{} records/s", count(rate)),
            None => "as fast as can be".to_owned(),
        };
        format!(
            "{} bytes a record, {} a message, {} in flight, {} producers, {} shards, {} \
             subscribers, {rate}",
            count(arguments.record_bytes),
            count(arguments.batch),
            count(arguments.in_flight),
            count(u64::from(arguments.producers)),
            count(u64::from(self.shards)),
            count(u64::from(arguments.subscribers)),
        )
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |what: &str, figure: String, more: String| vec![what.to_owned(), figure, more];
        let mut rows = vec![row("load", self.title(), String::new())];
        rows.push(self.rate_row("put", &self.acknowledgements));
        rows.extend(latency_row("acknowledged in", &self.acknowledgements));
        if !self.followed.is_empty() {
            rows.push(self.rate_row("delivered", &self.deliveries));
            rows.extend(latency_row("delivered in", &self.deliveries));
        }
        if let Some(checked) = &self.checked {
            let rate = checked.read as f64 / checked.took.as_secs_f64().max(1e-9);
            let verdict = if checked.holds(self.may_stand_twice) { "all there" } else { "WRONG" };
            rows.push(row(
                "read back",
                format!(
                    "{verdict}: {} acknowledged, {} read, {} missing, {} changed, {} doubled, {} \
                     out of order",
                    count(self.acknowledged),
                    count(checked.read),
                    count(checked.missing),
                    count(checked.changed),
                    count(checked.doubled),
                    count(checked.out_of_order),
                ),
                format!("{} records/s", count(rate as u64)),
            ));
        }
        rows
    }

    fn rate_row(&self, what: &str, measure: &Measure) -> Vec<String> {
        let rate = measure.rate();
        let volume = rate * self.arguments.record_bytes as f64;
        let figure = format!("{} records/s, {}/s", count(rate as u64), bytes(volume));
        vec![what.to_owned(), figure, format!("{} records", count(measure.records()))]
    }

    fn object(&self) -> Value {
        let arguments = &self.arguments;
        let mut object = json!({
            "server": self.server,
            "record_bytes": arguments.record_bytes,
            "batch": arguments.batch,
            "shards": self.shards,
            "producers": arguments.producers,
            "in_flight": arguments.in_flight,
            "subscribers": arguments.subscribers,
            "rate": arguments.rate,
            "seconds": arguments.seconds,
            "records_acknowledged": self.acknowledged,
            "records_put_again": self.put_again,
            "records_maybe_twice": self.may_stand_twice,
            "put": measured(&self.acknowledgements),
        });
        if !self.followed.is_empty() {
            object["delivered"] = measured(&self.deliveries);
        }
        if let Some(checked) = &self.checked {
            object["read_back"] = json!({
                "holds": checked.holds(self.may_stand_twice),
                "records": checked.read,
                "seconds": checked.took.as_secs_f64(),
                "missing": checked.missing,
                "changed": checked.changed,
                "doubled": checked.doubled,
                "misplaced": checked.misplaced,
                "out_of_order": checked.out_of_order,
            });
        }
        object
    }

    /// The first of what went wrong, the worst first.
    fn failure(&mut self) -> Option<Failure> {
        if self.checked.as_ref().is_some_and(|checked| !checked.holds(self.may_stand_twice)) {
            return Some(Failure::new("what was read back is not what was acknowledged"));
        }
        if let Some(error) = self.error.take() {
            return Some(error.into());
        }
        if self.is_interrupted {
            return Some(Failure::new("interrupted: the figures are of what there was until then"));
        }
        let disordered: u64 = self.followed.iter().map(|followed| followed.out_of_order).sum();
        if disordered > 0 {
            let disordered = count(disordered);
            return Some(Failure::new(format!("{disordered} records were delivered out of order")));
        }
        // In a stream of others a subscriber may begin behind the first records of the run.
        let expected = if self.arguments.stream.is_none() { self.acknowledged } else { 0 };
        let least = self.followed.iter().map(|followed| followed.records).min();
        least.filter(|least| *least < expected).map(|least| {
            let (least, expected) = (count(least), count(expected));
            Failure::new(format!("a subscriber was given {least} of {expected} records"))
        })
    }
}

fn latency_row(what: &str, measure: &Measure) -> Option<Vec<String>> {
    measure.has_latency().then(|| {
        let parts = PERCENTILES
            .map(|(quantile, name, _)| format!("{name} {:.3}", measure.milliseconds(quantile)));
        vec![what.to_owned(), format!("{} ms", parts.join(", ")), String::new()]
    })
}

fn measured(measure: &Measure) -> Value {
    let mut object = Map::new();
    object.insert("records".to_owned(), measure.records().into());
    object.insert("records_per_second".to_owned(), measure.rate().into());
    for (quantile, _, name) in PERCENTILES.into_iter().filter(|_| measure.has_latency()) {
        object.insert(name.to_owned(), measure.milliseconds(quantile).into());
    }
    Value::Object(object)
}
