import jax.numpy as jnp
import pytest

from experiments.studies.parity.parity_table import encoder_rows
from experiments.studies.parity.parity_table import keep_older
from experiments.studies.parity.parity_table import markdown
from experiments.studies.parity.parity_table import weights_differ
from tests.interop.models import make
from tests.interop.models import their_config
from tests.peers import peers_python
from tests.peers import REPO


@pytest.mark.slow
def test_rows_tell_rounding_from_sameness():
  rows = encoder_rows(
      peers_python(),
      REPO / "peers" / "encoder_outputs.py",
      their_config("bert"),
      [3, 20],
      seed=1,
  )
  found = {(row["compared"], row["length"]): row for row in rows}
  assert len(found) == len(rows) == 11
  for length in (3, 20):
    exact = found["float32 to float32", length]
    half = found["bfloat16 to bfloat16", length]
    assert exact["hidden"] < 1e-5 < 1e-3 < half["hidden"] < 0.5
    assert exact["logits"] < 1e-5 < 1e-3 < half["logits"] < 0.5
  assert rows[-1]["weights"] == 0 and rows[-1]["length"] is None


@pytest.mark.slow
def test_a_changed_weight_is_seen():
  a, b = make("bert"), make("bert")
  assert weights_differ(a, b) == 0
  b.head.bias[...] = b.head.bias[...].at[3].add(jnp.float32(0.5))
  assert weights_differ(a, b) == 0.5


def test_older_rows_stay_if_all_else_is_the_same():
  rows = [{"model": "bert", "hidden": 1}, {"model": "albert", "hidden": 2}]
  old = dict(seed=3, lengths=[9], versions={"jax": "1"}, models={"bert": {}})
  new = old | {"models": {}, "rows": []}
  keep_older(old | {"rows": rows}, new)
  assert (new["rows"], new["models"]) == (rows, {"bert": {}})
  for change in ({"seed": 4}, {"lengths": [8]}, {"versions": {"jax": "2"}}):
    new = old | {"models": {}, "rows": []} | change
    keep_older(old | {"rows": rows}, new)
    assert new["rows"] == [] and new["models"] == {}


def test_the_page_has_a_line_for_each_row():
  text = markdown({
      "command": "python experiments/studies/parity/run.py",
      "seed": 4,
      "versions": {"jax": "1", "torch": "2"},
      "rows": [
          {"model": "bert", "compared": "float32 to float32", "length": 1000,
           "hidden": 1.3e-6, "logits": 3e-6},
          {"model": "bert", "compared": "weights", "length": None,
           "weights": 0.0},
      ],
  })  # fmt: skip
  assert "| bert | float32 to float32 | 1,000 | 1.3e-06 | 3.0e-06 |  |" in text
  assert "| bert | weights |  |  |  | 0.0e+00 |" in text
  assert "jax 1, torch 2" in text and "seed 4" in text
