"""A made-up run folder, whole, small, and hostile where one asks for it."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl

from tests.artifacts.example_records import EVALUATION
from tests.artifacts.example_records import PROBE
from tests.artifacts.example_records import RANKING

CONFIG = {
    "seed": 0,
    "total_steps": 4_000,
    "data": {"path": "/home/somebody/data/logs_2019", "max_length": 256},
    "model": {
        "name": "bert",
        "time_encoding": "gate",
        "num_layers": 3,
        "embed_dim": 128,
    },
    "eval": {"split": "test"},
}
_QUANTILES = ("p5", "p25", "p50", "p75", "p90", "p95", "p99")


def _split(counts, day, unseen):
  bars = [
      {"from": 2**n, "to": 2 ** (n + 1), "count": count}
      for n, count in enumerate(counts, 6)
  ]
  return {
      "num_sequences": sum(counts),
      "num_events": 2_897 * sum(counts),
      "num_users": 100,
      "start": f"2019-12-{day}T00:00:00Z",
      "end": "2019-12-18T23:59:59Z",
      "lengths": {
          "count": sum(counts),
          "mean": 2_897.2,
          "min": 64,
          "max": 20_491,
          "quantiles": dict.fromkeys(_QUANTILES, 2_058.5),
          "histogram": bars,
      },
      "num_pairs": 15_621,
      "coverage": [
          {"pairs": 1_000, "share": 0.953 - unseen},
          {"pairs": 50_000, "share": 1 - unseen},
      ],
      "pairs_not_in_train": round(700_000 * unseen),
      "events_not_in_train_share": unseen,
  }


_ROW = {"mean": 29, "quantiles": {"p5": 1, "p50": 7, "p95": 90, "p99": 400}}
DATA_REPORT = {
    "rows": 4_399_629,
    "num_events": 4_399_500,
    "num_users": 100,
    "num_pairs": 17_539,
    "start": "2019-12-04T00:00:00Z",
    "end": "2019-12-18T23:59:59Z",
    "unit": "user_day",
    "times": {"zone": "UTC", "read_as": ["without an offset, read as UTC"]},
    "splits": {
        "train": _split([12, 14, 29, 47, 444, 383, 102, 66, 3], "04", 0.0),
        "test": _split([10, 4, 9, 16, 150, 140, 47, 22, 2], "15", 0.0027),
    },
    "growth": [
        {"events": 10**n, "pairs": 2 * 4**n} for n in range(3, 7)
    ],
    "gaps": {
        "count": 4_398_129,
        "mean": 25.5,
        "zero_share": 0.579,
        "quantiles": dict.fromkeys(_QUANTILES, 3.5),
        "histogram": [
            {"from": 0.0, "to": 1e-6, "count": 2_548_627},
            {"from": 1e-6, "to": 1.0, "count": 0},
            {"from": 1.0, "to": 10.0, "count": 1_308_524},
            {"from": 10.0, "to": 1e4, "count": 540_272},
            {"from": 1e4, "to": None, "count": 706},
        ],
    },
    "sessions": {
        "sequences": 1_100,
        "events": 3_186_933,
        "learned": {
            "weights": [0.9, 0.1],
            "means": [1.0, 5.0],
            "stds": [1.0, 1.5],
            "threshold_seconds": 42.5,
            "log_likelihood": -1.9,
            "num_gaps": 1_200_000,
            "tick_seconds": 1.0,
        },
        "not_learned": None,
        "at_learned": {
            "seconds": 42.5, "sessions": 110_000, "quantiles_at": 45, **_ROW
        },
        "by_threshold": [
            {"seconds": seconds, "sessions": 3_300_000 // seconds, **_ROW}
            for seconds in (1, 10, 30, 45, 60, 600, 1_800)
        ],
        "histogram": [
            {"from": 0.5 * 2**n, "to": 2.0**n, "count": 600_000 // 2**n}
            for n in range(15)
        ],
    },
    "top_events": [
        {"event_id": f"4000{n:02d}", "count": n, "share": n / 99, "designs": 7}
        for n in range(20, 0, -1)
    ],
    "duplicates": {"rows": 4_916, "dropped": 0},
    "rejected": {"rows": 129, "by_reason": {"unreadable time": 129}},
    "sources": [
        {"name": "map.parquet", "rows": 4_399_629, "bytes": 13, "times": "UTC"}
    ],
}
DATASET = {
    "fingerprint": "8b0fcffd0d04d8e93d43a28228ac8a7f3c33a88e89e580821914c51e",
    "command": "python experiments/prepare.py --logs=/home/somebody/map.parquet"
               " --out=runs/logs_2019",
}
TOKENIZER = {
    "kind": "pair",
    "pairs": [["a", "0"], ["a", "1"]],
    "events": ["a", "b"],
    "fingerprint": "5" * 64,
}
RUN = {
    "layout": 2,
    "recipe": "pretrain",
    "command": "python experiments/train.py --workdir=/home/somebody/gate",
}


def metrics_lines(num_lines=80, every=50):
  """Lines of metrics.jsonl: noisy learning, two evaluations."""
  rng = np.random.default_rng(0)
  lines = []
  for n in range(1, num_lines + 1):
    loss = 1.3 + 5.7 * math.exp(-n / 9) + 0.05 * rng.normal()
    lines.append({
        "step": n * every,
        "loss": loss,
        "perplexity": math.exp(loss),
        "learning_rate": 0.002 * min(n / 8, 1) * (1 - n / (num_lines + 9)),
        "events_per_second": 14_000 - 9_000 / n,
        "seconds": 11.0 * n,
    })
    if n % (num_lines // 2) == 0:
      lines.append({
          "step": n * every,
          "eval/next_days/perplexity": math.exp(loss) * 1.1,
          "eval/new_users/perplexity": math.exp(loss) * 1.2,
          "eval/new_users/ndcg": 0.2,
      })
  return lines


def write_json(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))


def write_embeddings(path, num_users=60, days=2, dim=12, prefix="player"):
  """Three clouds of users; every third user is a bot. Returns the users."""
  rng = np.random.default_rng(1)
  users, rows = [f"{prefix}{n:04d}" for n in range(num_users)], num_users * days
  kinds, centres = np.arange(num_users) % 3, rng.normal(size=(3, dim)) * 4
  vectors = np.repeat(centres[kinds], days, axis=0) + rng.normal(
      size=(rows, dim)
  )
  table = pl.DataFrame({
      "user_id": np.repeat(users, days),
      "start": pl.Series([n * 86_400_000_000 for n in range(rows)]).cast(
          pl.Datetime("us", "UTC")
      ),
      "num_events": rng.lognormal(7, 1, rows).astype(int) + 1,
      "embedding": pl.Series(
          vectors.astype(np.float32), dtype=pl.Array(pl.Float32, dim)
      ),
  })
  path.parent.mkdir(parents=True, exist_ok=True)
  settings = {"pooling": "mean", "layer": 3, "unit": "user_day"}
  table.write_parquet(path, metadata={"behavior_lm": json.dumps(settings)})
  return users


def write_labels(path, users):
  """Bots are one cloud; churn is noise; the last two users have no label."""
  rng = np.random.default_rng(2)
  rows = [
      f"{user},{int(n % 3 == 0)},{int(rng.random() < 0.3)}"
      for n, user in enumerate(users[:-2])
  ]
  path.write_text("\n".join(["user_id,bot,churn", *rows]) + "\n")


def write_bare_run(folder: Path) -> Path:
  """Nothing but the config: a run that was only just begun."""
  write_json(folder / "config.json", CONFIG)
  return folder


def write_run(folder: Path, num_users=60) -> Path:
  """Everything; labels beside the run as labels.csv."""
  write_bare_run(folder)
  write_json(folder / "run.json", RUN)
  write_json(folder / "evaluations" / "masked.json", EVALUATION)
  write_json(folder / "evaluations" / "ranking.json", RANKING)
  write_json(folder / "probe.json", PROBE)
  write_json(folder / "data_report.json", DATA_REPORT)
  write_json(folder / "dataset.json", DATASET)
  lines = [json.dumps(line) + "\n" for line in metrics_lines()]
  (folder / "metrics.jsonl").write_text("".join(lines))
  write_json(folder / "tokenizer" / "tokenizer.json", TOKENIZER)
  write_json(
      folder / "checkpoints" / "4000" / "params" / "_METADATA",
      {
          "tree_metadata": {
              "a": {"value_metadata": {"write_shape": [7_000, 128]}},
              "b": {"value_metadata": {"write_shape": [128]}},
          }
      },
  )
  users = write_embeddings(
      folder / "embeddings" / "days.parquet", num_users=num_users
  )
  write_labels(folder.parent / "labels.csv", users)
  return folder
