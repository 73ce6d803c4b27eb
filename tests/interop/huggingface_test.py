import functools
import json

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file
from scipy.special import erf
from scipy.special import softmax

from behavior_lm.common.errors import UserError
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.huggingface import write_huggingface
from behavior_lm.training.state import split_model
from experiments.studies.parity import parity
from tests.interop.models import make

NAMES = ("bert", "albert", "longformer")
EVERY_MODEL = pytest.mark.parametrize("name", NAMES)


def leaves(model):
  return {
      jax.tree_util.keystr(path): np.asarray(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(
          split_model(model)[1]
      )
  }


def same(a, b):
  """Whether {name: array} are the same bits."""
  return a.keys() == b.keys() and all(
      a[key].dtype == b[key].dtype
      and a[key].shape == b[key].shape
      and a[key].tobytes() == b[key].tobytes()
      for key in a
  )


def weights(folder):
  return load_file(folder / "model.safetensors")


def change(folder, tensors=None, **settings):
  """Rewrites a folder with other tensors or settings."""
  if tensors is not None:
    path = folder / "model.safetensors"
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)
  path = folder / "config.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.slow
@EVERY_MODEL
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_token_types": 2, "norm_epsilon": 1e-5},
        {"scan_layers": True, "remat": "full", "dtype": "bfloat16"},
        {"position_encoding": "sinusoid", "dropout_rate": 0.25},
    ],
    ids=str,
)
def test_a_model_comes_back_bit_by_bit(tmp_path, name, changes):
  model = make(name, **changes)
  write_huggingface(tmp_path / "a", model)
  back = read_huggingface(tmp_path / "a")
  assert back.config == back.model.encoder.config == model.encoder.config
  assert same(leaves(back.model), leaves(model))
  assert back.has_head and back.pad_id == 0
  write_huggingface(tmp_path / "b", back.model)
  for file in ("config.json", "model.safetensors"):
    a, b = (tmp_path / side / file for side in "ab")
    assert a.read_bytes() == b.read_bytes()


@EVERY_MODEL
def test_an_encoder_alone_comes_back_with_a_new_head(tmp_path, name):
  model = make(name)
  write_huggingface(tmp_path / "a", model, head=False)
  assert all(
      key.startswith(("embeddings.", "encoder."))
      for key in weights(tmp_path / "a")
  )
  back = read_huggingface(tmp_path / "a")
  assert not back.has_head
  before, after = leaves(model), leaves(back.model)
  assert before.keys() == after.keys()
  changed = {k for k in before if before[k].tobytes() != after[k].tobytes()}
  assert changed and all("head" in key for key in changed)
  # The same new head every time.
  again = leaves(read_huggingface(tmp_path / "a").model)
  assert same(after, again)


