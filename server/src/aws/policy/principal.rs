//! Principals: of whom the policy of a resource speaks.

use serde_json::Value;

use super::{MalformedPolicy, texts};

/// Who asks: a named credential of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Principal<'a> {
    /// Twelve digits.
    pub account: &'a str,
    /// The credential's name.
    pub name: &'a str,
}

/// Those of whom a statement speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Principals(Vec<Named>);

/// As a statement names them.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Named {
    /// `*`
    Everybody,
    /// Twelve digits, or `arn:aws:iam::ACCOUNT:root`: everybody of that account.
    Account(String),
    /// `arn:aws:iam::ACCOUNT:user/NAME`
    User { account: String, name: String },
    /// The name alone, of whatever account.
    Name(String),
    /// A role or a session, which nobody here has.
    Nobody,
}

impl Principals {
    pub(super) fn read(value: Option<&Value>) -> Result<Self, MalformedPolicy> {
        let refused = |why: &str| Err(MalformedPolicy::new("Principal", why));
        match value {
            Some(Value::String(text)) if text == "*" => Ok(Principals(vec![Named::Everybody])),
            Some(Value::Object(kinds)) if !kinds.is_empty() => {
                if let Some(kind) = kinds.keys().find(|kind| *kind != "AWS") {
                    return refused(&format!("{kind} is not supported; there is AWS"));
                }
                let named = texts("Principal.AWS", kinds.get("AWS"))?.into_iter().map(Named::read);
                Ok(Principals(named.collect::<Result<_, _>>()?))
            }
            _ => refused("is neither \"*\" nor an object of principals"),
        }
    }

    pub(super) fn contain(&self, asking: Principal<'_>) -> bool {
        self.0.iter().any(|named| match named {
            Named::Everybody => true,
            Named::Account(account) => account == asking.account,
            Named::User { account, name } => account == asking.account && name == asking.name,
            Named::Name(name) => name == asking.name,
            Named::Nobody => false,
        })
    }
}

impl Named {
    fn read(text: &str) -> Result<Self, MalformedPolicy> {
        if text == "*" {
            return Ok(Named::Everybody);
        }
        if is_account(text) {
            return Ok(Named::Account(text.to_owned()));
        }
        let refused = || {
            let why = format!(
                "\"{text}\" is none of *, an account, arn:aws:iam::ACCOUNT:user/NAME and the name \
                 of a credential"
            );
            MalformedPolicy::new("Principal.AWS", why)
        };
        if !text.starts_with("arn:") {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
            let is_name = !text.is_empty() && text.bytes().all(legal);
            return if is_name { Ok(Named::Name(text.to_owned())) } else { Err(refused()) };
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &[_, partition, service, "", account, who] = parts.as_slice() else {
            return Err(refused());
        };
        let is_identity = matches!(service, "iam" | "sts") && partition.starts_with("aws");
        if !is_identity || !is_account(account) || who.contains('*') {
            return Err(refused());
        }
        match who.split_once('/') {
            None if who == "root" => Ok(Named::Account(account.to_owned())),
            Some(("user", name)) if !name.is_empty() => {
                Ok(Named::User { account: account.to_owned(), name: name.to_owned() })
            }
            Some(("role" | "assumed-role" | "federated-user", name)) if !name.is_empty() => {
                Ok(Named::Nobody)
            }
            _ => Err(refused()),
        }
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
