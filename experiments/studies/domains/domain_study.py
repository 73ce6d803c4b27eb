"""The runs of the comparison, each one kept on disk."""

from collections.abc import Iterator
import dataclasses
import json
from pathlib import Path
import time
from typing import Any

import ml_collections
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from behavior_lm.common.files import write_whole
from behavior_lm.data.prompts.features import PromptFeatures
from behavior_lm.evaluation.domain_scores import domain_figures
from behavior_lm.recipes.domain_run import DomainPredictions
from behavior_lm.recipes.domain_run import predict_run
from behavior_lm.recipes.shared.domain_data import DomainData
from behavior_lm.recipes.train import train
from configs import domains as domains_config
from configs import prompts as prompts_config
from experiments.studies.domains import screens

PARTS = (
    *("linear", "towers", "poolings", "language_towers", "adaptations"),
    *("zero_shot", "adapted_towers"),
)
# What needs no language model.
_WITHOUT = ("linear", "towers")
STRUCTURES = ("cgc", "single", "mmoe", "ple", "separate")
ADAPTATIONS = ("head", "lora", "prefix", "full", "soft")


@dataclasses.dataclass(frozen=True)
class Study:
  """See the head of run.py.

  Attributes:
    sources: {domain: file}.
    language: run folder of an imported language model; empty is none.
    work: folder of the runs.
    seeds: of each kind of towers.
    steps, adapt_steps: of towers, of an adaptation.
    dtype: of the language model's computation.
    screen_rows, screen_test_rows: that the screen of poolings reads.
    parts: of `PARTS`, those to run.
  """

  sources: dict[str, str]
  language: str
  work: Path
  seeds: int
  steps: int
  adapt_steps: int
  dtype: str
  screen_rows: int = 1_024
  screen_test_rows: int = 1_500
  parts: tuple[str, ...] = PARTS

  def run(self) -> Iterator[dict[str, Any]]:
    """The result after each part: {"setting": ..., "rows": [...]}."""
    data = DomainData(self._prompts_config().prompts)
    rows: list[dict[str, Any]] = []

    def result(*new: dict[str, Any]) -> dict[str, Any]:
      rows.extend(new)
      return {"setting": self._setting(data), "rows": rows}

    def part(name: str) -> bool:
      return name in self.parts and (bool(self.language) or name in _WITHOUT)

    if part("linear"):
      yield result(*self._linear(data))
    if part("towers"):
      for structure in STRUCTURES:
        yield result(self._towers(structure, "no", ""))
    if part("poolings"):
      yield result(*screens.pooling_rows(self, data))
    if part("language_towers"):
      for structure in STRUCTURES:
        yield result(self._towers(structure, "MiniLM", self.language))
    if part("adaptations"):
      for mode in ADAPTATIONS:
        yield result(self._adapted(mode))
    if part("zero_shot"):
      for left_out in self.sources:
        for label, run in (("no", ""), ("MiniLM", self.language)):
          yield result(self._towers("cgc", label, run, left_out=left_out))
    if part("adapted_towers"):
      self._adapted("lora")
      run = str(self._folder("adapt_lora"))
      yield result(self._towers("cgc", "MiniLM, lora", run))

  def kept(self, name: str, compute: Any) -> Any:
    """`compute()` once: JSON that is read again afterwards."""
    path = self.work / f"{name}.json"
    if not path.exists():
      self.work.mkdir(parents=True, exist_ok=True)
      found = compute()
      write_whole(path, json.dumps(found, indent=1) + "\n")
    return json.loads(path.read_text())

  def _folder(self, name: str) -> Path:
    return self.work / name

  def _prompts_config(self, arg: str = "") -> ml_collections.ConfigDict:
    config = prompts_config.get_config(arg)
    config.prompts.sources.update(self.sources)
    return config

  def _setting(self, data: DomainData) -> dict[str, Any]:
    parts = data.frame.group_by("domain", "split").len().sort("domain", "split")
    test = data.frame[data.rows["test"]]
    return {
        "rows": {f"{d} {s}": n for d, s, n in parts.iter_rows()},
        "test_share_liked": {
            name: round(float(part["label"].to_numpy().mean()), 4)
            for (name,), part in sorted(test.partition_by(
                "domain", as_dict=True
            ).items())
        },
        "steps": self.steps,
        "adapt_steps": self.adapt_steps,
        "dtype": self.dtype,
        "seeds": self.seeds,
        "screen_rows": self.screen_rows,
        "screen_test_rows": self.screen_test_rows,
    }

  def _linear(self, data: DomainData) -> list[dict[str, Any]]:
    return [
        self.kept(f"linear_{name}", lambda n=name: _linear_row(data, n))
        for name in ("ids", "ids and statistics")
    ]

  def _towers(
      self, structure: str, label: str, run: str, *, left_out: str = ""
  ) -> dict[str, Any]:
    """Trains towers with some seeds; means of their figures."""
    name = "_".join(filter(None, ["towers", structure, label, left_out]))
    name = name.replace(" ", "").replace(",", "_")

    def compute() -> dict[str, Any]:
      found, started = [], time.process_time()
      for seed in range(1 if left_out else self.seeds):
        config = domains_config.get_config(
            f"structure={structure},language={run}"
        )
        config.seed = seed
        config.prompts.sources.update(self.sources)
        config.prompts.left_out = left_out
        config.language.cache = str(self.work / "vectors")
        config.language.dtype = self.dtype
        config.total_steps = self.steps
        config.evals.valid.every = max(self.steps // 4, 1)
        config.evals.test.every = 0
        config.log_every = config.checkpoint_every = self.steps
        folder = self._folder(f"{name}_seed{seed}")
        train(config, folder)
        found.append(predict_run(folder))
      row = {
          "kind": "zero-shot" if left_out else "towers",
          "model": structure,
          "language": label,
          "left_out": left_out,
          "cpu_seconds": round(time.process_time() - started, 1),
      }
      return row | summary(found)

    return self.kept(name, compute)

  def _adapted(self, mode: str) -> dict[str, Any]:
    """Adapts the language model; its own head predicts."""
    folder = self._folder(f"adapt_{mode}")

    def compute() -> dict[str, Any]:
      started = time.process_time()
      config = self._prompts_config(f"run={self.language},mode={mode}")
      config.encoder.dtype = self.dtype
      config.total_steps = self.adapt_steps
      config.data.batch_size = 8
      # The last checkpoint is measured, on test, once.
      config.evals.valid.every = config.evals.test.every = 0
      config.keep_best.metric = ""
      config.log_every = max(self.adapt_steps // 4, 1)
      config.checkpoint_every = self.adapt_steps
      train(config, folder)
      seconds = time.process_time() - started
      row = {
          "kind": "language model alone",
          "mode": mode,
          "model": mode,
          "language": "MiniLM",
          "cpu_seconds": round(seconds, 1),
      }
      row |= screens.adaptation_size(folder)
      return row | summary([predict_run(folder)])

    return self.kept(folder.name, compute)


def summary(found: list[DomainPredictions]) -> dict[str, Any]:
  """Mean figures over runs, and the intervals of the first over users."""
  figures = [
      domain_figures(one.domains, one.labels, one.scores) for one in found
  ]
  of = lambda name: [run[name] for run in figures]
  return {
      "figures": {name: float(np.mean(of(name))) for name in figures[0]},
      "range": {name: float(np.ptp(of(name))) for name in figures[0]},
      "runs": len(found),
      "intervals": screens.auc_intervals(found[0]),
  }


def _linear_row(data: DomainData, name: str) -> dict[str, Any]:
  """Logistic regression; its penalty is chosen on valid."""
  started = time.process_time()
  features = PromptFeatures.fit(data.frame, min_count=1)
  ids = features.ids(data.frame)
  encoder = OneHotEncoder(handle_unknown="ignore").fit(ids[data.rows["train"]])
  dense = features.dense(data.frame) if "statistics" in name else None

  def columns(rows: np.ndarray) -> Any:
    from scipy import sparse

    parts = [encoder.transform(ids[rows])]
    if dense is not None:
      parts.append(sparse.csr_matrix(dense[rows]))
    return sparse.hstack(parts).tocsr()

  def predict(split: str, penalty: float) -> DomainPredictions:
    train = data.rows["train"]
    model = LogisticRegression(C=penalty, max_iter=300)
    model.fit(columns(train), data.labels[train, 0])
    rows = data.rows[split]
    frame = data.frame[rows]
    return DomainPredictions(
        frame["domain"].to_numpy(),
        frame["user_id"].to_numpy(),
        frame["label"].to_numpy(),
        model.predict_proba(columns(rows))[:, 1],
    )

  def on_valid(penalty: float) -> float:
    one = predict("valid", penalty)
    return domain_figures(one.domains, one.labels, one.scores)["auc"]

  penalty = max((0.03, 0.1, 0.3, 1.0, 3.0), key=on_valid)
  found = predict("test", penalty)
  row = {
      "kind": "logistic regression",
      "model": name,
      "language": "no",
      "penalty": penalty,
      "cpu_seconds": round(time.process_time() - started, 1),
  }
  return row | summary([found])
