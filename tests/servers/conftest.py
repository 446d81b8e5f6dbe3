import pytest

from tests.servers import process
from tests.servers.process import ServerProcess


@pytest.fixture(scope="session")
def output_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def start(output_folder):
    """Start a server of a test's own; whatever is still running at the end is killed."""
    started: list[ServerProcess] = []

    def start(server: str, *arguments: str, **environment: str) -> ServerProcess:
        started.append(ServerProcess(server, output_folder, *arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture(scope="session")
def uvicorn(start) -> ServerProcess:
    """A server that all tests share."""
    return start("uvicorn").wait_until_ready()


@pytest.fixture(scope="session")
def daphne(start) -> ServerProcess:
    """A server that all tests share."""
    return start("daphne").wait_until_ready()


@pytest.fixture(params=["uvicorn", "daphne"])
def server(request) -> ServerProcess:
    """Each of the shared servers in turn."""
    return request.getfixturevalue(request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    if report.failed:
        report.sections += process.report()
    return report
