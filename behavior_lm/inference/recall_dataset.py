"""Recommends to all users of a dataset, and writes vectors and lists."""

import dataclasses
import json
from pathlib import Path
import time

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import EMBEDDING
from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.data.items.histories import read_histories
from behavior_lm.inference.recall import Recall
from behavior_lm.inference.recall import seen_items
from behavior_lm.inference.stores.faiss_index import build_index
from behavior_lm.inference.stores.faiss_kinds import IndexSpec
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

DEVICE = "device"
RECALL_FILE = "recall.json"


@dataclasses.dataclass(frozen=True)
class RecallRequest:
  """What to write.

  Attributes:
    splits: whose events are the histories, in order of time; empty is all.
    k: items of each user.
    index: "device", or a kind of FAISS index: flat, ivf or hnsw.
    drop_seen: leave items of the history out.
    overwrite: replace what an earlier call wrote.
  """

  splits: tuple[str, ...] = ()
  k: int = 10
  index: str = "flat"
  drop_seen: bool = True
  overwrite: bool = False


def recall_dataset(
    recall: Recall, dataset: Dataset, out: str | Path, request: RecallRequest
) -> dict[str, float | int | str]:
  """Writes a folder, whole or not at all.

  It has users.parquet (user_id, num_events, embedding), items.parquet
  (design_id, train_count, embedding), vectors.npz (user_ids, users, item_ids,
  items), top.parquet (user_id, rank, design_id, score), recall.json, and the
  folder index/ unless the device searched.

  Returns:
    The content of recall.json: users, items, seconds of each part.

  Raises:
    UserError: if something does not fit, or `out` is in the way.
  """
  splits = request.splits or tuple(dataset.splits)
  histories = read_histories(
      dataset, splits, recall.vocabulary, recall.reading
  )
  if not len(histories):
    raise UserError(f"{dataset.path}: no users in {', '.join(splits)}.")
  about: dict[str, float | int | str] = {
      "index": request.index,
      "k": request.k,
      "users": len(histories),
      "items": len(recall.vocabulary),
  }
  started = time.monotonic()
  users = recall.user_vectors(histories)
  about["seconds_encode"] = time.monotonic() - started
  seen = seen_items(histories)
  if not request.drop_seen:
    seen = [rows[:0] for rows in seen]
  items = recall.vocabulary.items
  with atomic_folder(
      Path(out),
      overwrite=request.overwrite,
      is_ours=lambda folder: (folder / RECALL_FILE).exists(),
      kind="result of experiments/recall.py",
  ) as folder:
    if request.index == DEVICE:
      started = time.monotonic()
      top = recall.top_on_device(users, seen, request.k)
    else:
      index = build_index(
          recall.item_vectors, items, IndexSpec(request.index), queries=users
      )
      index.save(folder / "index")
      about |= {"recall_at_10": index.recall, "effort": index.effort}
      started = time.monotonic()
      top = recall.top_by_index(index, users, seen, request.k)
    about["seconds_search"] = time.monotonic() - started
    _write(folder, histories.users, histories.lengths, users, recall, top)
    text = json.dumps(about, indent=1)
    (folder / RECALL_FILE).write_text(text + "\n", encoding="utf-8")
  return about


def _write(
    folder: Path,
    user_ids: list[str],
    lengths: np.ndarray,
    users: np.ndarray,
    recall: Recall,
    top: tuple[np.ndarray, np.ndarray],
) -> None:
  width = users.shape[1]
  embedding = lambda x: pl.Series(EMBEDDING, x, pl.Array(pl.Float32, width))
  table = pl.DataFrame({schema.USER_ID: user_ids, "num_events": lengths})
  table.with_columns(embedding(users)).write_parquet(
      folder / "users.parquet"
  )
  items = recall.vocabulary.items
  items.with_columns(embedding(recall.item_vectors)).write_parquet(
      folder / "items.parquet"
  )
  with (folder / "vectors.npz").open("wb") as file:
    np.savez(
        file,
        user_ids=np.array(user_ids, np.str_),
        users=users,
        item_ids=np.array(recall.vocabulary.ids, np.str_),
        items=recall.item_vectors,
    )
  scores, rows = top
  k = rows.shape[1]
  found = rows.ravel() >= 0
  pl.DataFrame({
      schema.USER_ID: np.repeat(np.array(user_ids, object), k)[found],
      "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), len(rows))[found],
      schema.DESIGN_ID: items[schema.DESIGN_ID].gather(rows.ravel()[found]),
      "score": scores.ravel()[found],
  }).write_parquet(folder / "top.parquet")
