"""The data report as Markdown, and its short form for the screen."""

import math
from typing import Any

from behavior_lm.common.markdown import table


def to_markdown(report: dict[str, Any]) -> str:
  """The whole report."""
  parts = ["# Data report", _overview(report), *_warnings(report)]
  parts.append(_splits(report))
  parts += [_extras(report)] if report["extras"] else []
  parts += [_coverage(report), _growth(report), _lengths(report)]
  parts += [_gaps(report), _sessions(report), _top_events(report)]
  parts.append(_rejected(report))
  parts.append(_sources(report))
  return "\n\n".join(parts) + "\n"


def to_screen(report: dict[str, Any], vocab_size: int = 7_000) -> str:
  """A few lines: splits, coverage, rejected rows."""
  lines = []
  for name, part in report["splits"].items():
    share = next(
        row["share"] for row in part["coverage"] if row["pairs"] == vocab_size
    )
    lines.append(
        f"{name}: {part['num_sequences']:,} sequences,"
        f" {part['num_events']:,} events, {part['num_users']:,} users;"
        f" {vocab_size:,} most frequent train pairs cover {share:.2%}"
    )
  lines.append(
      f"{report['num_pairs']:,} distinct (event, design) pairs; times are"
      f" {' | '.join(report['times']['read_as'])}"
  )
  rejected = report["rejected"]
  reasons = ", ".join(
      f"{count:,} {reason}" for reason, count in rejected["by_reason"].items()
  )
  lines.append(
      f"rejected: {rejected['rows']:,} of {report['rows']:,} rows"
      + (f" ({reasons}; see quarantine.jsonl)" if reasons else "")
  )
  lines += [f"warning: {found['text']}." for found in report["warnings"]]
  if report["unkept"]:
    lines.append(
        f"columns that are not kept: {_some(report['unkept'])}; --extras keeps"
        " them"
    )
  if report["not_read"]:
    first = "; ".join(
        f"{name}: {why}" for name, why in list(report["not_read"].items())[:3]
    )
    lines.append(
        f"not read: {len(report['not_read']):,} of the paths in the folder"
        f" ({first}; all of them in report.md)"
    )
  return "\n".join(lines)


def _some(names: list[str], limit: int = 10) -> str:
  more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
  return ", ".join(names[:limit]) + more


def _overview(report: dict[str, Any]) -> str:
  lines = [
      f"- Rows: {report['rows']:,}, of which {report['rejected']['rows']:,}"
      " rejected"
      + (
          f" and {report['duplicates']['dropped']:,} dropped as duplicates"
          if report["duplicates"]["dropped"]
          else ""
      ),
      f"- Events: {report['num_events']:,}; users: {report['num_users']:,};"
      f" distinct (event, design) pairs: {report['num_pairs']:,}",
      f"- Period: {report['start']} to {report['end']}",
      f"- One sequence is a {report['unit'].replace('_', '-')}; days are those"
      f" of {report['times']['zone']}",
      f"- Times: {'; '.join(report['times']['read_as'])}",
      f"- Exact duplicates (user, event, design and time):"
      f" {report['duplicates']['rows']:,}",
  ]
  if report["unkept"]:
    lines.append(f"- Columns that are not kept: {_some(report['unkept'], 50)}")
  left = report["leave_one_out"]
  if left is not None:
    lines.append(
        f"- The last event of a user is in test and the one before it in valid;"
        f" {left['short_users']:,} of {report['num_users']:,} users have fewer"
        f" than {left['least_events']} events and are in train alone"
    )
  return "\n".join(lines)


def _warnings(report: dict[str, Any]) -> list[str]:
  if not report["warnings"]:
    return []
  lines = [f"- {found['text']}." for found in report["warnings"]]
  return ["## Worth a look\n\n" + "\n".join(lines)]


def _splits(report: dict[str, Any]) -> str:
  rows = [
      [
          name,
          f"{part['num_sequences']:,}",
          f"{part['num_events']:,}",
          f"{part['num_users']:,}",
          f"{part['num_pairs']:,}",
          f"{part['pairs_not_in_train']:,}",
          f"{part['events_not_in_train_share']:.3%}",
          str(part["start"]),
          str(part["end"]),
      ]
      for name, part in report["splits"].items()
  ]
  header = [
      "split", "sequences", "events", "users", "pairs", "pairs not in train",
      "events not in train", "first event", "last event",
  ]
  return "## Splits\n\n" + table(header, rows)


def _extras(report: dict[str, Any]) -> str:
  names = list(report["splits"])
  rows = []
  for name, part in report["extras"].items():
    if part["kind"] == "numeric":
      text = "no value in train"
      if part["count"]:
        text = (
            f"mean {part['mean']:.6g}, deviation {part['std']:.6g}, from"
            f" {part['min']:.6g} to {part['max']:.6g}"
        )
    else:
      text = f"{part['categories'] - 1:,} categories"
    rows.append([f"`{name}`", part["kind"], text])
    for split in names:
      cell = part["splits"][split]
      rows[-1].append(f"{cell['missing']:,}")
      unknown = cell.get("unknown_share")
      rows[-1].append("" if unknown is None else f"{unknown:.3%}")
  header = ["column", "kind", "values of train"]
  for split in names:
    header += [f"{split}: missing", f"{split}: unknown"]
  return (
      "## Extra columns\n\nMissing: events without a value. Unknown: the share"
      " of the other events whose category is not in the vocabulary.\n\n"
      + table(header, rows)
  )


