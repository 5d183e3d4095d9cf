"""What schemathesis checks beside its own, and what it is told of the other tenant.

Nothing of another tenant stands in any answer, and its ids are as good as none. Orders name what the simulated cloud has, so
that servers come to be and links lead somewhere.
"""

import json
import os
import zlib

import schemathesis
from schemathesis.core.failures import Failure

CANARY = os.environ["VIP_CANARY"]
# Ids of the other tenant: of its server, then of its operation.
FOREIGN = json.loads(os.environ["VIP_FOREIGN_IDS"])
# What an operator's routes may be asked about: accounts, tenants, digests of tokens.
KNOWN = json.loads(os.environ["VIP_KNOWN"])
# One of so many ids in a path, and of so many orders.
EACH = 3
CATALOG = {"server_types": ["cpx22"], "image": "ubuntu-24.04", "locations": ["fsn1"], "ssh_keys": ["ops"]}


def number_of(value):
    """Says something of a value that is the same each time: generated cases have to be repeatable."""
    return zlib.crc32(json.dumps(value, sort_keys=True, default=str).encode())


def is_tenants(path):
    return not path.startswith("/v1/operator/") and path != "/healthz"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    number = number_of(path_parameters)
    for name, known in KNOWN.items():
        # The others stay what they were made: names that nobody has.
        if name in (path_parameters or {}) and number % EACH != 0:
            path_parameters[name] = known[number // EACH % len(known)]
    if context.operation is not None and is_tenants(context.operation.path) and "id" in (path_parameters or {}):
        if number % EACH == 0:
            path_parameters["id"] = FOREIGN[number // EACH % len(FOREIGN)]
    return path_parameters


@schemathesis.hook
def map_case(context, case):
    is_order = case.operation.path == "/v1/servers" and case.operation.method.upper() == "POST"
    is_right = case.meta is not None and case.meta.generation.mode.is_positive
    if is_order and is_right and isinstance(case.body, dict) and number_of(case.body) % EACH != 0:
        case.body = {**case.body, **CATALOG, "labels": {}}
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Accepts 503 where it is the documented answer: a breaker that was told to stay open lets nothing through."""
    if response.status_code != 503 or type(failure).__name__ != "ServerError":
        return True
    return "retry-after" not in response.headers or json.loads(response.text)["code"] != "provider_unavailable"


@schemathesis.check
def nothing_of_another_tenant(ctx, response, case):
    if not is_tenants(case.operation.path):
        return
    if CANARY in response.text or any(known in response.text for known in FOREIGN):
        raise Failure(operation=case.operation.label, title="An answer holds what belongs to another tenant", message=response.text)
    asked = (case.path_parameters or {}).get("id")
    if asked in FOREIGN and not 400 <= response.status_code < 500:
        raise Failure(operation=case.operation.label, title="An id of another tenant was taken", message=response.text)
