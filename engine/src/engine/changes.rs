//! What can be changed about a stream that stands, and about the account. Every change is one
//! of the catalog: it waits for the disk, and is made in memory once it is durable.
//!
//! Settings and consumers are changed in turn, stream by stream: a change sees what the one
//! before it has made, and a name that is being registered is waited for.

use super::Engine;
use crate::catalog::ConsumerEntry;
use crate::error::{Error, Result};
use crate::ids::ConsumerName;
use crate::settings::{
    AccountSettings, StreamSettings, Tags, check_policy, check_retention, check_tags,
};
use crate::stream::{Consumer, Stream};

impl Engine {
    /// Changes for how long records are kept, 24 to 8,760 hours. Waits for the disk.
    pub fn set_retention_hours(&self, stream: &Stream, hours: u32) -> Result<()> {
        check_retention(hours)?;
        let catalog = &self.handle.state.catalog;
        let then = || stream.set_retention_hours(hours);
        self.record(stream, || catalog.set_retention(stream.id(), hours, then))
    }

    /// Changes what is set on a stream, from what `change` finds there. Waits for the disk. What
    /// is not within its limits is refused, and then nothing is changed.
    pub fn change_settings(
        &self,
        stream: &Stream,
        change: impl FnOnce(&mut StreamSettings),
    ) -> Result<()> {
        let _turn = stream.change_in_turn();
        let mut settings = (*stream.settings()).clone();
        change(&mut settings);
        settings.check()?;
        let catalog = &self.handle.state.catalog;
        let then = || stream.set_settings(settings.clone());
        self.record(stream, || catalog.set_settings(stream.id(), &settings, then))
    }

    /// Registers a consumer, at most 20 to a stream. Waits for the disk.
    pub fn register_consumer(
        &self,
        stream: &Stream,
        name: &ConsumerName,
        tags: Tags,
    ) -> Result<Consumer> {
        check_tags(&tags)?;
        let _turn = stream.change_in_turn();
        stream.check_registration(name)?;
        let created_ms = self.now_ms();
        let consumer = Consumer { name: name.clone(), created_ms, tags, policy: None };
        self.put_consumer(stream, &consumer)?;
        Ok(consumer)
    }

    /// Changes the tags and the policy of a consumer, from what `change` finds there; its name
    /// and age stay. Waits for the disk.
    pub fn change_consumer(
        &self,
        stream: &Stream,
        name: &ConsumerName,
        change: impl FnOnce(&mut Consumer),
    ) -> Result<()> {
        let _turn = stream.change_in_turn();
        let before = stream.consumer(name)?;
        let mut consumer = before.clone();
        change(&mut consumer);
        let is_same = consumer.name == before.name && consumer.created_ms == before.created_ms;
        assert!(is_same, "a change leaves a consumer's name and age alone");
        check_tags(&consumer.tags)?;
        check_policy(consumer.policy.as_deref())?;
        self.put_consumer(stream, &consumer)
    }

    /// Removes a consumer. Waits for the disk.
    pub fn deregister_consumer(&self, stream: &Stream, name: &ConsumerName) -> Result<()> {
        let _turn = stream.change_in_turn();
        stream.consumer(name)?;
        let catalog = &self.handle.state.catalog;
        let then = || stream.remove_consumer(name);
        self.record(stream, || catalog.remove_consumer(stream.id(), name, then))
    }

    /// The settings of the account.
    pub fn account(&self) -> AccountSettings {
        *self.handle.state.account.lock()
    }

    /// Changes the settings of the account. Waits for the disk.
    pub fn set_account(&self, account: AccountSettings) -> Result<()> {
        let state = &self.handle.state;
        let then = || *state.account.lock() = account;
        state.with_reserve(|| state.catalog.set_account(&account, then))
    }

    fn put_consumer(&self, stream: &Stream, consumer: &Consumer) -> Result<()> {
        let entry = ConsumerEntry::from(consumer);
        let catalog = &self.handle.state.catalog;
        let then = || stream.put_consumer(consumer.clone());
        self.record(stream, || catalog.put_consumer(stream.id(), &entry, then))
    }

    /// Makes a change of a stream in the catalog. A stream that is deleted meanwhile may be gone
    /// from there, which is no fault of the catalog.
    fn record(&self, stream: &Stream, change: impl Fn() -> Result<()>) -> Result<()> {
        self.handle.state.with_reserve(change).map_err(|error| match stream.is_deleted() {
            true => Error::StreamDeleted { name: stream.name().clone() },
            false => error,
        })
    }
}
