from tests.integration.conftest import alice, serve  # noqa: F401
