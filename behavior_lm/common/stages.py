"""Stages of a run: values that each hold for a share of its steps."""

from typing import NamedTuple


class Stage(NamedTuple):
  """A value, and the number of steps behind its last one."""

  value: float
  end: int


def parse_stages(text: str, total_steps: int) -> tuple[Stage, ...]:
  """Reads "128:0.6,2048:0.4": values with their shares of the steps.

  Args:
    text: VALUE:SHARE by comma; the shares add up to 1.
    total_steps: of the run.

  Returns:
    The stages in order; the last one ends with the run.

  Raises:
    ValueError: if the text has another form, a share is not above 0, the sum
      is not 1, or a stage has no step.
  """
  stages: list[Stage] = []
  done = 0.0
  for item in text.split(","):
    try:
      value, share = map(float, item.split(":"))
    except ValueError as error:
      raise ValueError(
          f"{item!r} in {text!r}: write VALUE:SHARE by comma, such as"
          " 128:0.6,2048:0.4"
      ) from error
    done += share
    end = round(min(done, 1.0) * total_steps)
    if not share > 0 or end <= (stages[-1].end if stages else 0):
      raise ValueError(
          f"{item!r} in {text!r} has none of the {total_steps} steps: give it"
          " a larger share, or leave it out"
      )
    stages.append(Stage(value, end))
  if abs(done - 1) > 1e-6:
    raise ValueError(f"the shares of {text!r} add up to {done:g}, not to 1")
  return tuple(stages)
