//! Whether a caller may do what they ask for.
//!
//! ```text
//!   what the request names --> the ARN as this server writes it, and the policy attached to it
//!     --> a policy denies it: no     --> one allows it: yes     --> nobody says anything: no
//! ```
//!
//! While the server has no credentials everybody may do everything. From then on nobody may do
//! anything that no policy allows: one of their own, or one of the resource. What a policy denies
//! stays denied, whatever another one allows.
//!
//! The question is asked before anything is looked up for an answer, so that who may not see a
//! stream does not learn whether there is one. The decision itself ([`decide`]) is a function of
//! policies and the question.

use anabranch_engine::ids::{ConsumerName, StreamName};

use super::call::Target;
use super::caller::Caller;
use super::iterator::ShardIterator;
use super::names::{self, ConsumerFields, StreamFields};
use super::policy::{Attached, NotUnderstood};
use super::shard_filter::ShardPageEnd;
use super::{Kind, OpError, Ops, Result};
use crate::aws::arn;
use crate::aws::policy::{Effect, Policy, Principal, Question};
use crate::metrics::Operation;

/// Proof that a caller may do what is about to be done. Only [`Ops::authorize`] makes it.
#[derive(Debug)]
pub struct Allowed(());

/// What a request wants to touch.
struct Protected {
    /// Its ARN, or `*` for what is no single resource.
    arn: String,
    /// The policy that is attached to it.
    attached: Option<Attached>,
}

/// Why somebody may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Denial {
    /// A policy of theirs denies it.
    ByIdentity,
    /// The policy of the resource denies it.
    ByResource,
    /// The policy of the resource may deny it: nobody can tell.
    NotUnderstood,
    /// No policy allows it.
    ByDefault,
}

