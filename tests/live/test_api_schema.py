"""Every operation of the OpenAPI, asked all that it allows and much that it does not: no fault, and answers as declared."""

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")
pytest.importorskip("schemathesis", reason="not installed: pip install 'aether-fabric[dev]'")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from aether.fabric.api import admin, fleet, jobs, runtimes, stream, watch
from api_play import Api

CHECKS = [
    not_a_server_error, checks.content_type_conformance, checks.response_schema_conformance, checks.status_code_conformance,
    checks.response_headers_conformance, checks.unsupported_method, checks.ignored_auth,
]  # fmt: skip
ENDLESS = "/v1/events"  # an answer without end cannot be awaited: it is tested among the streams


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    made = Api(tmp_path_factory.mktemp("fabric"))
    yield made
    made.close()


def operations():
    """Method and path of all operations but the endless one."""
    routers = (admin, fleet, jobs, stream, watch)
    made = [(m, r.path) for module in routers for r in module.router.routes for m in r.methods]
    made += [(m, r.path) for r in runtimes.blobs.routes for m in r.methods]
    return sorted((m, p.replace(":path", "")) for m, p in made if p != ENDLESS)


@pytest.fixture(scope="module")
def schema(api):
    return schemathesis.openapi.from_asgi("/openapi.json", api.app)


@pytest.mark.parametrize(("method", "path"), operations())
@pytest.mark.parametrize("role", ["admin", "write"])
def test_no_operation_fails_and_all_answer_as_they_declare(api, schema, role, method, path):
    headers = {"Authorization": f"Bearer {api.admin if role == 'admin' else api.key('p', 'write')}"}
    operation = schema[path][method]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @given(case=cases)
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        case.call_and_validate(headers=headers, checks=CHECKS)

    ask()
