"""Records of a made-up run: evaluations and a probe."""

import copy

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


def changed(content, path, value):
  """A copy of a JSON value with the place `path`, "rows/0/model", set."""
  out = copy.deepcopy(content)
  place = out
  *steps, last = path.split("/")
  for step in steps:
    place = place[int(step) if isinstance(place, list) else step]
  place[int(last) if isinstance(place, list) else last] = value
  return out
