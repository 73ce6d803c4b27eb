"""The exported ranker against the live one."""

import json

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.ranker import RequestRanker
from behavior_lm.inference.ranker import UserActions
from behavior_lm.inference.stores import stablehlo_ranker
from behavior_lm.inference.stores.ranker_loader import Ranker
from behavior_lm.recipes import ranking
from behavior_lm.recipes.ranking import Ranking
from behavior_lm.recipes.ranking_run import RankingRun
from behavior_lm.training.state import split_model
from tests.inference.stores.bare_process import run_bare
from tests.requests_shop import shop_config

NOW = 1_700_100_000_000_000
REQUESTS = [
    (["i1", "i2", "i1"], [("click", "i3", 5), ("hide", "new", 70)],
     {"user": "u3", "device": "desk"}),
    (["nothing known"], [], {"price": None}),
    (["i2", "i4", "i6", "i8", "i9"], [("dance", "i1", 1)] * 9,
     {"user": "new", "device": None, "price": 3.5}),
]
# Everything but jax, what jax needs, and NumPy seems not to be installed.
PROGRAM = """
import sys
class Trap:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("behavior_lm", "flax", "polars", "optax",
                              "flatbuffers", "ml_collections", "orbax"):
      raise ImportError(f"{name} is a trap")
sys.meta_path.insert(0, Trap())
folder, out = sys.argv[1:]
sys.path.insert(0, folder)
import numpy as np
from load_ranker import Ranker, UserActions
found = Ranker.load(folder).rank(
    ["i1", "i2", "i1"], time=1_700_100_000_000_000,
    actions=UserActions(["click", "hide"], ["i3", "new"],
                        [1_700_099_995_000_000, 1_700_099_930_000_000]),
    context={"user": "u3", "device": "desk"})
np.save(out, found)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
  return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def run(shop):
  """A ranker with noise as its parameters: training it is slow."""
  config = shop_config(shop, "transact", keep_best__metric="")
  space = Ranking(config).data.space
  make = ranking.make_model(config, space)
  graphdef, params, model_state = split_model(
      nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
  )
  rng = np.random.default_rng(0)
  noise = lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype)
  return RankingRun(
      config, space, graphdef, jax.tree.map(noise, params), model_state, 2
  )


@pytest.fixture(scope="module")
def items(shop):
  rows = pl.read_parquet(shop / "train.parquet")
  return rows.unique("item").select("item", "tags", "price").sort("item")


@pytest.fixture(scope="module")
def folder(run, items, tmp_path_factory):
  out = tmp_path_factory.mktemp("out") / "ranker"
  stablehlo_ranker.export_ranker(run, items, out, sizes=(4,))
  return out


@pytest.fixture(scope="module")
def live(run, items):
  return RequestRanker(run, items, sizes=(4,))


def of(request) -> dict:
  _, actions, context = request
  events, designs, ages = zip(*actions, strict=True) if actions else ((),) * 3
  times = [NOW - 1_000_000 * age for age in ages]
  return dict(
      time=NOW, actions=UserActions(events, designs, times), context=context
  )


@pytest.mark.slow
def test_an_exported_ranker_gives_the_same_probabilities(folder, live):
  exported = Ranker.load(folder)
  assert exported.heads == ("click", "hide")
  for request in REQUESTS:
    want = live.rank(request[0], **of(request))
    got = exported.rank(request[0], **of(request))
    np.testing.assert_allclose(got, want, atol=1e-5)
  assert exported.rank([], time=1).shape == (0, 2)


@pytest.mark.slow
def test_a_process_with_jax_and_numpy_alone_ranks_too(folder, live, tmp_path):
  run_bare(PROGRAM, folder, "out.npy", cwd=tmp_path)
  want = live.rank(REQUESTS[0][0], **of(REQUESTS[0]))
  np.testing.assert_allclose(np.load(tmp_path / "out.npy"), want, atol=1e-5)


def test_the_manifest_names_versions_and_files_that_the_loader_checks(folder):
  found = json.loads((folder / "manifest.json").read_text())
  assert sorted(found["versions"]) == ["jax", "jaxlib", "numpy"]
  assert {"features.json", "items.npz", "load_ranker.py", "ranker.mlirbc",
          "request_arrays.py", "stablehlo_program.py", "values.py",
          "weights.npz"} <= found["files"].keys()
  path = folder / "items.json"
  text = path.read_text()
  path.write_text(text.replace("i1", "i0", 1))
  with pytest.raises(ValueError, match="items.json: was truncated or changed"):
    Ranker.load(folder)
  path.write_text(text)


def test_what_does_not_fit_is_refused(run, items, folder, tmp_path):
  out = tmp_path / "out"
  with pytest.raises(UserError, match="the items have no column 'item'"):
    stablehlo_ranker.export_ranker(run, items.drop("item"), out)
  with pytest.raises(UserError, match="sizes \\(0,\\)"):
    stablehlo_ranker.export_ranker(run, items, out, sizes=(0,))
  with pytest.raises(UserError, match="holds a complete StableHLO export"):
    stablehlo_ranker.export_ranker(run, items, folder)
  with pytest.raises(ValueError, match="context column 'colour'"):
    Ranker.load(folder).rank(["i1"], time=1, context={"colour": 1})