def bert_by_name(tensors, tokens, num_layers, num_heads):
  """BERT as its paper and its tensors' names say; [length, vocabulary]."""

  def linear(x, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

  def norm(x, name):
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

  def gelu(x):
    return x * (1 + erf(x / 2**0.5)) / 2

  def heads(x):
    return x.reshape(len(x), num_heads, -1).swapaxes(0, 1)

  table = functools.partial("bert.embeddings.{}_embeddings.weight".format)
  x = tensors[table("word")][tokens] + tensors[table("token_type")][0]
  x = norm(x + tensors[table("position")][: len(x)],
           "bert.embeddings.LayerNorm")
  for number in range(num_layers):
    layer = f"bert.encoder.layer.{number}."
    query, key, value = (
        heads(linear(x, f"{layer}attention.self.{name}"))
        for name in ("query", "key", "value")
    )
    seen = softmax(query @ key.mT / query.shape[-1] ** 0.5, axis=-1)
    mixed = (seen @ value).swapaxes(0, 1).reshape(x.shape)
    mixed = linear(mixed, f"{layer}attention.output.dense")
    x = norm(x + mixed, f"{layer}attention.output.LayerNorm")
    inner = gelu(linear(x, f"{layer}intermediate.dense"))
    x = norm(x + linear(inner, f"{layer}output.dense"),
             f"{layer}output.LayerNorm")
  place = "cls.predictions."
  x = norm(gelu(linear(x, f"{place}transform.dense")),
           f"{place}transform.LayerNorm")
  return x @ tensors[table("word")].T + tensors[f"{place}bias"]


@pytest.mark.slow
def test_tensors_mean_what_their_names_say(tmp_path):
  model = make("bert", num_token_types=2)
  write_huggingface(tmp_path / "a", model)
  tensors = {k: v.astype(float) for k, v in weights(tmp_path / "a").items()}
  case = parity.make_cases([20], vocab_size=61, pad_id=0, batch_size=1)
  want = bert_by_name(tensors, case["20"]["tokens"][0], 3, 3)
  got = parity.our_outputs(model, case)["20"]["logits"][0]
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_window_for_all_layers_stays_one_number(tmp_path):
  model = make("longformer", window_size=5)
  write_huggingface(tmp_path / "a", model)
  values = json.loads((tmp_path / "a" / "config.json").read_text())
  assert values["attention_window"] == 10
  assert read_huggingface(tmp_path / "a").config == model.encoder.config


@pytest.mark.parametrize("pad_id", [0, 1, 3])
def test_positions_of_a_longformer_start_behind_padding(tmp_path, pad_id):
  model = make("longformer")
  write_huggingface(tmp_path / "a", model, pad_id=pad_id)
  rows = weights(tmp_path / "a")[
      "longformer.embeddings.position_embeddings.weight"
  ]
  assert rows.shape == (48 + pad_id + 1, 24)
  assert not rows[: pad_id + 1].any() and rows[pad_id + 1 :].any(1).all()
  back = read_huggingface(tmp_path / "a")
  assert back.pad_id == pad_id and back.config.max_length == 48
  assert same(leaves(back.model), leaves(model))
  key = "longformer.embeddings.position_embeddings.weight"
  assert f"{key}: its first {pad_id + 1} rows" in back.unused


@EVERY_MODEL
def test_a_type_learned_elsewhere_is_kept(tmp_path, name):
  write_huggingface(tmp_path / "a", make(name))
  tensors = weights(tmp_path / "a")
  key = f"{name}.embeddings.token_type_embeddings.weight"
  assert not tensors[key].any()
  tensors[key] = tensors[key] + 1
  change(tmp_path / "a", tensors)
  back = read_huggingface(tmp_path / "a")
  assert back.config.num_token_types == 1
  np.testing.assert_array_equal(
      back.model.encoder.embed.token_type.embedding[...], tensors[key]
  )


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("bert", {"time_encoding": "gate"}, ["time_encoding is 'gate'"]),
        (
            "longformer",
            {
                "position_encoding": "rotary",
                "norm_position": "pre",
                "causal": True,
                "use_bias": False,
                "features": (("hour", 24),),
                "dilation": (1, 2, 1),
                "activation": "gelu_tanh",
            },
            [
                "position_encoding is 'rotary', there 'learned' or 'sinusoid'",
                "norm_position is 'pre'",
                "causal is True",
                "use_bias is False",
                "features is (",
                "dilation is (1, 2, 1)",
                "activation is 'gelu_tanh'",
            ],
        ),
        ("bert", {"embedding_dim": 8}, ["embedding_dim is 8, there embed_dim"]),
        ("albert", {"embedding_dim": None}, ["embedding_dim is None"]),
        (
            "longformer",
            {"window_size": (4, 2, 6)},
            ["window_size is (4, 2, 6), there sizes that divide the largest"],
        ),
        ("modern", {}, ["'modern' has no counterpart"]),
    ],
)
def test_settings_without_a_counterpart_are_named(
    tmp_path, name, changes, named
):
  with pytest.raises(UserError) as caught:
    write_huggingface(tmp_path / "a", make(name, **changes))
  for text in named:
    assert text in str(caught.value)
  assert not list(tmp_path.iterdir())


@EVERY_MODEL
def test_wrong_tensors_are_named_one_by_one(tmp_path, name):
  write_huggingface(tmp_path / "a", make(name))
  tensors = weights(tmp_path / "a")
  table = f"{name}.embeddings.position_embeddings.weight"
  norm = f"{name}.embeddings.LayerNorm.bias"
  word = f"{name}.embeddings.word_embeddings.weight"
  rows = len(tensors[table])
  tensors[table] = tensors[table][1:]
  tensors["wings"] = np.zeros(3, np.float32)
  tensors[word] = tensors[word].astype(np.float64)
  del tensors[norm]
  change(tmp_path / "a", tensors)
  with pytest.raises(UserError) as caught:
    read_huggingface(tmp_path / "a")
  width = 10 if name == "albert" else 24
  lines = str(caught.value).splitlines()
  assert str(tmp_path / "a") in lines[0]
  assert set(lines[1:]) == {
      f"  {table}: has the shape {(rows - 1, width)}, config.json asks for"
      f" {(rows, width)}",
      f"  {norm}: missing",
      f"  {word}: is of float64, known are float32, float16, bfloat16",
      "  wings: unknown",
  }


