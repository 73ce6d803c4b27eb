"""How unexpected each of a user's last events was to a causal model."""

import jax
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.evaluation.token_scores import make_score
from behavior_lm.inference.frames import cut_frame
from behavior_lm.inference.inputs import last_windows
from behavior_lm.inference.sequences import Reader
from behavior_lm.logs import schema
from behavior_lm.recipes.shared.loading import LoadedRun


def last_surprise(run: LoadedRun, logs: pl.DataFrame) -> list[np.ndarray]:
  """Bits of each user's last events, -log2 p(event | its past).

  Args:
    run: a pretrained causal run (objective next_events).
    logs: user_id, event_id, design_id (optional), timestamp.

  Returns:
    For each user in the order of first appearance [n] float64, of the last n
    events, as many as the model reads at once.

  Raises:
    UserError: if the run is not causal, its tokens span several events, or the
      table cannot be read.
  """
  if not run.config.model.causal:
    raise UserError(
        "surprise needs a causal model, which objective=next_events trains;"
        f" this run was trained with {run.config.objective.name}."
    )
  if not run.tokenizer.one_token_an_event:
    raise UserError(
        "surprise needs a run with one token per event; the tokens of this one"
        " span several events."
    )
  reader = Reader(run.tokenizer, Reading.of(run.config.data), run.categories)
  _, sequences = cut_frame(logs, reader)
  names = tuple(dict.fromkeys((*run.model_fields, "tokens")))
  score = jax.jit(make_score(run.graphdef))
  out = []
  for sequence in sequences:
    batch = last_windows(
        [sequence],
        names,
        reader.reading.table,
        max_length=int(run.config.data.max_length),
    )
    length = batch["tokens"].shape[1]
    # The token at place i is predicted at place i - 1, the first from CLS.
    targets = {
        "at": np.arange(length - 1, dtype=np.int32)[None],
        "tokens": batch["tokens"][:, 1:],
    }
    inputs = {name: batch[name] for name in run.model_fields}
    nats = score(run.params, run.model_state, inputs, targets)[0][0]
    is_event = targets["tokens"][0] != schema.PAD_ID
    out.append(np.asarray(nats, np.float64)[is_event] / np.log(2))
  return out
