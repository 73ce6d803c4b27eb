"""Rows that grow within a run, from short to long: a curriculum of lengths."""

import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.common.stages import parse_stages


def length_stages(
    config: ml_collections.ConfigDict,
) -> list[tuple[ml_collections.ConfigDict, int]]:
  """The stages of `data.length_schedule`; without one, the run is one stage.

  The tokens of a batch stay the same: rows that are half as long are twice as
  many.

  Args:
    config: of the run; `data.max_length` and `data.batch_size` are those of the
      last stage.

  Returns:
    For each stage the config with its own `data.max_length` and
    `data.batch_size`, which says how its batches are made, and the number of
    steps up to its end.

  Raises:
    UserError: if the schedule is malformed, or a length does not fit.
  """
  text, data = config.data.length_schedule, config.data
  if not text:
    return [(config, config.total_steps)]
  try:
    stages = parse_stages(text, config.total_steps)
  except ValueError as error:
    raise UserError(f"config.data.length_schedule: {error}.") from error
  lengths = [stage.value for stage in stages]
  if lengths != sorted(set(lengths)) or lengths[-1] != data.max_length:
    raise UserError(
        f"config.data.length_schedule {text!r}: lengths must rise, and the last"
        f" one must be data.max_length, {data.max_length}."
    )
  tokens = data.batch_size * data.max_length
  found = []
  for length, end in stages:
    if length != int(length) or length < 2 or tokens % length:
      raise UserError(
          f"config.data.length_schedule {text!r}: a batch of {tokens:,} tokens"
          f" (data.batch_size x data.max_length) has no whole number of rows of"
          f" {length:g}."
      )
    own = config.copy_and_resolve_references()
    own.data.max_length = int(length)
    own.data.batch_size = tokens // int(length)
    found.append((own, end))
  return found
