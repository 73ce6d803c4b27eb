r"""Recommends items to all users of a dataset, and writes all vectors.

  python experiments/recall.py --run RUN --data DATASET --out DIR

RUN is a folder of experiments/train.py with configs/retrieval.py. DIR gets
top.parquet (user_id, rank, design_id, score), users.parquet and items.parquet
with the vectors, the same in vectors.npz, and the FAISS index.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held_beside

_RUN = flags.DEFINE_string("run", None, "The run folder.")
_DATA = flags.DEFINE_string(
    "data", "", "The dataset folder; that of the run if not given."
)
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_SPLITS = flags.DEFINE_list(
    "splits", [], "Whose events are the histories: train,valid. All if empty."
)
_TOP = flags.DEFINE_integer("top", 10, "Items of each user.")
_INDEX = flags.DEFINE_string(
    "index", "flat", "FAISS: flat, ivf or hnsw; or device (top-k in jax)."
)
_SEEN = flags.DEFINE_bool(
    "drop_seen", True, "Leave the items of a user's history out."
)
_BEST = flags.DEFINE_bool(
    "best", False, "The best checkpoint of the run, not the last one."
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace an earlier result at --out."
)


def main(argv: list[str]) -> None:
  del argv
  if not _RUN.value or not _OUT.value:
    raise UserError("--run and --out are both needed; see --help.")
  # Late imports: --help and usage errors come at once.
  from behavior_lm.inference.recall import Recall
  from behavior_lm.inference.recall_dataset import recall_dataset
  from behavior_lm.inference.recall_dataset import RecallRequest
  from behavior_lm.logs.dataset import open_dataset

  with held_beside(Path(_OUT.value), f"--out {_OUT.value}"):
    recall = Recall.load(_RUN.value, best=_BEST.value)
    about = recall_dataset(
        recall,
        open_dataset(_DATA.value or recall.run.config.data.path),
        _OUT.value,
        RecallRequest(
            tuple(_SPLITS.value),
            _TOP.value,
            _INDEX.value,
            _SEEN.value,
            _OVERWRITE.value,
        ),
    )
  print(
      f"{about['users']:,} users encoded in {about['seconds_encode']:.2f} s,"
      f" their top {about['k']} of {about['items']:,} items found by"
      f" {about['index']} in {about['seconds_search']:.2f} s"
  )
  print(f"recommendations: {_OUT.value}/top.parquet")


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)
