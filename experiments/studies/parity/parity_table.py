"""Parity of our models with their originals, as rows and a table."""

from collections.abc import Mapping, Sequence
import functools
import json
from pathlib import Path
import tempfile
from typing import Any

import jax
import numpy as np

from behavior_lm.common.markdown import table
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.huggingface import write_huggingface
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.training.state import split_model
from experiments.studies.parity import parity

# {"model", "compared", "length"} and largest differences by what differs:
# "hidden", "logits", "weights".
Row = dict[str, Any]
BATCH_SIZE = 3


def encoder_rows(
    python: str | Path,
    program: str | Path,
    values: Mapping[str, Any],
    lengths: Sequence[int],
    seed: int,
) -> list[Row]:
  """Rows of BERT, ALBERT or Longformer.

  Args:
    python: of the environment with transformers.
    program: peers/encoder_outputs.py.
    values: config.json of a model with a masked-token head.
    lengths: of the rows of tokens.
    seed: of weights and tokens.

  Returns:
    One row for each comparison and length, then one for the weights.
  """
  rows: list[Row] = []
  with tempfile.TemporaryDirectory() as place:
    scratch = Path(place)
    theirs = scratch / "theirs"
    parity.run_peer(
        python, program, "create", theirs, json.dumps(values), seed
    )
    read = read_huggingface(theirs)
    cases = parity.make_cases(
        lengths,
        vocab_size=values["vocab_size"],
        pad_id=read.pad_id,
        seed=seed,
        batch_size=BATCH_SIZE,
    )
    judge = functools.partial(
        parity.their_outputs, python, program, scratch=scratch
    )
    exact = judge(folder=theirs, cases=cases)
    half = judge(folder=theirs, cases=cases, dtype="bfloat16")

    def add(what: str, ours: Any, judged: Any) -> None:
      found = parity.largest_differences(cases, ours, judged)
      for length, differences in found.items():
        row = {"model": values["model_type"], "compared": what}
        rows.append(row | {"length": int(length)} | differences)

    add("float32 to float32", parity.our_outputs(read.model, cases), exact)
    ours_half = parity.our_outputs(
        read_huggingface(theirs, dtype="bfloat16").model, cases
    )
    add("bfloat16 to bfloat16", ours_half, half)
    add("bfloat16 to their float32", ours_half, exact)
    add("their bfloat16 to their float32", half, exact)

    # Written here, through transformers and its disk, read here.
    write_huggingface(scratch / "ours", read.model, pad_id=read.pad_id)
    resaved = scratch / "resaved"
    parity.run_peer(python, program, "resave", scratch / "ours", resaved)
    again = read_huggingface(resaved)
    add(
        "exported, saved by transformers, imported: float32 to float32",
        parity.our_outputs(again.model, cases),
        judge(folder=resaved, cases=cases),
    )
  rows.append({
      "model": values["model_type"],
      "compared": "weights after export and import to those before",
      "length": None,
      "weights": weights_differ(read.model, again.model),
  })
  return rows


def weights_differ(a: LanguageModel, b: LanguageModel) -> float:
  """Largest difference of two models' weights, which must be of one shape."""
  differ = lambda x, y: float(np.abs(np.asarray(x) - np.asarray(y)).max())
  models = (split_model(model)[1] for model in (a, b))
  return max(jax.tree.leaves(jax.tree.map(differ, *models)))


def keep_older(old: Mapping[str, Any], new: dict[str, Any]) -> None:
  """Takes older rows over, if all else is the same.

  Args:
    old, new: "seed", "lengths", "versions", "models" and "rows".
  """
  if all(old.get(k) == new[k] for k in ("seed", "lengths", "versions")):
    new["models"] |= old["models"]
    new["rows"] += old["rows"]


def markdown(result: Mapping[str, Any]) -> str:
  """The page of results.

  Args:
    result: "command", "seed", "versions" and "rows".
  """
  versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
  lines = [
      "# How far our models are from their originals",
      "",
      f"`{result['command']}`: the largest absolute difference at real tokens,"
      " two or three rows of each length, the first full, the others padded."
      f" Random weights and tokens, seed {result['seed']}; hidden states end"
      " in a norm, so they are of about 1. \"float32 to float32\" is ours to"
      " theirs. bfloat16 here is the computation alone, there the weights too.",
      "",
      f"{versions}. Sizes: parity.json.",
      "",
      table(
          ["model", "compared", "length", "hidden states", "logits", "weights"],
          [_cells(row) for row in result["rows"]],
      ),
  ]
  return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
  numbers = [row.get(name) for name in ("hidden", "logits", "weights")]
  return [
      row["model"],
      row["compared"],
      "" if row["length"] is None else f"{row['length']:,}",
      *("" if n is None else f"{n:.1e}" for n in numbers),
  ]
