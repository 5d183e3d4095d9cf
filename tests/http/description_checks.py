"""What schemathesis checks beside its own: no answer holds what belongs to the other tenant."""

import schemathesis


@schemathesis.check
def nothing_of_another_tenant(ctx, response, case):
    if case.operation.path.startswith("/v1/operator/"):
        return
    assert "foreign-canary" not in response.text, "an answer holds what belongs to another tenant"
