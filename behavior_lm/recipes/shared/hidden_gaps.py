"""What fields must not tell: a masked event's gap, and how a window was cut.

A mask hides an event whole: its id, and the gap that it reads. The gap of the
next event since this one, or a clock, would give the hidden gap away.
"""

import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading

# What a field says of the time between an event and its neighbours.
_TELLS = {"gap_next": "next", "gap_previous": "previous", "times": "clock"}


def check_hidden_gaps(config: ml_collections.ConfigDict) -> None:
  """Raises UserError if two fields of a config tell a masked event's gap."""
  reading = Reading.of(config.data)
  read = {name: _TELLS[name] for name in reading.features if name in _TELLS}
  if config.model.time_encoding != "none":
    own = f"data.gap_kind={reading.gap_kind}"
    read = {own: reading.gap_kind} | read
  if len(set(read.values())) > 1:
    raise UserError(
        f"{' and '.join(map(repr, read))} together tell the gap of a masked"
        " event, which the mask has to hide. Leave one of them out of"
        " --config.data.features, or set --config.model.time_encoding=none."
    )


def check_parts(config: ml_collections.ConfigDict) -> None:
  """Raises UserError if features may tell how parts of a window belong."""
  features = Reading.of(config.data).features
  if features:
    raise UserError(
        f"objective {config.objective.name} takes windows apart, and the"
        f" features {', '.join(features)} may tell which parts belong together,"
        " as a clock does. Set --config.data.features= for it."
    )
