"""The figures of the ingestion benchmark as Markdown."""

from collections.abc import Sequence
from typing import Any

from behavior_lm.common.markdown import table
from experiments.benchmarks.ingest import ingest_speed

Row = dict[str, Any]
CORES = (2, 16, 64, 256)


def to_markdown(result: dict[str, Any]) -> str:
  """The page experiments/results/ingest.md.

  Args:
    result: {"command", "machine", "rows" as ingest_speed.run_all gives them}.
  """
  parts = [
      "# From a log to a dataset: time, memory, disk",
      f"    {result['command']}",
      f"{result['machine']['cores']} cores ({result['machine']['kind']}). Every"
      " row is a run of its own, from the start of the process to its end; the"
      " memory is that of the largest process where there are several."
      " Synthetic logs: players like those of the real server, more of them."
      " `pandas` and `lifestream` are the programs in `peers/`; they hold the"
      " log in memory and check nothing.",
      _measured(result["rows"]),
      "Growth: b of seconds = a * events^b.",
      _growth(result["rows"]),
  ]
  return "\n\n".join(parts) + "\n"


def plan_to_markdown(
    rows: Sequence[Row], log_bytes: float, cores: Sequence[int] = CORES
) -> str:
  """What a log of `log_bytes` bytes needs, from what was measured."""
  plans = ingest_speed.plan(rows, log_bytes, cores)
  lines = [
      ("largest log measured, events", "measured_events", "{:,}"),
      ("growth, b of seconds = a * events^b", "exponent", "{:.2f}"),
      ("MB of log a second and core", "megabytes_a_core_second", "{:.1f}"),
      ("events in such a log", "events", "{:.2e}"),
      ("bytes between reading and sorting", "shuffle_bytes", "{:.2e}"),
      ("most disk at once, bytes", "disk_bytes", "{:.2e}"),
      ("dataset, bytes", "dataset_bytes", "{:.2e}"),
  ]
  cells = [
      [
          title,
          *(
              "-" if plan[key] is None else form.format(plan[key])
              for plan in plans
          ),
      ]
      for title, key, form in lines
  ]
  for count in cores:
    hours = [f"{plan['hours'][str(count)]:.1f}" for plan in plans]
    cells.append([f"hours on {count} cores", *hours])
  header = [
      f"a log of {log_bytes / 1e12:g} TB", *(plan["format"] for plan in plans)
  ]
  return table(header, cells)


def _measured(rows: Sequence[Row]) -> str:
  header = [
      "", "events", "log, MB", "seconds", "events/s", "core seconds",
      "peak memory, MB", "most disk, MB", "result, MB",
  ]  # fmt: skip
  return table(
      header,
      [
          [
              f"{row['subject']}, {row['format']}",
              f"{row['events']:,}",
              f"{row['log_bytes'] / 1e6:,.0f}",
              f"{row['seconds']:.1f}",
              f"{row['events_per_second']:,.0f}",
              f"{row['cpu_seconds']:.1f}",
              f"{row['peak_bytes'] / 1e6:,.0f}",
              f"{row['disk_bytes'] / 1e6:,.0f}" if row["disk_bytes"] else "-",
              f"{row['dataset_bytes'] / 1e6:,.0f}",
          ]
          for row in rows
      ],
  )


def _growth(rows: Sequence[Row]) -> str:
  found: dict[str, list[Row]] = {}
  for row in rows:
    found.setdefault(f"{row['subject']}, {row['format']}", []).append(row)
  lines = []
  for name, mine in found.items():
    power = ingest_speed.exponent(mine)
    sizes = [row["events"] for row in mine]
    lines.append([
        name,
        f"{min(sizes):,} to {max(sizes):,}",
        "-" if power is None else f"{power:.2f}",
    ])
  return table(["", "events", "b"], lines)
