"""The one evaluation mask: the same events hidden from every model.

It depends on the sequence's name alone (user and first time stamp), not on
the model, the crop, the packing or the tokenizer, so that tables of different
runs compare.
"""

import hashlib

import numpy as np

MASK_RATE = 0.15
MASK_SEED = 0


def fixed_mask(
    user_id: str,
    start: int,
    num_events: int,
    mask_rate: float = MASK_RATE,
    seed: int = MASK_SEED,
) -> np.ndarray:
  """Chooses exactly round(mask_rate * num_events) events, uniformly.

  The events with the smallest random keys are masked. The keys are raw
  Philox words, which NumPy keeps stable over versions and platforms (the
  methods of its Generator are not), under a key hashed from the arguments.

  Args:
    user_id: whose sequence it is.
    start: time of its first event, microseconds since 1970 in UTC.
    num_events: events of the WHOLE sequence, before any crop.
    mask_rate: share of masked events, in [0, 1]. Half events round to even,
      as Python's `round` does.
    seed: another seed gives another mask.

  Returns:
    [num_events] bool, True where masked.

  Raises:
    ValueError: for a negative length or a rate outside of [0, 1].
  """
  if num_events < 0:
    raise ValueError(f"num_events is {num_events}, below 0")
  if not 0.0 <= mask_rate <= 1.0:
    raise ValueError(f"mask_rate is {mask_rate}, outside of 0..1")
  name = f"{int(seed)}:{int(start)}:{user_id}".encode("utf-8", "surrogatepass")
  digest = hashlib.blake2b(name, digest_size=16).digest()
  key = np.frombuffer(digest, "<u8").astype(np.uint64)
  draws = np.random.Philox(key=key).random_raw(num_events)
  mask = np.zeros(num_events, bool)
  num_masked = round(mask_rate * num_events)
  mask[np.argsort(draws, kind="stable")[:num_masked]] = True
  return mask
