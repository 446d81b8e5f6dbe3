"""Which families of cases must agree with the reference today."""

#: The rest is added by deleting this list and its one use in test_conformance.py.
REQUIRED = frozenset(
    {
        "agent-ids",
        "concurrency",
        "connect",
        "info",
        "keepalive",
        "routing",
        "run",
        "run-bad-request",
        "run-errors",
        "single-route",
        "stop",
        "suggest",
    }
)
