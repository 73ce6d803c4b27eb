"""The section about the logs, from the report of experiments/prepare.py."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.reporting import data_figures
from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import paragraph
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section
from behavior_lm.reporting.sessions_part import sessions_part


def data_section(report: Mapping[str, Any] | None) -> Section:
  """What the model was trained and tested on."""
  if report is None:
    body = markup.missing(
        "This run folder has no data_report.json. Prepare the dataset again and"
        " copy its report here:",
        "python experiments/prepare.py --logs LOGS --out DATA",
        "cp DATA/report.json RUN/data_report.json",
    )
    return Section("data", "Data", body)
  figures = data_figures.data_figures(report)
  sessions, session_figures = sessions_part(report.get("sessions"))
  rows, duplicates = report["rows"], report["duplicates"]
  rejected, reasons = (
      report["rejected"][key] for key in ("rows", "by_reason")
  )
  splits = [
      {"name": name, **part, "unseen": percent(
          part["events_not_in_train_share"], 2
      )}
      for name, part in report["splits"].items()
  ]
  events = [
      [
          tag("code", markup.plain(event["event_id"], longest=60)),
          tag("meter", value=event["share"], max=most),
          f"{event['count']:,}",
          percent(event["share"], 2),
          f"{event['designs']:,}",
      ]
      for most in [max((e["share"] for e in report["top_events"]), default=0)]
      for event in report["top_events"]
  ]
  body = markup.join(
      markup.definitions([
          ("rows read", f"{rows:,}"),
          ("events kept", f"{report['num_events']:,}"),
          ("users", f"{report['num_users']:,}"),
          ("distinct pairs", f"{report['num_pairs']:,}"),
          ("first event", report["start"]),
          ("last event", report["end"]),
          (
              "one sequence is",
              f"a {report['unit']}, days in {report['times']['zone']}",
          ),
          ("rejected rows", _part(rejected, rows)),
          (
              "exact duplicates",
              f"{_part(duplicates['rows'], rows)}, {duplicates['dropped']:,}"
              " dropped",
          ),
      ]),
      tag("h3", "Splits"),
      markup.records(
          splits,
          {
              "split": "{name}",
              "sequences": "{num_sequences:,}",
              "events": "{num_events:,}",
              "users": "{num_users:,}",
              "distinct (event, design) pairs": "{num_pairs:,}",
              "pairs not in train": "{pairs_not_in_train:,}",
              "events not in train": "{unseen}",
              "first event": "{start}",
              "last event": "{end}",
          },
      ),
      figure_grid(figures),
      markup.details("Lengths and gaps as numbers", _quantiles(report)),
      sessions,
      tag("h3", "Most frequent events of train"),
      markup.table(
          ["event", "", "count", "share", "designs"], events, text_columns=2
      ),
      tag("h3", "Rejected rows"),
      markup.table(
          ["reason", "rows", "of all rows"],
          [
              [reason, f"{number:,}", percent(number / max(rows, 1), 3)]
              for reason, number in reasons.items()
          ],
      ),
      paragraph(
          "quarantine.jsonl of the dataset folder lists each of them, with its"
          " file and row.",
          class_="note",
      )
      if rejected
      else paragraph("None."),
      markup.details(
          "Log files",
          markup.records(
              report["sources"],
              {
                  "file": "{name}",
                  "times": "{times}",
                  "rows": "{rows:,}",
                  "bytes": "{bytes:,}",
              },
              text_columns=2,
          ),
      ),
  )
  return Section("data", "Data", body, [*figures, *session_figures])


def _quantiles(report: Mapping[str, Any]) -> markup.Markup:
  parts = {
      f"events per sequence, {name}": part["lengths"]
      for name, part in report["splits"].items()
  } | {"gap in seconds": report["gaps"]}
  parts = {name: part for name, part in parts.items() if part["count"]}
  return markup.table(
      ["quantile", *parts],
      [["mean", *(f"{part['mean']:,.1f}" for part in parts.values())]]
      + [
          [name, *(f"{p['quantiles'][name]:,.6g}" for p in parts.values())]
          for name in next(iter(parts.values()), {"quantiles": {}})["quantiles"]
      ]
      + [[
          "largest",
          *(
              f"{part['max']:,}" if "max" in part else markup.NONE
              for part in parts.values()
          ),
      ]],
  )


def _part(part: int, whole: int) -> str:
  return f"{part:,} ({percent(part / max(whole, 1), 2)})"
