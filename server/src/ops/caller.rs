//! Who asks for an operation.

use std::sync::Arc;

use crate::credentials::Credential;

/// Who asks. A door finds out, and hands it to [`Ops::call`].
#[derive(Clone, Debug)]
pub struct Caller(Option<Arc<Credential>>);

impl Caller {
    /// Somebody who has not signed in. They may do everything while the server has no credentials,
    /// and nothing once it has.
    pub fn anonymous() -> Caller {
        Caller(None)
    }

    /// With which credential they have signed in.
    pub(super) fn credential(&self) -> Option<&Credential> {
        self.0.as_deref()
    }
}

impl From<Option<Arc<Credential>>> for Caller {
    fn from(credential: Option<Arc<Credential>>) -> Caller {
        Caller(credential)
    }
}
