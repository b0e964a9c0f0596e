//! Resources: streams and consumers, as what tags and policies are attached to.

use std::sync::Arc;

use anabranch_engine::settings::Tags;
use anabranch_engine::{Consumer, Stream};

use super::{Ops, Result, names};
use crate::aws::arn;

/// What an ARN names.
pub(super) enum Resource {
    /// A stream.
    Stream(Arc<Stream>),
    /// A consumer and its stream.
    Consumer(Arc<Stream>, Consumer),
}

/// What is attached to a resource, to be changed.
pub(super) struct Attached<'a> {
    /// Its tags.
    pub(super) tags: &'a mut Tags,
    /// Its policy, if it has one.
    pub(super) policy: &'a mut Option<String>,
}

impl Resource {
    /// The stream that it is, or belongs to.
    pub(super) fn stream(&self) -> &Stream {
        match self {
            Resource::Stream(stream) | Resource::Consumer(stream, _) => stream,
        }
    }

    /// Its tags, as of now.
    pub(super) fn tags(&self) -> Tags {
        match self {
            Resource::Stream(stream) => stream.settings().tags.clone(),
            Resource::Consumer(_, consumer) => consumer.tags.clone(),
        }
    }

    /// Its policy, as of now.
    pub(super) fn policy(&self) -> Option<String> {
        match self {
            Resource::Stream(stream) => stream.settings().policy.clone(),
            Resource::Consumer(_, consumer) => consumer.policy.clone(),
        }
    }
}

impl Ops {
    /// The resource that an ARN names.
    pub(super) fn resource(&self, resource_arn: &str) -> Result<Resource> {
        if let Ok(name) = arn::parse_stream(resource_arn) {
            return Ok(Resource::Stream(self.stream_of_name(&name)?));
        }
        if arn::parse_consumer(resource_arn).is_ok() {
            let (stream, consumer) = self.consumer_of_arn("resource_arn", resource_arn)?;
            return Ok(Resource::Consumer(stream, consumer));
        }
        Err(names::not_a_resource(resource_arn))
    }

    /// Changes what is attached to a resource, whose stream must be ACTIVE. What `change` refuses
    /// is not changed. It is durable when the call returns.
    pub(super) async fn change_resource(
        &self,
        resource: Resource,
        change: impl FnOnce(Attached<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.check_active(resource.stream())?;
        let changed = self.blocking(move |engine| {
            let mut outcome = Ok(());
            match &resource {
                Resource::Stream(stream) => engine.change_settings(stream, |settings| {
                    let (tags, policy) = (&mut settings.tags, &mut settings.policy);
                    outcome = change(Attached { tags, policy });
                }),
                Resource::Consumer(stream, consumer) => {
                    engine.change_consumer(stream, &consumer.name, |consumer| {
                        let (tags, policy) = (&mut consumer.tags, &mut consumer.policy);
                        outcome = change(Attached { tags, policy });
                    })
                }
            }?;
            Ok(outcome)
        });
        changed.await?
    }
}
