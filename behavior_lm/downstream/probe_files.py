"""The probe from files to files: labels, dataset, embeddings -> probe.json."""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from behavior_lm.baselines.counts import build_user_features
from behavior_lm.baselines.counts import UserFeatures
from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.downstream import probe
from behavior_lm.downstream.cross_validation import file_name
from behavior_lm.downstream.embeddings import read_user_embeddings
from behavior_lm.downstream.labels import read_labels
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.dataset import EventSource


@dataclasses.dataclass(frozen=True)
class ProbeInput:
  """Features and labels of the same users, rows in the same order.

  Attributes:
    features: counts and gaps.
    vectors: [num_users, embed_dim] float32.
    labels: name -> [num_users] float64 of 0, 1 and nan (no label).
    notes: what a person should know about the join.
  """

  features: UserFeatures
  vectors: np.ndarray
  labels: dict[str, np.ndarray]
  notes: list[str]


def read_input(
    embeddings: str | Path,
    dataset: Dataset,
    labels: str | Path,
    *,
    splits: Sequence[str] = (),
    names: Sequence[str] = (),
    drop_contradictions: bool = False,
) -> ProbeInput:
  """Joins the three by user.

  Args:
    embeddings: a file of experiments/embed.py.
    dataset: where events are counted.
    labels: see `read_labels`.
    splits: of the dataset; all of them if empty.
    names: of the labels; all of them if empty.
    drop_contradictions: see `read_labels`.

  Raises:
    UserError: if a file is wrong or no user is in all three.
  """
  chosen = list(splits) or dataset.splits
  sources = [dataset.source(split) for split in chosen]
  columns = np.arange(dataset.pairs.height)
  try:
    features = build_user_features(_sequences(sources), columns)
  except ValueError as error:
    raise UserError(
        f"{dataset.path}: no event in the splits {', '.join(chosen)}."
    ) from error
  embedded = read_user_embeddings(embeddings)
  table = read_labels(
      labels,
      features.users,
      names,
      drop_contradictions=drop_contradictions,
  )
  notes = table.notes()
  row_of = {user: row for row, user in enumerate(embedded.users)}
  labelled = table.table
  keep = labelled["user_id"].is_in(embedded.users)
  without = labelled.height - int(keep.sum())
  if without:
    notes.append(f"{without} labelled users have no embedding, left out")
  labelled = labelled.filter(keep)
  users = labelled["user_id"].to_list()
  if not users:
    raise UserError(
        f"{embeddings}: none of the labelled users of {dataset.path} has an"
        " embedding. Was it made from this dataset?"
    )
  number = {user: row for row, user in enumerate(features.users)}
  features = features.take(np.array([number[user] for user in users]))
  rows = np.array([row_of[user] for user in users])
  notes += _other_events(features, embedded.num_events[rows], chosen)
  return ProbeInput(
      features=features,
      vectors=embedded.vectors[rows],
      labels={
          name: labelled[name].cast(float).fill_null(np.nan).to_numpy()
          for name in table.names
      },
      notes=notes,
  )


def fingerprint(data: ProbeInput) -> str:
  """SHA-256 over everything that the probes read."""
  digest = hashlib.sha256("\n".join(data.features.users).encode())
  for values in (
      data.vectors,
      data.features.gaps,
      data.features.counts.data,
      data.features.counts.indices,
      *data.labels.values(),
  ):
    digest.update(np.ascontiguousarray(values).tobytes())
  return digest.hexdigest()


def probe_labels(
    data: ProbeInput,
    *,
    num_folds: int = probe.NUM_FOLDS,
    seeds: Sequence[int] = probe.SEEDS,
    progress: Callable[[str], None] = lambda text: None,
    folder: Path | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
  """Rows of probe.json for every label that has users enough, and notes.

  Args:
    data: features and labels.
    num_folds, seeds: see `probe.run_probes`.
    progress: told the label, the probe and the seed that starts.
    folder: keeps what is finished, to go on after a kill.

  Raises:
    UserError: if no label has.
  """
  rows: list[dict[str, Any]] = []
  notes: list[str] = []
  request = [fingerprint(data), num_folds]
  for name, values in data.labels.items():
    known = np.flatnonzero(np.isfinite(values))
    truth = values[known].astype(np.int64)
    reason = probe.why_not(truth, num_folds)
    if reason:
      notes.append(f"label {name!r} is left out: {reason}")
      continue
    if known.size < values.size:
      notes.append(
          f"label {name!r}: {values.size - known.size} users have none"
      )
    blocks = probe.make_blocks(data.features.take(known), data.vectors[known])
    tell = functools.partial(_tell, progress, name)
    found = probe.run_probes(
        truth,
        blocks,
        num_folds=num_folds,
        seeds=seeds,
        progress=tell,
        find=functools.partial(_find, folder, request, name),
        keep=functools.partial(_keep, folder, request, name),
    )
    rows += [{"label": name, **row} for row in found]
  if not rows:
    raise UserError("nothing to probe: " + "; ".join(notes) + ".")
  return rows, notes


def read_oracle(path: str | Path) -> dict[str, Any]:
  """Best AUC that each label allows: {label: auc} or {label: {"auc": auc}}.

  Alone, or under "oracle" as in the truth file of experiments/generate.py.
  """
  try:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
  except (ValueError, RecursionError) as error:
    raise UserError(f"{path}: not readable as JSON ({error}).") from error
  oracle = content.get("oracle", content) if isinstance(content, dict) else None
  if not isinstance(oracle, dict):
    raise UserError(f"{path}: no object of label and AUC in it.")
  out = {}
  for label, value in oracle.items():
    value = value.get("auc") if isinstance(value, dict) else value
    if value is None:
      continue
    if isinstance(value, bool) or not isinstance(value, int | float):
      raise UserError(f"{path}: the AUC of {label!r} is {value!r}, no number.")
    out[label] = float(value)
  return out


def _find(
    folder: Path | None, request: Any, label: str, name: str, seed: int
) -> probe.Scored | None:
  if folder is None:
    return None
  task = file_name(f"{label} {name} {seed}")
  if resumable.finished(folder, task, request=request) is None:
    return None
  with np.load(folder / f"{task}.npz") as file:
    return file["scores"], file["chosen"]


def _keep(
    folder: Path | None,
    request: Any,
    label: str,
    name: str,
    seed: int,
    scored: probe.Scored,
) -> None:
  if folder is None:
    return
  task = file_name(f"{label} {name} {seed}")
  path = folder / f"{task}.npz"
  folder.mkdir(parents=True, exist_ok=True)
  with whole_file(path) as temporary, temporary.open("wb") as file:
    np.savez(file, scores=scored[0], chosen=scored[1])
  written = [resumable.output(folder, path)]
  resumable.finish(folder, task, {}, written, request=request)


def _tell(progress: Callable[[str], None], label: str, probe_name: str) -> None:
  progress(f"{label}: {probe_name}")


def _sequences(sources: Sequence[EventSource]) -> Iterator[dict[str, Any]]:
  for source in sources:
    for index in range(len(source)):
      yield source[index]


def _other_events(
    features: UserFeatures, embedded: np.ndarray, splits: Sequence[str]
) -> list[str]:
  """A note when vectors and counts do not stand for the same events."""
  different = int((features.num_events != embedded).sum())
  if not different:
    return []
  return [
      f"the vectors of {different} users stand for other events than the counts"
      f" (in all {embedded.sum():,} against {features.num_events.sum():,} in"
      f" {', '.join(splits)}): embed and count the same splits to compare them"
  ]
