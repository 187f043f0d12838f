"""The server's own schema, fuzzed: what it says it answers is what it answers."""

import pytest
from hypothesis import HealthCheck, given, settings
from test_server import agent, running  # noqa: F401  # agent is a fixture

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install schemathesis)")


def fuzzed(operation):
    """40 requests of one kind: never a 5xx, never a status or an error that the schema does not have."""
    known = {200, 201, *(int(status) for status in operation.responses.status_codes if status.isdigit())}

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy())
    def asked(case):
        answer = case.call()
        assert answer.status_code in known and answer.status_code < 500
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"type", "message"}

    asked()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of schemathesis and its own dependencies
def test_answers_are_those_of_the_schema(agent, tmp_path):  # noqa: F811
    with running(agent, tmp_path / "served") as port:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        for operation in operations:
            fuzzed(operation)
        assert len(operations) >= 8
