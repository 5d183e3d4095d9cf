"""Runs schemathesis against a reference server: every route, stateful, with the keys of a tenant and of an operator.

Usage: try_description.py SERVER ST [EXAMPLES]: the program, the command of schemathesis, and how many examples a route gets.
What belongs to the other tenant carries a word that must not stand in any answer; `description_checks.py` looks for it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request

# Some rules (a host label, no name twice) stand in words alone, so what fits the description may be refused.
# A server that was deleted is still shown, as deleted: it is no use after its end.
LEFT_OUT = "positive_data_acceptance,use_after_free"
# Seconds for one request: the longest wait that the API grants fits in.
WAIT = "45"
# A command answers an operation, whose id is no id of a server: what leads where stands in the description, and is not guessed.
SETTINGS = '[phases.stateful]\ninference.algorithms = ["location-headers"]\n'
CANARY = "foreign-canary"
ORDER = {"name": CANARY, "server_types": ["cpx22"], "image": "ubuntu-24.04", "locations": ["fsn1"], "ssh_keys": ["ops"]}


def new_key(server, name, tenant, scopes):
    """Returns a key and its entry for the file of keys."""
    words = [server, "new-key", "--id", name] + [word for scope in scopes for word in ("--scope", scope)]
    words += ["--tenant", tenant] if tenant else []
    key, entry = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    return key, json.loads(entry)[0]


def main():
    server, st = sys.argv[1], sys.argv[2]
    examples = sys.argv[3] if len(sys.argv) > 3 else "50"
    both = ["tenant:read", "tenant:write"]
    tenant, other, operator = (
        new_key(server, "schema", "acme", both),
        new_key(server, "other", "other", both),
        # One identity with all scopes reaches every route; its tenant is the first one.
        new_key(server, "all", "acme", both + ["operator"]),
    )
    with tempfile.TemporaryDirectory() as folder:
        keys = os.path.join(folder, "keys.json")
        with open(keys, "w", encoding="utf-8") as file:
            json.dump([tenant[1], other[1], operator[1]], file)
        words = [server, "--listen", "127.0.0.1:0", "--api-keys-file", keys]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "VIP_LOG": "warn"})
        try:
            address = process.stdout.readline().split("http://")[1].split(" ")[0]
            headers = {"Authorization": f"Bearer {other[0]}", "Idempotency-Key": "k", "Content-Type": "application/json"}
            url = f"http://{address}/v1/servers"
            request = urllib.request.Request(url, json.dumps(ORDER).encode(), headers, method="POST")
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 202
                foreign = json.load(answer)
            foreign = json.dumps([foreign["server_id"], foreign["id"]])
            request = urllib.request.Request(f"http://{address}/v1/operator/accounts")
            request.add_header("Authorization", f"Bearer {operator[0]}")
            with urllib.request.urlopen(request) as answer:
                accounts = json.load(answer)["items"]
            known = {"account": [it["id"] for it in accounts], "tenant": ["acme", "other"]}
            known["digest"] = [gate["token_digest"] for it in accounts for gate in it["gates"]]
            with open(os.path.join(folder, "schemathesis.toml"), "w", encoding="utf-8") as file:
                file.write(SETTINGS)
            here = os.path.dirname(os.path.abspath(__file__))
            environment = {**os.environ, "SCHEMATHESIS_HOOKS": "description_checks", "PYTHONPATH": here}
            environment |= {"VIP_CANARY": CANARY, "VIP_FOREIGN_IDS": foreign, "PYTHONDONTWRITEBYTECODE": "1"}
            environment["VIP_KNOWN"] = json.dumps(known)
            for key in (tenant[0], operator[0]):
                run = [st, "run", f"http://{address}/openapi.json", "--max-examples", examples, "--generation-database", "none"]
                run += ["--header", f"Authorization: Bearer {key}", "--exclude-checks", LEFT_OUT, "--request-timeout", WAIT]
                # Hardly any text is no name of an account: most of what is made to be wrong is thrown away, which takes time.
                run += ["--suppress-health-check", "filter_too_much,too_slow"]
                if key == tenant[0]:
                    run += ["--exclude-tag", "operator"]
                code = subprocess.run(run, env=environment, cwd=folder, check=False).returncode
                if code != 0:
                    return code
        finally:
            process.send_signal(signal.SIGTERM)
            if process.wait() != 0:
                print("the server did not end in order", file=sys.stderr)
                return 1
    return 0


sys.exit(main())
