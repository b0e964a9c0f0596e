"""Which operations there are: the SDK's own model of the service, cut to what the server has."""

import botocore.session

# The server's operations are all whose names contain neither word; the others exist in the model
# and are answered with UnknownOperationException.
UNKNOWN = ("Queue", "Channel")

# Operations that the server has and never carries out.
ALWAYS_REFUSED = {"StartStreamEncryption"}


def model():
    return botocore.session.get_session().get_service_model("kinesis")


def known_operations():
    names = model().operation_names
    return sorted(name for name in names if not any(word in name for word in UNKNOWN))


def unknown_operations():
    return sorted(set(model().operation_names) - set(known_operations()))


def documented_errors():
    """Every pair of an operation and an error that the model documents for it."""
    service = model()
    return [
        (name, shape.name.removesuffix("Exception"))
        for name in known_operations()
        for shape in service.operation_model(name).error_shapes
    ]
