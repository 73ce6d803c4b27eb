"""The one place that decides whether a model may see the future.

An objective that predicts the future says so in `requires`. Then nothing that
the model reads at a position may depend on a later event: not its attention,
not the gaps, not where a session or a token ends.
"""

import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_features import LOOK_AHEAD
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.objectives.objective import Requires

# Models whose layers all attend densely.
_DENSE = ("albert", "bert", "ligr")


def check_causality(
    config: ml_collections.ConfigDict, requires: Requires
) -> None:
  """Raises UserError if the model of a config sees what it has to predict.

  A causal model is held to the same rules under any objective: its vectors are
  used to predict.
  """
  causal = config.model.causal
  if requires.predicts_future and not causal:
    raise UserError(
        f"objective {config.objective.name} predicts the future, but"
        " model.causal is False: every token would see the answer. Set"
        " --config.model.causal=True."
    )
  if not causal:
    return
  if requires.hides_past and config.model.name not in _DENSE:
    raise UserError(
        "objective.history_rate bounds what a token sees of the past, which"
        f" takes dense attention, but model.name is {config.model.name}. Take"
        f" one of {', '.join(_DENSE)}, or set it to 0."
    )
  if requires.hides_past and config.model.get("sentence_layers", 0):
    raise UserError(
        "objective.history_rate with model.sentence_layers: vectors of"
        " sentences would tell what lies before a history token. Set one of"
        " them to 0."
    )
  if requires.predicts_future and config.model.name == "reformer":
    raise UserError(
        f"objective {config.objective.name} with model.name=reformer: its"
        " hashing lets later tokens decide who shares a chunk, so it knows a"
        " little of the future. Take another model."
    )
  reading = Reading.of(config.data)
  if reading.gap_kind == "next":
    raise UserError(
        "model.causal with data.gap_kind=next: the gap to the next event tells"
        " a causal model when its answer comes. Set"
        " --config.data.gap_kind=previous."
    )
  for name in reading.features:
    if name in LOOK_AHEAD:
      raise UserError(
          f"model.causal with the feature {name!r}, which tells when the next"
          f" event comes. Use {name.replace('next', 'previous')!r}."
      )


def check_tokens(
    config: ml_collections.ConfigDict, tokenizer: Tokenizer
) -> None:
  """Checks that a model's sessions are there and do not tell the future.

  Raises:
    UserError: if a model reads sessions and each sequence is one, or the tokens
      of a causal model depend on the future.
  """
  model = config.model
  reads_sessions_in_model = any(
      model.get(name, 0) for name in ("session_rows", "session_layers")
  )
  if reads_sessions_in_model and tokenizer.settings.sessions.kind == "none":
    raise UserError(
        "model.session_rows and model.session_layers need sessions, but the"
        " tokenizer makes one session of each sequence. Set"
        " --config.tokenizer.sessions to seconds, a quantile, or learned."
    )
  if not config.model.causal:
    return
  looks_ahead = tokenizer.settings.sessions.looks_ahead
  reads_sessions = (
      not tokenizer.one_token_an_event
      or tokenizer.settings.sep_tokens
      or "sessions" in Reading.of(config.data).features
      or reads_sessions_in_model
  )
  if looks_ahead and reads_sessions:
    raise UserError(
        "model.causal with sessions by a quantile of the whole sequence: later"
        " events move earlier boundaries. Set --config.tokenizer.sessions to"
        " seconds, or to learned."
    )
