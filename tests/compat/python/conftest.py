"""Fixtures, and the proof that a test calls the operations that it is marked with."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "interop" / "python"))

import world  # noqa: E402
from operations import ALWAYS_REFUSED  # noqa: E402

# Operations that were carried out while the current test ran.
answered = set()


def _note(http_response, model, **_options):
    if http_response.status_code == 200 or model.name in ALWAYS_REFUSED:
        answered.add(model.name)


def _client(which="", **options):
    kinesis = world.client(world.endpoint(which), **options)
    kinesis.meta.events.register("after-call.kinesis.*", _note)
    return kinesis


@pytest.fixture(scope="session")
def kinesis():
    """A client of a server without quotas."""
    return _client()


@pytest.fixture(scope="session")
def with_quotas():
    """A client of a server with the quotas of the real service."""
    return _client("_QUOTAS")


@pytest.fixture(scope="session")
def with_delays():
    """A client of a server whose streams are CREATING, UPDATING and DELETING for a while."""
    return _client("_DELAYS")


@pytest.fixture
def stream(kinesis):
    """A stream of one shard."""
    return world.make_stream(kinesis)


@pytest.fixture
def wide(kinesis):
    """A stream of four shards."""
    return world.make_stream(kinesis, 4)


@pytest.fixture
def on_demand(kinesis):
    """An on-demand stream."""
    return world.make_on_demand(kinesis)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fails a test that is marked with an operation that was not carried out in it."""
    answered.clear()
    yield
    marked = {name for mark in item.iter_markers("operation") for name in mark.args}
    assert marked <= answered, f"not carried out: {sorted(marked - answered)}"


def pytest_collection_modifyitems(session, items):
    """Keeps for operations.py which operations have a test."""
    session.config.tested_operations = {
        name for item in items for mark in item.iter_markers("operation") for name in mark.args
    }
