"""What a layer of attention attends to."""

import dataclasses

from behavior_lm.attention.hashing import Buckets
from behavior_lm.attention.hashing import check_buckets
from behavior_lm.attention.hashing import default_buckets

KINDS = ("dense", "sliding_window", "lsh", "chunked")


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """What a layer attends to.

  Attributes:
    kind: one of `KINDS`.
    causal: a token sees no later token.
    backend: which implementation, a key of the kind's table in
      `backends.KERNELS`; "auto" takes the first that serves the layer on this
      device.
    window_size: sliding_window: keys on each side.
    dilation: sliding_window: offsets from one key to the next.
    max_globals: sliding_window: global tokens in a row at most; 0 is none.
    num_hashes: lsh: rounds of hashing.
    chunk_size: lsh, chunked: tokens in a chunk.
    num_buckets: lsh: one even number, or two whose product counts; None takes
      a number that fits the length.
    faithful: lsh: as the authors' code where it differs from the paper.

  Raises:
    ValueError: for a choice that no kernel serves. Whether the backend does is
      seen where it is used.
  """

  kind: str = "dense"
  causal: bool = False
  backend: str = "auto"
  window_size: int = 0
  dilation: int = 1
  max_globals: int = 0
  num_hashes: int = 2
  chunk_size: int = 64
  num_buckets: Buckets | None = None
  faithful: bool = False

  def __post_init__(self) -> None:
    if self.kind not in KINDS:
      raise ValueError(
          f"attention kind {self.kind!r}; known are {sorted(KINDS)}"
      )
    self._check_ownership()
    if self.kind == "sliding_window" and self.window_size < 1:
      raise ValueError(
          f"window_size {self.window_size}: a sliding window needs at least 1"
          " key on each side; set window_size, or kind 'dense' for all keys"
      )
    for name, least in _LEAST.items():
      if getattr(self, name) < least:
        raise ValueError(
            f"{name} {getattr(self, name)} must be at least {least}"
        )
    if self.num_buckets is not None:
      check_buckets(self.num_buckets)

  def buckets(self, length: int) -> Buckets:
    """lsh: the buckets of a row of a length."""
    if self.num_buckets is not None:
      return self.num_buckets
    return default_buckets(length, self.chunk_size)

  def _check_ownership(self) -> None:
    """A setting of another kind would be ignored: it is refused."""
    for field in dataclasses.fields(self):
      owners = _OWNERS.get(field.name, (self.kind,))
      if self.kind not in owners and getattr(self, field.name) != field.default:
        raise ValueError(
            f"{field.name}={getattr(self, field.name)} is of attention"
            f" {owners[0]!r} and means nothing for {self.kind!r}: leave it out,"
            f" or set kind={owners[0]!r}"
        )


_LEAST = dict(dilation=1, max_globals=0, num_hashes=1, chunk_size=1)
_OWNERS = dict(
    window_size=("sliding_window",),
    dilation=("sliding_window",),
    max_globals=("sliding_window",),
    num_hashes=("lsh",),
    chunk_size=("lsh", "chunked"),
    num_buckets=("lsh",),
    faithful=("lsh",),
)
