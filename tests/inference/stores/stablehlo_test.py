"""The exported encoder against the live one, in a process of its own."""

import json

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.stores.stablehlo import export_encoder
from behavior_lm.inference.stores.stablehlo import ProgramSpec
from tests.inference.fake_runs import make_run
from tests.inference.fake_runs import random_sequences
from tests.inference.stores.bare_process import run_bare

# Everything but jax, what jax needs, and NumPy seems not to be installed.
PROGRAM = """
import sys
class Trap:
  def find_spec(self, name, path=None, target=None):
    root = name.split(".")[0]
    if root in ("behavior_lm", "flax", "polars", "optax", "flatbuffers",
                "sentencepiece", "ml_collections", "orbax"):
      raise ImportError(f"{name} is a trap")
sys.meta_path.insert(0, Trap())
folder, data, out = sys.argv[1:]
sys.path.insert(0, folder)
import numpy as np
from load_encoder import Encoder
encoder = Encoder.load(folder)
with np.load(data) as file:
  sequences = [
      {"tokens": file[f"tokens_{n}"],
       "time_gaps": encoder.time_gaps(file[f"times_{n}"])}
      for n in range(len(file.files) // 2)
  ]
np.save(out, encoder.encode(sequences, batch_size=8))
"""


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "run"
  run = make_run(folder, max_length=16, num_layers=1)
  return Embedder.load(run)


@pytest.fixture(scope="module")
def folder(embedder, tmp_path_factory):
  out = tmp_path_factory.mktemp("out") / "encoder"
  assert export_encoder(embedder, out) == [16]
  return out


def run_alone(folder, sequences, tmp_path):
  arrays = {}
  for n, sequence in enumerate(sequences):
    arrays[f"tokens_{n}"] = sequence["tokens"]
    arrays[f"times_{n}"] = sequence["timestamp"]
  np.savez(tmp_path / "data.npz", **arrays)
  run_bare(PROGRAM, folder, "data.npz", "out.npy", cwd=tmp_path)
  return np.load(tmp_path / "out.npy")


@pytest.mark.slow
def test_a_process_with_jax_and_numpy_alone_makes_the_same_vectors(
    embedder, folder, tmp_path
):
  # Eight windows: one batch, one compilation.
  sequences = random_sequences([1, 5, 15, 16, 40])
  got = run_alone(folder, sequences, tmp_path)
  np.testing.assert_allclose(got, embedder.encode(sequences), atol=1e-5)


def test_the_manifest_says_what_it_is_and_what_made_it(embedder, folder):
  found = json.loads((folder / "manifest.json").read_text())
  assert found["platforms"] == ["cpu", "cuda", "tpu"]
  assert sorted(found["versions"]) == ["jax", "jaxlib", "numpy"]
  assert found["model"] == embedder.fingerprint and found["step"] == 5
  assert sorted(found["files"]) == [
      "encoder_16.mlirbc",
      "load_encoder.py",
      "stablehlo_program.py",
      "tokenizer/tokenizer.json",
      "weights.npz",
  ]
  there = {p.name for p in folder.rglob("*") if p.is_file()}
  assert there == {p.split("/")[-1] for p in found["files"]} | {
      "manifest.json"
  }


@pytest.mark.slow
def test_a_changed_file_is_noticed_by_the_loader(embedder, tmp_path):
  from behavior_lm.inference.stores.stablehlo_loader import Encoder

  export_encoder(
      embedder, tmp_path / "out", ProgramSpec(lengths=[4], platforms=["cpu"])
  )
  Encoder.load(tmp_path / "out")
  weights = tmp_path / "out" / "weights.npz"
  weights.write_bytes(weights.read_bytes()[:-5])
  with pytest.raises(ValueError, match="weights.npz: was truncated or changed"):
    Encoder.load(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pooling", "own"),
    [
        ("albert", "max", {}),
        ("longformer", "gaussian", {"window_size": 4}),
        ("modern", "last", {}),
        ("reformer", "last8", {}),
    ],
)
def test_every_encoder_can_be_exported(tmp_path, name, pooling, own):
  from behavior_lm.inference.stores.stablehlo_loader import Encoder

  run = make_run(tmp_path / "run", max_length=16, name=name, **own)
  embedder = Embedder.load(run)
  spec = ProgramSpec(pooling, 1)
  export_encoder(embedder, tmp_path / "out", spec)
  sequences = random_sequences([1, 15, 40])
  fields = [embedder.reader.read(s, "one") for s in sequences]
  got = Encoder.load(tmp_path / "out").encode(fields)
  want = embedder.encode(sequences, pooling=pooling, layer=1)
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(pooling="middle"), "pooling 'middle'"),
        (dict(layer=9), "layer 9"),
        (dict(lengths=[1]), "--lengths 1: each lies between 2"),
        (dict(lengths=[8, 17]), "--lengths 8,17: .* and 16"),
        (dict(platforms=["abacus"]), "platforms abacus: choose among cpu"),
    ],
)
def test_odd_requests_are_refused(embedder, tmp_path, spec, message):
  with pytest.raises(UserError, match=message):
    export_encoder(embedder, tmp_path / "out", ProgramSpec(**spec))
  assert not (tmp_path / "out").exists()


def test_the_place_is_checked_first(embedder, folder):
  with pytest.raises(UserError, match="holds a complete StableHLO export"):
    export_encoder(embedder, folder)
  with pytest.raises(UserError, match="--to stablehlo:/proc/out: cannot be"):
    export_encoder(embedder, "/proc/out")
