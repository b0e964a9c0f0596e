//! From a refusal to a gRPC status: code, message and `google.rpc` details.

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::ops::OpError;

/// The domain of our reasons.
const DOMAIN: &str = "anabranch";

/// The status of a refusal. Clients decide by its details and never by its message.
pub(super) fn status(error: &OpError) -> Status {
    let metadata = error.metadata.iter();
    let metadata = metadata.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut details = ErrorDetails::new();
    details.set_error_info(
        error.kind.reason(),
        DOMAIN,
        metadata.collect::<std::collections::HashMap<_, _>>(),
    );
    if let Some(field) = &error.field {
        details.add_bad_request_violation(field.as_ref(), &error.message);
    }
    if error.retry_after.is_some() {
        details.set_retry_info(error.retry_after);
    }
    Status::with_error_details(error.kind.told().code, &error.message, details)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_status_carries_reason_field_values_and_delay() {
        let mut error = OpError::out_of_range("limit", 0, 1, 10_000);
        error.retry_after = Some(std::time::Duration::from_secs(2));
        let status = status(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.reason, "InvalidArgumentException");
        assert_eq!(info.domain, DOMAIN);
        assert_eq!(info.metadata["max"], "10000");
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "limit");
        assert_eq!(details.retry_info().unwrap().retry_delay, error.retry_after);
    }
}
