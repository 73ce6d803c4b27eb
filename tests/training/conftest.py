import pytest

from tests.training.tiny import tiny_dataset


@pytest.fixture(scope="session")
def dataset_path(tmp_path_factory):
  """One small prepared dataset for all tests of a session."""
  return tiny_dataset(tmp_path_factory.mktemp("tiny"))
