"""The page of the comparison."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.common.markdown import table

_KINDS = (
    ("logistic regression", "Logistic regression over one-hot ids"),
    ("towers", "Experts and towers, language model frozen"),
    ("language model alone", "The language model alone, its own head predicts"),
    (
        "pooling of a frozen language model",
        "Pooling over a frozen language model, linear head; a sample of rows",
    ),
    ("zero-shot", "A domain that nothing was trained on (its own column)"),
)


def to_markdown(result: Mapping[str, Any]) -> str:
  """The tables of a result of `domain_study.Study`."""
  setting, rows = result["setting"], result["rows"]
  domains = list(setting["test_share_liked"])
  parts = [
      "# Several domains, one language model",
      "",
      "AUC on each domain's last fifth in time; [95 % interval over users of"
      " the first run]; mean over domains; log loss. CPU: seconds of all cores"
      " and all seeds, compilation included.",
      "",
      f"Towers: {setting['steps']} steps of 256 rows, mean over"
      f" {setting['seeds']} seed(s) (+- half the range). Adaptations:"
      f" {setting['adapt_steps']} steps of 8 packed rows of 128 tokens, one"
      f" seed. Poolings: {setting['screen_rows']:,} training rows and"
      f" {setting['screen_test_rows']:,} test rows at random. Rows: "
      + ", ".join(f"{name} {n:,}" for name, n in setting["rows"].items())
      + ".",
  ]
  for kind, title in _KINDS:
    own = [row for row in rows if row["kind"] == kind]
    if own:
      parts += ["", f"## {title}", "", _table(own, domains)]
  return "\n".join(parts) + "\n"


def _table(rows: list[dict[str, Any]], domains: list[str]) -> str:
  sizes = "checkpoint_kilobytes" in rows[0]
  header = ["model", "language model", *domains, "mean AUC", "log loss", "CPU"]
  header += ["trained", "of them in the encoder", "checkpoint"] * sizes
  lines = []
  for row in rows:
    left_out = row.get("left_out", "")
    line = [row["model"], row["language"]]
    line += [
        _auc(row, name) if left_out in ("", name) else "" for name in domains
    ]
    if left_out:
      line += ["", f"{row['figures'][f'{left_out}/log_loss']:.4f}"]
    else:
      mean = f"{row['figures']['auc']:.4f}"
      if row["runs"] > 1:
        mean += f" +- {row['range']['auc'] / 2:.4f}"
      line += [mean, f"{row['figures']['log_loss']:.4f}"]
    line.append(f"{row['cpu_seconds']:.0f} s")
    if sizes:
      line += [
          f"{row['trained_parameters']:,}",
          f"{row['trained_in_encoder']:,}",
          f"{row['checkpoint_kilobytes']:,.0f} kB",
      ]
    lines.append(line)
  return table(header, lines)


def _auc(row: Mapping[str, Any], domain: str) -> str:
  low, high = row["intervals"][domain]
  return f"{row['figures'][f'{domain}/auc']:.4f} [{low:.3f}, {high:.3f}]"
