r"""Writes the vectors of a dataset: one row a user-day, or a user.

  python experiments/embed.py --run RUN --data DATASET

RUN is a folder of experiments/train.py, DATASET one of
experiments/prepare.py, the one of the run or another. The result is a Parquet
file: split, user_id, start, num_events, embedding. Killed or stopped, the same
command goes on where it was.
"""

from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.signals import exit_when_stopped

_RUN = flags.DEFINE_string("run", None, "The run folder.")
_DATA = flags.DEFINE_string("data", None, "The dataset folder.")
_SPLITS = flags.DEFINE_list("splits", [], "train,test, say; all if not given.")
_UNIT = flags.DEFINE_string(
    "unit",
    "",
    "user_day or user; the dataset's own if not given. With user, the days of"
    " a user in a split are pooled to one vector by their events.",
)
_POOLING = flags.DEFINE_string(
    "pooling",
    "mean",
    "mean or max over all events; cls (of each window, weighted by its"
    " events); last (event) or last8; gaussian; history (of models that were"
    " trained with history tokens).",
)
_LAYER = flags.DEFINE_integer(
    "layer", -1, "0 (embeddings) to the last; negative counts from the last."
)
_STEP = flags.DEFINE_string("step", "latest", "The checkpoint: a step, latest.")
_OUT = flags.DEFINE_string(
    "out", "", "A .parquet file; in RUN/embeddings if not given."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Windows computed at once; chosen if not given."
)
_PART_EVENTS = flags.DEFINE_integer(
    "part_events", 2**18, "Events between two saves: what a kill may cost."
)
_STRIDE = flags.DEFINE_integer(
    "stride",
    None,
    "Tokens between windows of sequences longer than the model, which overlap"
    " then; side by side if not given.",
)
_LAST = flags.DEFINE_integer(
    "last", None, "Read only so many tokens at the end of each sequence."
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace a result of other settings at --out."
)


def main(argv: list[str]) -> None:
  del argv
  run, data = _RUN.value, _DATA.value
  if not run or not data:
    missing = "data" if run else "run"
    raise UserError(f"--{missing} is missing; see --help.")
  step = None
  if _STEP.value != "latest":
    if not _STEP.value.isdecimal():
      raise UserError(f"--step {_STEP.value!r}: give a number or latest.")
    step = int(_STEP.value)
  with exit_when_stopped(
      "the same command continues from the last finished part"
  ):
    _embed(run, data, step)


def _embed(run: str, data: str, step: int | None) -> None:
  # Late imports: --help and usage errors come at once.
  from behavior_lm.artifacts.run_folder import load_run_config
  from behavior_lm.data.tokenizers.coverage import coverage_line
  from behavior_lm.inference.batching import Cut
  from behavior_lm.inference.dataset_embeddings import embed_dataset
  from behavior_lm.inference.dataset_embeddings import Request
  from behavior_lm.inference.embedder import Embedder
  from behavior_lm.logs.dataset import open_dataset

  dataset = open_dataset(data)
  if load_run_config(run).recipe == "interest":
    _embed_interest(run, dataset, step)
    return
  embedder = Embedder.load(run, step)
  print(coverage_line(embedder.tokenizer, dataset.pairs), flush=True)
  request = Request(
      splits=_SPLITS.value,
      unit=_UNIT.value,
      pooling=_POOLING.value,
      layer=_LAYER.value,
      batch_size=_BATCH_SIZE.value,
      out=_OUT.value,
      overwrite=_OVERWRITE.value,
      part_events=_PART_EVENTS.value,
      cut=Cut(stride=_STRIDE.value, last=_LAST.value),
  )
  done = embed_dataset(embedder, dataset, request, run=Path(run))
  if done.new_rows:
    print(
        f"{done.new_rows:,} vectors of {done.new_events:,} events in"
        f" {done.seconds:.1f} s: {done.new_rows / done.seconds:,.1f}"
        f" sequences/s, {done.new_events / done.seconds:,.0f} events/s"
    )
  print(
      f"embeddings: {done.path} ({done.rows:,} vectors of width"
      f" {embedder.embed_dim})"
  )


def _embed_interest(run: str, dataset: Any, step: int | None) -> None:
  """One vector per user: poolings, layers and units are the model's own."""
  from behavior_lm.inference.interest_vectors import embed_users
  from behavior_lm.recipes.interest_run import load_interest_run

  done = embed_users(
      load_interest_run(run, step),
      dataset,
      Path(run),
      splits=_SPLITS.value,
      out=_OUT.value,
      overwrite=_OVERWRITE.value,
  )
  print(f"embeddings: {done.path} ({done.rows:,} vectors, one per user)")


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)