impl Ops {
    /// Whether the caller may do this to that. Everybody may while the server has no credentials.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        target: Target<'_>,
    ) -> Result<Allowed> {
        if !self.credentials.exist() {
            return Ok(Allowed(()));
        }
        let Protected { arn, attached } = self.protected(target)?;
        let action = action(operation);
        let account = &self.owner.account;
        let (user, denial) = match caller.credential() {
            Some(credential) => {
                let name = &credential.name;
                let principal = Principal { account, name };
                let question = Question { principal, action: &action, resource: &arn };
                let attached = attached.as_ref().map(Attached::policy);
                match decide(&credential.policies, attached, &question) {
                    Ok(()) => return Ok(Allowed(())),
                    Err(denial) => (format!("arn:aws:iam::{account}:user/{name}"), denial),
                }
            }
            None => ("anonymous".to_owned(), Denial::ByDefault),
        };
        let why = match denial {
            Denial::ByIdentity => "with an explicit deny in an identity-based policy".to_owned(),
            Denial::ByResource => "with an explicit deny in a resource-based policy".to_owned(),
            Denial::NotUnderstood => {
                "because its resource-based policy is not understood".to_owned()
            }
            Denial::ByDefault => {
                format!("because no identity-based policy allows the {action} action")
            }
        };
        let message =
            format!("User: {user} is not authorized to perform: {action} on resource: {arn} {why}");
        Err(OpError::new(Kind::AccessDenied, message)
            .with("action", action)
            .with("resource_arn", arn))
    }

    /// What a request names, by the ARN that this server gives it.
    fn protected(&self, target: Target<'_>) -> Result<Protected> {
        match target {
            Target::Account => Ok(Protected { arn: "*".to_owned(), attached: None }),
            Target::NewStream(name) => {
                let arn = self.owner.stream_arn(&names::stream_name(name)?);
                Ok(Protected { arn, attached: None })
            }
            Target::Stream(fields) => {
                let name = fields.stream_name()?;
                self.check_owner(fields.arn, &name)?;
                Ok(self.protected_stream(&name))
            }
            Target::Page(token) => {
                let page = self.open_page::<ShardPageEnd>(token)?;
                Ok(self.protected_stream(page.stream.name()))
            }
            Target::ConsumerPage(token) => {
                let page = self.open_page::<ConsumerName>(token)?;
                Ok(self.protected_stream(page.stream.name()))
            }
            Target::Iterator(token) => {
                let iterator = ShardIterator::open(&self.seal, token, self.engine.now_ms())?;
                Ok(self.protected_stream(&names::stream_name(&iterator.stream_name)?))
            }
            Target::Consumer(fields) if fields.consumer_arn.is_empty() => {
                self.protected_consumer_of_name(&fields)
            }
            Target::Consumer(fields) => {
                self.protected_consumer_of_arn("consumer_arn", fields.consumer_arn)
            }
            Target::Resource(text) => match arn::parse_stream(text) {
                Ok(name) => {
                    self.check_owner(text, &name)?;
                    Ok(self.protected_stream(&name))
                }
                Err(_) if arn::parse_consumer(text).is_ok() => {
                    self.protected_consumer_of_arn("resource_arn", text)
                }
                Err(_) => Err(names::not_a_resource(text)),
            },
        }
    }

    fn protected_stream(&self, name: &StreamName) -> Protected {
        let arn = self.owner.stream_arn(name);
        let settings = self.engine.stream(name).ok().map(|stream| stream.settings());
        let attached = settings.as_ref().and_then(|settings| settings.policy.as_deref());
        Protected { arn, attached: attached.map(|text| self.policies.read(text)) }
    }

    fn protected_consumer_of_name(&self, fields: &ConsumerFields<'_>) -> Result<Protected> {
        let of = StreamFields { name: fields.stream_name, arn: fields.stream_arn };
        let stream = of.stream_name()?;
        self.check_owner(fields.stream_arn, &stream)?;
        let consumer = names::consumer_name(fields.consumer_name)?;
        // One that is not there has an ARN as well, so that it may be said that it is not.
        let found = self.engine.stream(&stream).ok();
        let found = found.and_then(|stream| stream.consumer(&consumer).ok());
        let created_seconds = found.map_or(0, |consumer| consumer.created_ms / 1000);
        Ok(self.protected_consumer(&stream, &consumer, created_seconds))
    }

    fn protected_consumer_of_arn(&self, field: &'static str, text: &str) -> Result<Protected> {
        let named = arn::parse_consumer(text).map_err(|_| names::not_a_consumer(field, text))?;
        self.check_owner(text, &named.stream)?;
        Ok(self.protected_consumer(&named.stream, &named.consumer, named.created_seconds))
    }

    fn protected_consumer(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
        created_seconds: u64,
    ) -> Protected {
        let arn = self.owner.consumer_arn(stream, consumer, created_seconds);
        let found = self.engine.stream(stream).ok();
        let found = found.and_then(|stream| stream.consumer(consumer).ok());
        let attached = found.as_ref().and_then(|consumer| consumer.policy.as_deref());
        Protected { arn, attached: attached.map(|text| self.policies.read(text)) }
    }

    /// Refuses an ARN of another account or region. Once there are credentials a name alone does
    /// not select what is meant.
    fn check_owner(&self, text: &str, stream: &StreamName) -> Result<()> {
        match arn::owner(text) {
            Some(owner) if owner != self.owner => {
                let account = owner.account;
                let message = format!("Stream {stream} under account {account} not found.");
                Err(OpError::new(Kind::ResourceNotFound, message)
                    .with("stream_name", stream.as_str()))
            }
            _ => Ok(()),
        }
    }
}

/// The action that policies name. `Produce` is our pipelined PutRecords, and allowed with it.
fn action(operation: Operation) -> String {
    let name = match operation {
        Operation::Produce => Operation::PutRecords.name(),
        operation => operation.name(),
    };
    format!("kinesis:{name}")
}

/// What the policies of somebody and the one attached to a resource come to.
fn decide(
    identity: &[Policy],
    attached: Option<Result<&Policy, NotUnderstood>>,
    question: &Question<'_>,
) -> Result<(), Denial> {
    let by_identity = identity.iter().filter_map(|policy| policy.effect(question)).max();
    if by_identity == Some(Effect::Deny) {
        return Err(Denial::ByIdentity);
    }
    let by_resource = match attached {
        None => None,
        Some(Ok(policy)) => policy.effect(question),
        Some(Err(NotUnderstood)) => return Err(Denial::NotUnderstood),
    };
    match by_resource.max(by_identity) {
        Some(Effect::Allow) => Ok(()),
        Some(Effect::Deny) => Err(Denial::ByResource),
        None => Err(Denial::ByDefault),
    }
}
