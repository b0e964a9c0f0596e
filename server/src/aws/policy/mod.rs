//! Policies: who may do what, in the part of IAM's language that means something here.
//!
//! ```text
//! {"Version": "2012-10-17", "Statement": [
//!   {"Effect": "Allow", "Action": "kinesis:Put*",
//!    "Resource": "arn:aws:kinesis:*:*:stream/orders"}
//! ]}
//! ```
//!
//! A policy belongs to a credential ([`Policy::of_identity`]) or to a resource
//! ([`Policy::of_resource`]). That of a resource says of whom it speaks (`Principal`), and may leave
//! out `Resource`, which is then the one that it is attached to.
//!
//! What is not understood makes the whole document refused. A `Condition` that is ignored would
//! allow what its author did not allow.

mod error;
mod pattern;
mod principal;
#[cfg(test)]
mod tests;

pub use self::error::MalformedPolicy;
pub use self::principal::Principal;

use serde_json::{Map, Value};

use self::pattern::Pattern;
use self::principal::Principals;

/// The versions of the policy language.
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];

/// A policy that is understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Statement {
    effect: Effect,
    /// Of whom it speaks. In the policy of an identity: of that one.
    principals: Option<Principals>,
    actions: Vec<Pattern>,
    /// What it speaks of. In the policy of a resource it may be left out: of that one.
    resources: Option<Vec<Pattern>>,
}

/// What a policy says about a question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// It may be done, unless another policy denies it.
    Allow,
    /// It may not be done, whatever another policy allows.
    Deny,
}

/// May this one do that to this?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// For example `kinesis:PutRecord`.
    pub action: &'a str,
    /// An ARN, or `*` for what concerns no single resource.
    pub resource: &'a str,
}

/// What a policy is attached to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attachment {
    Identity,
    Resource,
}

impl Policy {
    /// The policy of an identity.
    pub fn of_identity(document: &Value) -> Result<Policy, MalformedPolicy> {
        read(document, Attachment::Identity)
    }

    /// The policy of a resource.
    pub fn of_resource(text: &str) -> Result<Policy, MalformedPolicy> {
        let document = serde_json::from_str(text)
            .map_err(|why| MalformedPolicy::new("", format!("is no JSON object: {why}")))?;
        read(&document, Attachment::Resource)
    }

    /// What it says about a question; `None` where it says nothing. A denial counts more than
    /// anything that is allowed.
    pub fn effect(&self, question: &Question<'_>) -> Option<Effect> {
        let statements = self.statements.iter();
        statements.filter(|statement| statement.speaks_of(question)).map(|said| said.effect).max()
    }
}

impl Statement {
    fn speaks_of(&self, question: &Question<'_>) -> bool {
        // IAM compares actions in any case, and everything else as it is.
        self.actions.iter().any(|action| action.matches_in_any_case(question.action))
            && self.resources.as_ref().is_none_or(|resources| {
                resources.iter().any(|resource| resource.matches(question.resource))
            })
            && self.principals.as_ref().is_none_or(|them| them.contain(question.principal))
    }
}

fn read(document: &Value, attachment: Attachment) -> Result<Policy, MalformedPolicy> {
    let Some(policy) = document.as_object() else {
        return Err(MalformedPolicy::new("", "is no JSON object"));
    };
    let version = policy.get("Version").and_then(Value::as_str);
    if !version.is_some_and(|version| VERSIONS.contains(&version)) {
        let why = format!("is not one of {}", VERSIONS.join(" and "));
        return Err(MalformedPolicy::new("Version", why));
    }
    check_elements(policy, &["Version", "Id", "Statement"])?;
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => {
            let why = "is neither a statement nor a list of them";
            return Err(MalformedPolicy::new("Statement", why));
        }
    };
    let statements = statements.iter().enumerate().map(|(index, statement)| {
        let Some(statement) = statement.as_object() else {
            return Err(MalformedPolicy::new(format!("Statement[{index}]"), "is no object"));
        };
        read_statement(statement, attachment)
            .map_err(|error| error.within(&format!("Statement[{index}]")))
    });
    Ok(Policy { statements: statements.collect::<Result<_, _>>()? })
}

fn read_statement(
    statement: &Map<String, Value>,
    attachment: Attachment,
) -> Result<Statement, MalformedPolicy> {
    let effect = match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(MalformedPolicy::new("Effect", "is neither Allow nor Deny")),
    };
    check_elements(statement, &["Sid", "Effect", "Principal", "Action", "Resource"])?;
    let actions = texts("Action", statement.get("Action"))?;
    let actions = actions.into_iter().map(pattern::of_action).collect::<Result<_, _>>()?;
    let resources = match (statement.get("Resource"), attachment) {
        (None, Attachment::Resource) => None,
        (resource, _) => {
            let resources = texts("Resource", resource)?.into_iter();
            Some(resources.map(pattern::of_resource).collect::<Result<_, _>>()?)
        }
    };
    let principals = match (statement.get("Principal"), attachment) {
        (None, Attachment::Identity) => None,
        (Some(_), Attachment::Identity) => {
            let why = "is whose policy it is, and is not to be named";
            return Err(MalformedPolicy::new("Principal", why));
        }
        (principal, Attachment::Resource) => Some(Principals::read(principal)?),
    };
    Ok(Statement { effect, principals, actions, resources })
}

/// Refuses elements that are not read.
fn check_elements(object: &Map<String, Value>, known: &[&str]) -> Result<(), MalformedPolicy> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let known = known.join(", ");
            Err(MalformedPolicy::new(name, format!("is not supported; there are {known}")))
        }
        None => Ok(()),
    }
}

/// A text, or a list of texts.
fn texts<'a>(element: &str, value: Option<&'a Value>) -> Result<Vec<&'a str>, MalformedPolicy> {
    let refused = || MalformedPolicy::new(element, "is neither a text nor a list of texts");
    match value {
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(texts)) if !texts.is_empty() => {
            texts.iter().map(|text| text.as_str().ok_or_else(refused)).collect()
        }
        _ => Err(refused()),
    }
}
