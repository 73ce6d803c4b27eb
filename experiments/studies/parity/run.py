r"""How far our models are from their originals; results/parity.{json,md}.

  make peers
  python experiments/studies/parity/run.py

For each model: random weights made by transformers (norms and biases too), the
same tokens, the largest absolute difference of hidden states and logits at
real tokens; then the same weights written by us, loaded and saved by
transformers, and read again. Some minutes on two cores. With --models the rows
of the other models stay, if seed, lengths and versions are the same.
"""

from collections.abc import Callable, Sequence
import functools
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from experiments.studies.results import checked_out
from experiments.studies.results import write_result

_REPO = Path(__file__).resolve().parents[3]
_PEERS = _REPO / "peers"
_MODELS = flags.DEFINE_list(
    "models", [], "bert,albert, say; all of them if not given."
)
_LENGTHS = flags.DEFINE_list("lengths", ["1", "65", "256", "1000"], "Tokens.")
_SEED = flags.DEFINE_integer("seed", 0, "Of weights and tokens.")
_OUT = flags.DEFINE_string(
    "out",
    str(_REPO / "experiments" / "results" / "parity.json"),
    "The results; a page of them beside, with the ending .md.",
)
_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python",
    str(_REPO / ".venv-peers" / "bin" / "python"),
    "Python with torch and transformers; `make peers` makes it.",
)

# Of random models of theirs: width 256, 4 layers, 4 heads.
_SIZES: dict[str, Any] = {
    "vocab_size": 8_192,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1_024,
    "max_position_embeddings": 1_026,
}
_ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {"architectures": ["BertForMaskedLM"]},
    "albert": {"architectures": ["AlbertForMaskedLM"], "embedding_size": 128},
    "longformer": {
        "architectures": ["LongformerForMaskedLM"],
        "attention_window": [128, 64, 256, 128],
    },
}


Result = tuple[dict[str, Any], list[dict[str, Any]]]


def _encoder(name: str, lengths: Sequence[int], seed: int) -> Result:
  # Late imports: --help and usage errors come at once.
  from experiments.studies.parity.parity_table import encoder_rows

  values = _SIZES | _ENCODERS[name] | {"model_type": name}
  program = _PEERS / "encoder_outputs.py"
  return values, encoder_rows(
      _PEERS_PYTHON.value, program, values, lengths, seed
  )


_REFORMER: dict[str, Any] = {
    "vocab_size": 8_192,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "attention_head_size": 64,
    "feed_forward_size": 1_024,
    "local_attn_chunk_length": 64,
    "lsh_attn_chunk_length": 64,
    "max_position_embeddings": 4_096,
    "num_hashes": 4,
    "num_buckets": 32,
    "hidden_act": "gelu",
}


def _reformer(lengths: Sequence[int], seed: int) -> Result:
  from experiments.studies.parity.reformer import reformer_rows

  assert not seed
  program = _PEERS / "reformer_outputs.py"
  return _REFORMER, reformer_rows(
      _PEERS_PYTHON.value, program, _REFORMER, lengths
  )


# model -> its settings and rows.
SOURCES: dict[str, Callable[..., Result]] = {
    **{name: functools.partial(_encoder, name) for name in _ENCODERS},
    "reformer": _reformer,
}


def _versions() -> dict[str, str]:
  from experiments.studies.parity.parity import run_peer

  ours = {name: importlib.metadata.version(name) for name in ("jax", "flax")}
  program = _PEERS / "encoder_outputs.py"
  return ours | run_peer(_PEERS_PYTHON.value, program, "versions")


def main(argv: list[str]) -> None:
  del argv
  names = _MODELS.value or list(SOURCES)
  for name in names:
    if name not in SOURCES:
      raise UserError(f"--models {name}: known are {', '.join(SOURCES)}.")
  if _SEED.value and "reformer" in names:
    raise UserError(
        f"--seed={_SEED.value}: peers/reformer_outputs.py has seeds of its own."
        " Leave reformer out of --models."
    )
  if not all(text.isdecimal() and int(text) > 0 for text in _LENGTHS.value):
    raise UserError(
        f"--lengths {','.join(_LENGTHS.value)}: whole numbers from 1, please."
    )
  lengths = [int(text) for text in _LENGTHS.value]
  if not Path(_PEERS_PYTHON.value).exists():
    raise UserError(
        f"--peers_python {_PEERS_PYTHON.value}: does not exist. Run `make"
        " peers`."
    )
  out = checked_out(_OUT.value)
  from experiments.studies.parity.parity_table import keep_older
  from experiments.studies.parity.parity_table import markdown

  # Where things lie here helps nobody elsewhere.
  command = "python experiments/studies/parity/run.py"
  for flag in (_LENGTHS, _SEED):
    if flag.present:
      command += f" {flags.FLAGS[flag.name].serialize()}"
  result: dict[str, Any] = {
      "command": command,
      "seed": _SEED.value,
      "lengths": lengths,
      "versions": _versions(),
      "models": {},
      "rows": [],
  }
  if out.exists():
    keep_older(json.loads(out.read_text()), result)
  for name in names:
    settings, rows = SOURCES[name](lengths=lengths, seed=_SEED.value)
    result["models"][name] = settings
    others = [row for row in result["rows"] if row["model"] != name]
    result["rows"] = others + rows
    result["rows"].sort(key=lambda row: list(SOURCES).index(row["model"]))
    worst = max(
        row["hidden"]
        for row in rows
        if row["compared"].startswith("float32 to float32")
    )
    print(f"{name}: hidden states differ by {worst:.1e} at most", flush=True)
    # After each model: a later one that fails costs nothing of the others.
    write_result(out.with_suffix(""), result, markdown(result))


if __name__ == "__main__":
  run_command(main)