@EVERY_MODEL
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_read_exactly(tmp_path, name, dtype):
  write_huggingface(tmp_path / "a", make(name))
  half = {k: v.astype(dtype) for k, v in weights(tmp_path / "a").items()}
  change(tmp_path / "a", half)
  back = read_huggingface(tmp_path / "a")
  write_huggingface(tmp_path / "b", back.model)
  exact = {k: v.astype(np.float32) for k, v in half.items()}
  assert same(weights(tmp_path / "b"), exact)


COPIES = {
    "bert": "cls.predictions.decoder",
    "albert": "predictions.decoder",
    "longformer": "lm_head.decoder",
}


@EVERY_MODEL
def test_a_second_name_of_a_tensor_must_hold_the_same(tmp_path, name):
  model = make(name)
  write_huggingface(tmp_path / "a", model)
  tensors = weights(tmp_path / "a")
  bias = COPIES[name].removesuffix("decoder") + "bias"
  word = f"{name}.embeddings.word_embeddings.weight"
  # One of two names is enough.
  tensors[f"{COPIES[name]}.weight"] = tensors[word]
  tensors[f"{COPIES[name]}.bias"] = tensors.pop(bias)
  change(tmp_path / "a", tensors)
  assert same(leaves(read_huggingface(tmp_path / "a").model), leaves(model))
  tensors[f"{COPIES[name]}.weight"] = tensors[word] + 1
  change(tmp_path / "a", tensors)
  with pytest.raises(UserError, match="weight differs from .*word_embeddings"):
    read_huggingface(tmp_path / "a")
  del tensors[f"{COPIES[name]}.weight"]
  change(tmp_path / "a", tensors, tie_word_embeddings=False)
  with pytest.raises(UserError, match="tie_word_embeddings is false"):
    read_huggingface(tmp_path / "a")


@EVERY_MODEL
def test_what_is_not_used_is_listed(tmp_path, name):
  model = make(name, num_token_types=2)
  write_huggingface(tmp_path / "a", model)
  tensors = weights(tmp_path / "a")
  more = {
      f"{name}.pooler.dense.weight": np.ones((2, 2), np.float32),
      f"{name}.embeddings.position_ids": np.arange(4),
      "cls.seq_relationship.bias": np.ones(2, np.float32),
  }
  change(tmp_path / "a", tensors | more, attention_probs_dropout_prob=0.1)
  back = read_huggingface(tmp_path / "a")
  assert same(leaves(back.model), leaves(model))
  unused = [text for text in back.unused if "first 1 rows" not in text]
  assert unused[:3] == sorted(more)
  assert unused[3].startswith("attention_probs_dropout_prob 0.1")
  assert unused[4].startswith("token types after the first")


def test_names_of_the_first_berts_are_read(tmp_path):
  model = make("bert")
  write_huggingface(tmp_path / "a", model)
  old = {
      key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
          "LayerNorm.bias", "LayerNorm.beta"
      ): tensor
      for key, tensor in weights(tmp_path / "a").items()
  }
  assert "bert.embeddings.LayerNorm.gamma" in old
  change(tmp_path / "a", old)
  assert same(leaves(read_huggingface(tmp_path / "a").model), leaves(model))


def test_free_settings_may_be_chosen_and_no_others(tmp_path):
  write_huggingface(tmp_path / "a", make("bert"))
  found = read_huggingface(tmp_path / "a", max_segments=9, dtype="bfloat16")
  assert (found.config.max_segments, found.config.dtype) == (9, "bfloat16")
  assert found.model.encoder.config == found.config
  with pytest.raises(UserError, match="num_layers: decided by the weights"):
    read_huggingface(tmp_path / "a", num_layers=1)
  with pytest.raises(UserError, match="dtype is 'float16'; known are float32"):
    read_huggingface(tmp_path / "a", dtype="float16")


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path):
  (tmp_path / "notes.txt").write_text("mine")
  with pytest.raises(UserError, match="not empty"):
    write_huggingface(tmp_path, make("bert"))
  assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
