"""The suite against the SDK's model: nothing of the API is left out."""

import pytest
from botocore import xform_name

import causes
from operations import documented_errors, known_operations, unknown_operations
from world import refused


def test_there_are_40_operations():
    assert len(known_operations()) == 40
    assert len(unknown_operations()) == 17


@pytest.mark.parametrize("operation", known_operations())
def test_has_a_test(operation, request):
    if len({item.path for item in request.session.items}) == 1:
        pytest.skip("only this file was collected")
    assert operation in request.config.tested_operations


@pytest.mark.parametrize("operation", unknown_operations())
def test_an_unknown_operation_is_called_unknown(kinesis, operation):
    with refused("UnknownOperationException"):
        getattr(kinesis, xform_name(operation))()


@pytest.mark.parametrize(("operation", "error"), documented_errors(), ids="-".join)
def test_a_documented_error_is_answered(operation, error, request):
    cause = causes.find(operation, error)
    if isinstance(cause, str):
        pytest.skip(cause)
    arguments = {name: request.getfixturevalue(name) for name in cause.fixtures}
    with refused(cause.code(error)) as caught:
        cause.call(**arguments)
    response = caught.value.response
    assert caught.value.operation_name == operation
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["Error"]["Message"]


def test_every_cause_is_of_a_documented_error():
    assert set(causes.CAUSES) <= set(documented_errors())
