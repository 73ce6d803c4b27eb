"""The speed of encoders as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from behavior_lm.common.markdown import table

Row = Mapping[str, Any]
_TITLES = {
    "train": "Training steps beside transformers",
    "forward": "Forward passes beside transformers",
}
_SIDES = ("ours_masked", "ours_all", "theirs")
_FLOPS = ("masked", "all", "theirs")
# Where parameters differ, and why.
_DIFFERENCES = {
    "modern": (
        "modern: ours has a norm before the first layer's attention (one scale"
        " of the width) that theirs leaves out"
    ),
    "reformer": (
        "reformer: theirs has an output table of its own, of twice the width,"
        " and the work of that in its head (last column of the shares): 'all'"
        " is not the same work there. It has no biases in projections; ours"
        " uses the input table, norms the embeddings and joins the two streams."
        " Both: local and hashing layers in turn, two rounds, 128 keys a query"
        " and round"
    ),
}
_IN_TRAINING = {
    "reformer": (
        "Both are reversible; but ours keeps its last layer where theirs"
        " computes it again. '(states kept)': ours is not reversible there and"
        " computes nothing again, for the memory of other models; values and"
        " gradients are the same"
    ),
}


def key(row: Row) -> tuple[Any, ...]:
  """What makes a row the same measurement as an older one."""
  case = row["case"]
  names = (
      "mode", "model", "length", "batch_size", "dtype", "num_layers",
      "embed_dim", "vocab_size",
  )  # fmt: skip
  compared = "theirs" in row.get("versions", {})
  kept = case["own"].get("reversible", True)
  return (*(case[name] for name in names), *case["heads"], compared, kept)


def merge(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
  """Older rows, replaced where measured again; new ones behind."""
  rows = {key(row): row for row in old}
  rows |= {key(row): row for row in new}
  return list(rows.values())


def made_by(rows: Sequence[Row]) -> str:
  """The commands that made rows, each with the commits that it was run at."""
  commits: dict[str, list[str]] = {}
  for row in rows:
    found = commits.setdefault(row["command"], [])
    if row.get("commit") and row["commit"] not in found:
      found.append(row["commit"])
  lines = [
      f"    {command}" + (f"  # at {', '.join(found)}" if found else "")
      for command, found in commits.items()
  ]
  return "Made by:\n\n" + "\n".join(lines)


def to_markdown(result: Mapping[str, Any]) -> str:
  """The page experiments/results/train.md or forward.md.

  Args:
    result: {"mode", "machine", "rows" of `encoder_race.race`, each with the
      "command" and perhaps the "commit" that made it}.
  """
  rows = result["rows"]
  parts = [
      f"# {_TITLES[result['mode']]}",
      made_by(rows),
      _settings(result),
      _speeds(rows),
      "Share of the peak: of what plain float32 or bfloat16 products of 4096 x"
      " 256 by 256 x 1024 reach in the same run, the better of jax's and"
      " torch's. Operations are those that the architecture needs, in"
      " products alone: the pairs in the window and of global tokens, not"
      " what a kernel computes besides, and nothing that is computed again."
      " The peak is another in each row, so shares of one row can be compared,"
      " not those of two.",
      _shares(rows),
      _parameters(rows, result["mode"]),
  ]
  return "\n\n".join(part for part in parts if part) + "\n"


def _settings(result: Mapping[str, Any]) -> str:
  rows, machine = result["rows"], result["machine"]
  case = rows[0]["case"]
  versions: dict[str, str] = {}
  for row in rows:
    for side, found in row["versions"].items():
      text = ", ".join(f"{name} {number}" for name, number in found.items())
      versions[f"{side}: {text}"] = ""
  flags = " ".join(dict.fromkeys(row["xla_flags"] for row in rows)).strip()
  work = {
      "train": (
          "A step: forward, loss, backward, clipping by the global norm, AdamW"
          " (theirs fused). Ours also draws its masks; theirs gets them ready."
      ),
      "forward": "A pass from tokens to logits, without a loss.",
  }[result["mode"]]
  return (
      f"{machine['cores']} cores ({machine['kind']}),"
      f" {case['threads']} threads; {'; '.join(versions)};"
      f" XLA_FLAGS: {flags or 'none'}."
      f" {case['num_layers']} layers, width {case['embed_dim']},"
      f" {case['num_heads']} heads, feed-forward {case['mlp_dim']}, vocabulary"
      f" {case['vocab_size']:,}; parameters float32; no dropout; learned"
      " positions and norms after each part (modern: rotary, before); no time"
      " encoding; full rows of one segment; theirs eager (no torch.compile),"
      " with sdpa attention where it has it; both keep freed memory (glibc's"
      f" MALLOC_ settings of `host_memory`). {work} bfloat16: ours computes in"
      " it, states between layers too (Reformer's streams: float32), theirs"
      " under autocast. The two take turns, one idle while the other works;"
      f" {_range(row['repeats'] for row in rows)} turns, medians, quartiles in"
      " brackets; a ratio is taken in each turn, then their median. 'masked':"
      f" ours predicts at the {case['mask_rate']:.0%} masked positions alone;"
      " the last layer then makes only those states behind its attention (with"
      " dense attention only their queries, too), which of"
      f" {case['num_layers']} layers is much, of more less. 'all': at all"
      " positions, as theirs."
      + (
          " Theirs predicts at masked positions too where it can, and is"
          " compared so there."
          if any("theirs_masked" in row["tokens_per_second"] for row in rows)
          else ""
      )
  )


def _range(values: Any) -> str:
  found = sorted(set(values))
  return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _name(row: Row) -> str:
  case = row["case"]
  kept = "" if case["own"].get("reversible", True) else " (states kept)"
  return f"{case['model']}{kept}, {case['batch_size']} x {case['length']:,}"


def _speeds(rows: Sequence[Row]) -> str:
  header = [
      "tokens/s", "type", "ours, masked", "ours, all", "transformers",
      "ratio, masked", "ratio, all",
  ]  # fmt: skip
  lines = []
  for row in rows:
    cells = [_name(row), row["case"]["dtype"]]
    for side in _SIDES:
      if side in row["tokens_per_second"]:
        low, high = row["quartiles"][side]
        speed = row["tokens_per_second"][side]
        text = f"{speed:,.0f} ({low:,.0f} to {high:,.0f})"
        sparse = row["tokens_per_second"].get(f"{side}_masked")
        cells.append(text + (f"; masked {sparse:,.0f}" if sparse else ""))
      else:
        cells.append("-")
    for side in _SIDES[:2]:
      if side in row.get("ratio", {}):
        low, high = row["ratio_quartiles"][side]
        cells.append(f"{row['ratio'][side]:.2f} ({low:.2f} to {high:.2f})")
      else:
        cells.append("-")
    lines.append(cells)
  return table(header, lines)


def _shares(rows: Sequence[Row]) -> str:
  header = [
      "share of the peak", "type", "ours, masked", "ours, all", "transformers",
      "peak GFLOP/s, jax", "torch", "GFLOP a step, masked", "all",
      "transformers",
  ]  # fmt: skip
  lines = []
  for row in rows:
    shares = [row["share"].get(side) for side in _SIDES]
    peaks = [_peak(row, side) for side in ("ours", "theirs")]
    lines.append([
        _name(row),
        row["case"]["dtype"],
        *("-" if share is None else f"{share:.0%}" for share in shares),
        *peaks,
        *(f"{row['flops'][head] / 1e9:,.1f}" for head in _FLOPS),
    ])
  return table(header, lines)


def _peak(row: Row, side: str) -> str:
  if side not in row["gemm_gflops"]:
    return "-"
  text = f"{row['gemm_gflops'][side]:,.0f}"
  # Older rows do not tell how it varied.
  if "gemm_quartiles" not in row:
    return text
  low, high = row["gemm_quartiles"][side]
  return f"{text} ({low:,.0f} to {high:,.0f})"


def _parameters(rows: Sequence[Row], mode: str) -> str:
  found = {}
  for row in rows:
    counts = row["num_params"]
    if "theirs" in counts:
      found[row["case"]["model"]] = (counts["ours"], counts["theirs"])
  if not found:
    return ""
  lines = [
      [name, f"{ours:,}", f"{theirs:,}", f"{ours - theirs:+,}"]
      for name, (ours, theirs) in found.items()
  ]
  notes = []
  for name, (ours, theirs) in found.items():
    if ours != theirs and name in _DIFFERENCES:
      told = [_DIFFERENCES[name]]
      if mode == "train" and name in _IN_TRAINING:
        told.append(_IN_TRAINING[name])
      notes.append(". ".join(told) + ".")
  text = table(["parameters", "ours", "transformers", "difference"], lines)
  return "\n\n".join([text, *notes])
