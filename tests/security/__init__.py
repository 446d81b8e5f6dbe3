"""What somebody could try who means no good. What is tried elsewhere, and where:

forged cross-origin requests, wildcard origins
    ``tests/integration/test_origins.py``
guessed ids, other people's threads, every door
    ``tests/tenants``
forged and copied cookies
    ``tests/integration/test_identity.py``
path tricks, resources outside of the endpoint
    ``tests/unit/test_routes.py``
oversized and slow bodies
    ``tests/integration/test_door.py``, ``tests/servers/test_bodies.py``
markup in the admin, hidden content
    ``tests/admin/test_pages.py``
control characters in the terminal
    ``tests/integration/test_commands.py``
readers that stall
    ``tests/servers/test_back_pressure.py``
requests nobody would send
    ``tests/fuzz``
"""
