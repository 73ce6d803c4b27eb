"""A made-up run folder, whole, small, and hostile where one asks for it."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import polars as pl

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
OLD_EVALUATION = {
    "data": "logs_2019",
    "mask_rate": 0.15,
    "rows": [{"model": "bert (gate)", "perplexity": 3.4}],
}
HASH = "0123456789ab"


def _column(name, title, form, better):
  return {"name": name, "title": title, "format": form, "better": better}


def _row(model, kind, values, gap=None):
  """Values of perplexity, accuracy and bits per event."""
  row = {
      "model": model,
      "kind": kind,
      "seed": 0 if kind == "model" else None,
      "config_hash": HASH if kind == "model" else None,
      "values": dict(
          zip(("perplexity", "accuracy", "bits_per_event"), values, strict=True)
      ),
      "ci": {"bits_per_event": [values[2] - 0.04, values[2] + 0.04]},
      "difference": None,
  }
  if gap is not None:
    row["difference"] = {
        "baseline": "neighbours (masked context)",
        "value": gap,
        "ci": [gap - 0.0222, gap + 0.0205],
        "p": 0.0009995,
    }
  return row


EVALUATION = {
    "layout": 2,
    "evaluator": "masked_events",
    "title": "Masked events",
    "command": "python experiments/evaluate.py --runs runs/gate"
               " --data=/home/somebody/data/logs_2019",
    "data": "logs_2019",
    "data_fingerprint": "8b0fcffd0d04",
    "split": "test",
    "settings": {"mask_rate": 0.15, "mask_seed": 0},
    "counts": {"targets": 181_904, "events": 1_212_696, "users": 100},
    "columns": [
        _column("perplexity", "perplexity per token", ".2f", "low"),
        _column("accuracy", "accuracy", ".2%", "high"),
        _column("bits_per_event", "bits per event", ".3f", "low"),
    ],
    "main": "bits_per_event",
    "notes": ["The mask is the same for every row."],
    "rows": [
        _row("bert (gate)", "model", (3.412, 0.6712, 1.8013), -0.2711),
        _row("bert (none)", "model", (4.9, 0.61, 2.31), 0.2376),
        _row("unigram", "baseline", (171.9, 0.0694, 7.4431)),
        _row("neighbours (masked context)", "baseline", (4.12, 0.6401, 2.0724)),
        _row("sees everything", "reference", (3.31, 0.7, 1.7424)),
    ],
}
# Another evaluator, whose main column is better when it is high.
RANKING = {
    **EVALUATION,
    "evaluator": "ranking",
    "title": "Next item",
    "settings": {},
    "columns": [_column("ndcg", "NDCG@10", ".4f", "high")],
    "main": "ndcg",
    "notes": [],
    "rows": [
        EVALUATION["rows"][0]
        | {
            "model": "tower",
            "values": {"ndcg": 0.1234},
            "ci": {},
            "difference": {
                "baseline": "popular",
                "value": 0.0534,
                "ci": [0.04, 0.07],
                "p": 0.012,
            },
        },
        EVALUATION["rows"][2]
        | {"model": "popular", "values": {"ndcg": 0.07}, "ci": {}},
    ],
}


def _probe_row(label, features, auc, f1, p):
  return {
      "label": label,
      "features": features,
      "auc": auc,
      "auc_ci": [auc - 0.03, min(auc + 0.03, 1.0)],
      "f1": f1,
      "folds": 5,
      "seeds": [0, 1, 2],
      "p_vs_event_counts": p,
  }


PROBE = {
    "rows": [
        _probe_row("bot", "embedding", 0.953, 0.88, 0.0004),
        _probe_row("bot", "event counts", 0.871, 0.79, None),
        _probe_row("bot", "embedding + event counts", 0.955, 0.89, 0.0002),
        _probe_row("churn", "embedding", 0.741, 0.61, 0.021),
        _probe_row("churn", "event counts", 0.802, 0.66, None),
    ],
    "num_users": 240,
    "oracle": {"bot": 0.971},
    "notes": ["2 users of the data without a label ('player0001', ...)"],
    "command": "python experiments/probe.py --labels labels.csv",
}


def _lengths(counts, first):
  return {
      "count": sum(counts),
      "mean": 2_897.2,
      "min": first,
      "max": 20_491,
      "quantiles": {"p5": 534.4, "p50": 2_058.5, "p95": 9_058.9},
      "histogram": [
          {"from": first * 2**n, "to": first * 2 ** (n + 1), "count": count}
          for n, count in enumerate(counts)
      ],
  }


def _split(counts, start, end, unseen):
  return {
      "num_sequences": sum(counts),
      "num_events": 2_897 * sum(counts),
      "num_users": 100,
      "start": start,
      "end": end,
      "lengths": _lengths(counts, 64),
      "num_pairs": 15_621,
      "coverage": [
          {"pairs": 1_000, "share": 0.953 - unseen},
          {"pairs": 7_000, "share": 0.997 - unseen},
          {"pairs": 50_000, "share": 1 - unseen},
      ],
      "pairs_not_in_train": round(700_000 * unseen),
      "events_not_in_train_share": unseen,
  }


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
        "train": _split(
            [12, 14, 29, 47, 444, 383, 102, 66, 3],
            "2019-12-04T00:00:00Z",
            "2019-12-14T23:59:57Z",
            0.0,
        ),
        "test": _split(
            [10, 4, 9, 16, 150, 140, 47, 22, 2],
            "2019-12-15T00:00:00Z",
            "2019-12-18T23:59:59Z",
            0.0027,
        ),
    },
    "growth": [
        {"events": 1_000, "pairs": 187},
        {"events": 10_000, "pairs": 714},
        {"events": 100_000, "pairs": 2_481},
        {"events": 1_000_000, "pairs": 9_267},
        {"events": 3_186_933, "pairs": 15_621},
    ],
    "gaps": {
        "count": 4_398_129,
        "mean": 25.5,
        "zero_share": 0.579,
        "quantiles": {"p5": 0.0, "p50": 0.0, "p99": 591.0},
        "histogram": [
            {"from": 0.0, "to": 1e-6, "count": 2_548_627},
            *(
                {"from": 10.0**n, "to": 10.0 ** (n + 1), "count": 0}
                for n in range(-6, 0)
            ),
            {"from": 1.0, "to": 10.0, "count": 1_308_524},
            {"from": 10.0, "to": 100.0, "count": 418_973},
            {"from": 100.0, "to": 1e3, "count": 102_809},
            {"from": 1e3, "to": 1e4, "count": 18_490},
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
            "seconds": 42.5,
            "sessions": 110_000,
            "mean": 28.97,
            "quantiles_at": 45,
            "quantiles": {"p5": 1, "p50": 7, "p95": 90, "p99": 400},
        },
        "by_threshold": [
            {
                "seconds": seconds,
                "sessions": 3_300_000 // seconds,
                "mean": 0.9657 * seconds,
                "quantiles": {"p5": 1, "p50": seconds, "p95": 5 * seconds,
                              "p99": 9 * seconds},
            }
            for seconds in (1, 10, 30, 45, 60, 600, 1_800)
        ],
        "histogram": [
            {"from": 0.5 * 2**n, "to": 2.0**n, "count": 600_000 // 2**n}
            for n in range(15)
        ],
    },
    "top_events": [
        {
            "event_id": f"4000{n:02d}",
            "count": 221_158 // n,
            "share": 0.0694 / n,
            "designs": 1 + 300 * (n % 3),
        }
        for n in range(1, 21)
    ],
    "duplicates": {"rows": 4_916, "dropped": 0},
    "rejected": {
        "rows": 129,
        "by_reason": {"unreadable time": 120, "no user": 9},
    },
    "sources": [
        {
            "name": "map.parquet",
            "rows": 4_399_629,
            "bytes": 13_905_878,
            "times": "without an offset, read as UTC",
        }
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
        "accuracy": 0.68 - 0.6 * math.exp(-n / 12) + 0.005 * rng.normal(),
        "perplexity": math.exp(loss),
        "learning_rate": 0.002 * min(n / 8, 1) * (1 - n / (num_lines + 9)),
        "events_per_second": 14_000 - 9_000 / n + 400 * rng.normal(),
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
  users = [f"{prefix}{n:04d}" for n in range(num_users)]
  centres = rng.normal(size=(3, dim)) * 4
  kinds = np.arange(num_users) % 3
  rows = num_users * days
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


def changed(content, path, value):
  """A copy of a JSON value with the place `path`, "rows/0/model", set."""
  out = copy.deepcopy(content)
  place = out
  *steps, last = path.split("/")
  for step in steps:
    place = place[int(step) if isinstance(place, list) else step]
  place[int(last) if isinstance(place, list) else last] = value
  return out
