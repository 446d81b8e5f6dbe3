from tests.integration.conftest import alice, bob, make_runtime, nobody, serve

__all__ = ["alice", "bob", "make_runtime", "nobody", "serve"]
