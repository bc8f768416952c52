"""The option that pytest_kind has, which kr8s' settings of pytest set."""


def pytest_addoption(parser):
    """Takes the option and does nothing by it."""
    parser.addoption("--keep-cluster", action="store_true")
