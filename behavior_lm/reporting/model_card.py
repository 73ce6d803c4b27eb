"""The model card of a run: what a reader must know before using the model.

The headings are those of "Model Cards for Model Reporting" (arXiv 1810.03993),
filled from the files of the run folder alone. What was not recorded is said to
be missing.
"""

from collections.abc import Iterator
from typing import Any

from behavior_lm.artifacts import evaluation
from behavior_lm.artifacts.run_folder import flatten
from behavior_lm.common import markdown
from behavior_lm.reporting import training_section
from behavior_lm.reporting.model_section import shown
from behavior_lm.reporting.run import Run

FILE = "MODEL_CARD.md"
_SETTINGS = (
    "recipe",
    "objective.name",
    "model.name",
    "model.num_layers",
    "model.embed_dim",
    "model.time_encoding",
    "model.causal",
    "data.max_length",
    "data.features",
    "seed",
)


def model_card(run: Run, config_hash: str) -> str:
  """The card as Markdown; the same for the same run, to the byte.

  Args:
    run: what is in the run folder.
    config_hash: of its config.
  """
  parts = {
      "Model": _model(run, config_hash),
      "Training data": _data(run),
      "Evaluation": _evaluation(run),
      "Cost": _cost(run),
      "Limits": _limits(run),
      "Privacy": _privacy(run),
  }
  lines = [f"# Model card: {run.name}", ""]
  for title, body in parts.items():
    lines += [f"## {title}", "", *body, ""]
  return "\n".join(lines)


def _model(run: Run, config_hash: str) -> Iterator[str]:
  values = flatten(run.config)
  if run.record and "recipe" in run.record:
    values.setdefault("recipe", run.record["recipe"])
  rows = [(name, shown(values[name])) for name in _SETTINGS if name in values]
  if run.num_parameters is not None:
    rows.append(("parameters", f"{run.num_parameters:,}"))
  if run.tokenizer is not None:
    rows += [
        ("tokenizer", run.tokenizer["kind"]),
        ("pairs in its alphabet", f"{len(run.tokenizer['pairs']):,}"),
    ]
  rows.append(("config hash", config_hash))
  yield markdown.table(["", ""], rows)


def _data(run: Run) -> Iterator[str]:
  report = run.data_report
  if report is None:
    yield "The run folder has no `data_report.json`: the data is not described."
    return
  rejected = report["rejected"]["rows"]
  yield (
      f"{report['num_events']:,} events of {report['num_users']:,} users from"
      f" {report['start']} to {report['end']}; {rejected:,} of"
      f" {report['rows']:,} rows were rejected. The dataset has the fingerprint"
      f" `{(run.dataset or {}).get('fingerprint', 'unknown')}`."
  )
  yield ""
  yield markdown.table(
      ["split", "events", "users", "from", "to", "events not in train"],
      [
          [
              name,
              f"{part['num_events']:,}",
              f"{part['num_users']:,}",
              part["start"],
              part["end"],
              f"{part['events_not_in_train_share']:.2%}",
          ]
          for name, part in report["splits"].items()
      ],
  )


def _evaluation(run: Run) -> Iterator[str]:
  if not run.evaluations and run.probe is None:
    yield (
        "This run was not evaluated. Run `python experiments/evaluate.py --run"
        " RUN --data DATA`."
    )
  for record in run.evaluations.values():
    yield evaluation.to_markdown(record).partition("\nMade by:")[0].rstrip()
    yield ""
  if run.probe is not None:
    yield f"Labels from frozen vectors, {run.probe['num_users']:,} users:"
    yield ""
    yield markdown.table(
        ["label", "features", "AUC", "95 % interval"],
        [
            [
                row["label"],
                row["features"],
                f"{row['auc']:.3f}",
                "{:.3f} to {:.3f}".format(*row["auc_ci"]),
            ]
            for row in run.probe["rows"]
        ],
    )


def _cost(run: Run) -> Iterator[str]:
  if not run.metrics:
    yield "No step of training is recorded."
    return
  steps, spent = training_section.progress(run.metrics)
  yield f"{steps} steps in {spent}."
  if "epoch" in run.metrics[-1]:
    yield f"The data was passed {run.metrics[-1]['epoch']:.2f} times."


def _limits(run: Run) -> Iterator[str]:
  values: dict[str, Any] = flatten(run.config)
  length = values.get("data.max_length")
  if length:
    yield f"- A window holds {length:,} tokens; the model sees no further back."
  if run.data_report is not None:
    train = run.data_report["splits"].get("train")
    if train:
      yield (
          f"- It was trained on events from {train['start']} to"
          f" {train['end']}. Events and designs that are new since then are"
          " unknown to it."
      )
    others = [n for n in run.data_report["splits"] if n != "train"]
    if not others:
      yield (
          "- The dataset has no split but train: no figure is of unseen data."
      )
  if "model.causal" in values and not values["model.causal"]:
    yield (
        "- A state reads later events of its window, so features for a"
        " prediction must come from histories that end before it."
    )
  yield (
      "- Intervals are of the users that were drawn, with the trained model"
      " given; they do not cover another training run."
  )


def _privacy(run: Run) -> Iterator[str]:
  yield (
      "- The checkpoint and the log of training hold no user ids. Files of"
      " vectors hold the user ids of the log as they are; --pseudonyms of"
      " `experiments/export.py` replaces them by salted hashes."
  )
  if run.tokenizer is not None:
    yield (
        "- The folder `tokenizer` holds event and design ids of the log. An id"
        " that only few users have may identify them: lower"
        " `tokenizer.vocab_size` before the run is published."
    )
  yield (
      "- Vectors are made from behaviour and may tell users apart; handle them"
      " as personal data."
  )
