"""A result of experiments/studies/encoders/run.py, as its JSON holds it."""

GAP = {"value": -0.242, "ci": [-0.265, -0.222], "p": 0.0009995}


def run_row(name, bits, perplexity, accuracy, **run):
  return {
      "model": name,
      "kind": "model",
      "values": {
          "perplexity": perplexity,
          "accuracy": accuracy,
          "bits_per_event": bits,
      },
      "ci": {"bits_per_event": [bits - 0.163, bits + 0.168]},
      "seed": run.get("seed", 0),
      "difference": GAP | {"baseline": "neighbours"},
      "run": {
          "seed": 0,
          "length": 2048,
          "rows": 2,
          "steps": 1800,
          "tokens_per_second": 8192.4,
          "events_per_second": 8100.0,
          "minutes": 15.1,
          "wall_minutes": 15.6,
          "num_params": 1_530_000,
          "padding_share": 0.0105,
          "code": "abc1234+",
      } | run,
      "curve": [
          {"step": 100, "minutes": 1.0, "loss": 6.0},
          {"step": 200, "minutes": 2.0, "loss": 4.0},
      ],
  }


def baseline_row(name, bits):
  return {
      "model": name,
      "kind": "baseline",
      "values": {"perplexity": 2.55, "accuracy": 0.77, "bits_per_event": bits},
      "ci": {"bits_per_event": [bits - 0.1, bits + 0.1]},
      "difference": None,
  }


BASELINES = [
    baseline_row("unigram", 7.9),
    baseline_row("neighbours (masked context)", 1.818),
    baseline_row("neighbours (full context)", 1.568),
]
LATER = {"value": 0.3, "ci": [0.25, 0.35], "p": 0.001}
RESULT = {
    "data": "logs",
    "split": "test",
    "machine": "2 cores",
    "minutes": 15.0,
    "num_events": 1_212_696,
    "num_users": 100,
    "mask_rate": 0.15,
    "mask_seed": 0,
    "figure": "encoders.png",
    "command": "python experiments/studies/encoders/run.py --data DATA",
    "groups": [
        {
            "tokens": "pair",
            "vocab_size": 7000,
            "num_masked": 181_909,
            "num_hidden_events": 181_909,
            "best": "bert",
            "rows": [
                run_row("bert", 1.576, 2.154, 0.815),
                run_row("bert_seed1", 1.876, 2.654, 0.75, seed=1)
                | {"difference_to_best": LATER},
                *BASELINES,
            ],
        },
        {
            "tokens": "bpe",
            "vocab_size": 50_000,
            "num_masked": 36_000,
            "num_hidden_events": 180_000,
            "best": "bert_bpe",
            "rows": [run_row("bert_bpe", 1.2, 60.0, 0.4), *BASELINES],
        },
    ],
    "same_events": [
        {
            "model": "bert_bpe",
            "num_hidden_events": 180_000,
            "bits_per_event_chains": 1.2,
            "bits_per_event_single": 2.4,
            "difference": GAP,
        }
    ],
}