def _coverage(report: dict[str, Any]) -> str:
  names = list(report["splits"])
  columns = [report["splits"][name]["coverage"] for name in names]
  rows = [
      [f"{cells[0]['pairs']:,}", *(f"{cell['share']:.3%}" for cell in cells)]
      for cells in zip(*columns, strict=True)
  ]
  return (
      "## Coverage by the most frequent pairs of train\n\n"
      + table(["pairs", *names], rows)
  )


def _growth(report: dict[str, Any]) -> str:
  rows = [
      [f"{row['events']:,}", f"{row['pairs']:,}"] for row in report["growth"]
  ]
  return (
      "## Distinct pairs after so many events of train\n\nIn the order of the"
      " dataset: user after user, users in the order of a hash.\n\n"
      + table(["events", "distinct pairs"], rows)
  )


def _lengths(report: dict[str, Any]) -> str:
  names = list(report["splits"])
  parts = [report["splits"][name]["lengths"] for name in names]
  rows = [["mean", *(f"{part['mean']:,.1f}" for part in parts)]]
  rows += [
      [name, *(f"{part['quantiles'][name]:,.0f}" for part in parts)]
      for name in parts[0]["quantiles"]
  ]
  rows.append(["max", *(f"{part['max']:,}" for part in parts)])
  first = names[0]
  bins = [
      [f"{row['from']:,} to {row['to'] - 1:,}", f"{row['count']:,}"]
      for row in parts[0]["histogram"]
  ]
  return (
      "## Events a sequence\n\n"
      + table(["", *names], rows)
      + f"\n\nSequences of {first} by length:\n\n"
      + table(["events", "sequences"], bins)
  )


def _gaps(report: dict[str, Any]) -> str:
  gaps = report["gaps"]
  title = "## Seconds from one event of a sequence to the next\n\n"
  if not gaps["count"]:
    return title + "No sequence has two events."
  rows = [["mean", f"{gaps['mean']:,.3f}"]]
  rows += [[name, f"{gap:,.3f}"] for name, gap in gaps["quantiles"].items()]
  rows.append(["share of ties (0 s)", f"{gaps['zero_share']:.2%}"])
  bins = [
      [f"{row['from']:g}", f"{row['count']:,}"]
      for row in gaps["histogram"]
      if row["count"]
  ]
  histogram = table(["seconds, from", "count"], bins)
  return title + table(["", "seconds"], rows) + "\n\n" + histogram


def _sessions(report: dict[str, Any]) -> str:
  sessions = report["sessions"]
  title = "## Sessions of train\n\n"
  if not sessions["events"]:
    return title + "Train has no events."
  learned = sessions["learned"]
  if learned is None:
    text = f"No threshold was learned: {sessions['not_learned']}"
  else:
    (short, long), (few, many) = learned["means"], learned["weights"]
    text = (
        "Learned from the gaps above 0, taken for two kinds:"
        f" {few:.1%} short (median {math.exp(short):,.3g} s), {many:.1%} long"
        f" (median {math.exp(long):,.3g} s); a gap counts by the square root of"
        f" its length. Over {learned['threshold_seconds']:,.3g} s a gap is more"
        " likely a long one, and ends a session:"
        f" {sessions['at_learned']['sessions']:,} sessions with"
        f" {sessions['at_learned']['mean']:,.1f} events each."
    )
  quantiles = list(sessions["by_threshold"][0]["quantiles"])
  rows = [
      [
          f"{row['seconds']:,g} s",
          f"{row['sessions']:,}",
          f"{row['mean']:,.1f}",
          *(f"{row['quantiles'][name]:,}" for name in quantiles),
      ]
      for row in sessions["by_threshold"]
  ]
  header = ["gaps over", "sessions", "events each, mean", *quantiles]
  return title + text + "\n\n" + table(header, rows)


def _top_events(report: dict[str, Any]) -> str:
  rows = [
      [
          f"`{row['event_id']}`",
          f"{row['count']:,}",
          f"{row['share']:.2%}",
          f"{row['designs']:,}",
      ]
      for row in report["top_events"]
  ]
  return "## Most frequent events of train\n\n" + table(
      ["event", "count", "share", "designs"], rows
  )


def _rejected(report: dict[str, Any]) -> str:
  rejected = report["rejected"]
  if not rejected["rows"]:
    return "## Rejected rows\n\nNone."
  rows = [
      [reason, f"{count:,}"] for reason, count in rejected["by_reason"].items()
  ]
  return (
      "## Rejected rows\n\nEach with file and row in quarantine.jsonl.\n\n"
      + table(["reason", "rows"], rows)
  )


def _sources(report: dict[str, Any]) -> str:
  rows = [
      [
          source["name"],
          f"{source['rows']:,}",
          f"{source['bytes']:,}",
          source["times"],
      ]
      for source in report["sources"]
  ]
  text = "## Sources\n\n" + table(["file", "rows", "bytes", "times"], rows)
  if report["not_read"]:
    skipped = [[name, why] for name, why in report["not_read"].items()]
    text += "\n\nNot read:\n\n" + table(["path", "reason"], skipped)
  return text
