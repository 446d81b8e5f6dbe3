from tests.servers.conftest import output_folder, pytest_runtest_makereport, start

__all__ = ["output_folder", "pytest_runtest_makereport", "start"]
