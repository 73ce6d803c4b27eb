"""The section about the logs, from the report of experiments/prepare.py."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.reporting import data_figures
from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import Markup
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
  body = markup.join(
      _overview(report),
      tag("h3", "Splits"),
      _splits(report["splits"]),
      paragraph(
          "Pairs are distinct (event, design) ids. No model can name a pair"
          " that train never showed.",
          class_="note",
      ),
      figure_grid(figures),
      markup.details("Lengths and gaps as numbers", _quantiles(report)),
      sessions,
      tag("h3", "Most frequent events of train"),
      _top_events(report["top_events"]),
      tag("h3", "Rejected rows"),
      _rejected(report),
      markup.details(
          "Log files",
          markup.table(
              ["file", "times", "rows", "bytes"],
              [
                  [
                      source["name"],
                      source["times"],
                      f"{source['rows']:,}",
                      f"{source['bytes']:,}",
                  ]
                  for source in report["sources"]
              ],
              text_columns=2,
          ),
      ),
  )
  return Section("data", "Data", body, [*figures, *session_figures])


def _overview(report: Mapping[str, Any]) -> Markup:
  duplicates, rows = report["duplicates"], report["rows"]
  return markup.definitions([
      ("rows read", f"{rows:,}"),
      ("events kept", f"{report['num_events']:,}"),
      ("users", f"{report['num_users']:,}"),
      ("distinct pairs", f"{report['num_pairs']:,}"),
      ("first event", _moment(report["start"])),
      ("last event", _moment(report["end"])),
      (
          "one sequence is",
          f"a {data_figures.unit(report)}, days in {report['times']['zone']}",
      ),
      ("rejected rows", _part(report["rejected"]["rows"], rows)),
      (
          "exact duplicates",
          f"{_part(duplicates['rows'], rows)}, {duplicates['dropped']:,}"
          " dropped",
      ),
  ])


def _splits(splits: Mapping[str, Any]) -> Markup:
  return markup.table(
      [
          "split", "sequences", "events", "users", "pairs",
          "pairs not in train", "events not in train", "first event",
          "last event",
      ],
      [
          [
              name,
              f"{part['num_sequences']:,}",
              f"{part['num_events']:,}",
              f"{part['num_users']:,}",
              f"{part['num_pairs']:,}",
              f"{part['pairs_not_in_train']:,}",
              percent(part["events_not_in_train_share"], 2),
              _moment(part["start"]),
              _moment(part["end"]),
          ]
          for name, part in splits.items()
      ],
  )


def _quantiles(report: Mapping[str, Any]) -> Markup:
  columns = {
      f"events per sequence, {name}": part["lengths"]
      for name, part in report["splits"].items()
  } | {"gap in seconds": report["gaps"]}
  columns = {name: part for name, part in columns.items() if part["count"]}
  names = dict.fromkeys(
      name for part in columns.values() for name in part["quantiles"]
  )
  number = lambda value, form: (
      markup.NONE if value is None else format(value, form)
  )
  rows = [["mean", *(f"{part['mean']:,.1f}" for part in columns.values())]]
  rows += [
      [
          f"{name.removeprefix('p')} % are at most",
          *(
              number(part["quantiles"].get(name), ",.6g")
              for part in columns.values()
          ),
      ]
      for name in names
  ]
  rows.append([
      "largest", *(number(part.get("max"), ",") for part in columns.values())
  ])
  return markup.table(["", *columns], rows)


def _top_events(events: list[Mapping[str, Any]]) -> Markup:
  if not events:
    return paragraph("None.")
  most = max(event["share"] for event in events)
  return markup.table(
      ["event", "", "count", "share", "designs"],
      [
          [
              tag("code", markup.plain(event["event_id"], longest=60)),
              tag("meter", value=event["share"], max=most),
              f"{event['count']:,}",
              percent(event["share"], 2),
              f"{event['designs']:,}",
          ]
          for event in events
      ],
      text_columns=2,
  )


def _rejected(report: Mapping[str, Any]) -> Markup:
  rejected, rows = report["rejected"], report["rows"]
  if not rejected["rows"]:
    return paragraph(f"None of {rows:,}.")
  return markup.join(
      markup.table(
          ["reason", "rows", "of all rows"],
          [
              [reason, f"{number:,}", percent(number / rows, 3)]
              for reason, number in rejected["by_reason"].items()
          ],
      ),
      paragraph(
          "quarantine.jsonl of the dataset folder lists each of them, with its"
          " file and row.",
          class_="note",
      ),
  )


def _part(part: int, whole: int) -> str:
  if not part:
    return "none"
  return f"{part:,} ({percent(part / max(whole, 1), 2)})"


def _moment(text: str | None) -> str:
  """2019-12-04T00:00:00Z -> 2019-12-04 00:00:00."""
  if text is None:
    return markup.NONE
  return text.replace("T", " ").removesuffix("Z")
