"""The declaration of a label table."""

import json

import ml_collections
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import SampleColumns


def test_a_declaration_fits_into_a_config():
  config = ml_collections.ConfigDict({
      "labels": {"bot": "binary"}, "candidates": ["item"], "dense": ["price"]
  })  # fmt: skip
  values = json.loads(config.to_json())
  columns = SampleColumns(**values)
  assert columns.names() == ["user_id", "bot", "item", "price"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(labels={"bot": "ordinal"}), "ordinal"),
        (dict(dense=["bot"]), "'bot' is declared more than once"),
        (dict(categorical=["user_id"]), "'user_id' is declared more than once"),
        (dict(dense="price"), "list of column names"),
        (dict(separator=""), "separator"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(changes, words):
  with pytest.raises(UserError, match=words):
    SampleColumns(**dict(labels={"bot": "binary"}) | changes)
