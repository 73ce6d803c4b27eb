import hashlib
import hmac

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores.pseudonyms import pseudonym
from behavior_lm.inference.stores.pseudonyms import read_salt
from behavior_lm.inference.stores.source import open_source
from tests.inference.stores.example_vectors import make_source

KEY = b"0123456789abcdef"


def test_a_pseudonym_is_the_keyed_hash():
  want = hmac.new(KEY, "user:1 ü".encode(), hashlib.sha256).hexdigest()
  assert pseudonym("user:1 ü", KEY) == want[:32]
  assert pseudonym("user:1 ü", KEY + b"x") != want[:32]


def test_a_source_names_users_by_pseudonyms_alone(tmp_path):
  plain, table, vectors = make_source(tmp_path / "v.parquet", 30)
  salted = open_source(tmp_path / "v.parquet", salt=KEY)
  found, same = salted.read()
  want = [pseudonym(user, KEY) for user in table["user_id"]]
  assert found["user_id"].to_list() == want
  assert found.drop("user_id").equals(table.drop("user_id"))
  np.testing.assert_array_equal(same, vectors)
  assert salted.fingerprint != plain.fingerprint
  assert salted.about["source"]["pseudonyms"]


def test_a_missing_or_short_salt_is_refused(monkeypatch):
  monkeypatch.delenv("BEHAVIOR_LM_SALT", raising=False)
  with pytest.raises(UserError, match="BEHAVIOR_LM_SALT"):
    read_salt()
  monkeypatch.setenv("BEHAVIOR_LM_SALT", "short")
  with pytest.raises(UserError, match="at least 16"):
    read_salt()
  monkeypatch.setenv("BEHAVIOR_LM_SALT", KEY.decode())
  assert read_salt() == KEY
