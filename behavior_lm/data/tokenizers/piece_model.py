"""SentencePiece over events: training, and its model file.

A unit is one character. SentencePiece wants text, so units get code points of
planes without white space, controls or combining marks.
"""

from collections.abc import Iterable, Iterator
import io
import itertools
import struct
from typing import Any

import numpy as np
import sentencepiece

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

# CJK ideographs and Hangul are three bytes in UTF-8, what follows four.
_RANGES = ((0x4E00, 0xA000), (0xAC00, 0xD7A4), (0x20000, 0x110000))
# Stands for an unknown event; of no range above, so never in the model.
_UNKNOWN = 0xE000
# A line is a sequence of units: nothing of it is normalised, split or dropped.
UNITS_AS_TEXT: dict[str, Any] = dict(
    hard_vocab_limit=False,
    character_coverage=1.0,
    # Longer lines are dropped without a word: 4,192 bytes by default.
    max_sentence_length=2**30,
    normalization_rule_name="identity",
    add_dummy_prefix=False,
    remove_extra_whitespaces=False,
    split_by_unicode_script=False,
    split_by_number=False,
    split_by_whitespace=False,
    split_digits=False,
)
_PIECES, _TRAINER_SPEC = 1, 2  # fields of ModelProto
_NUM_THREADS = 8
_MODEL_TYPE, _UNIGRAM = 3, 1  # a field of TrainerSpec, and its value


def code_points(size: int) -> np.ndarray:
  """[size + 1] uint32: the character of each unit; the last is unknown's.

  Raises:
    UserError: if there are more units than characters.
  """
  points = np.concatenate([np.arange(*bounds) for bounds in _RANGES])
  # The last two of each plane are not characters.
  points = points[(points & 0xFFFE) != 0xFFFE]
  if size > len(points):
    raise UserError(
        f"alphabet_size {size:,} is more than the {len(points):,} characters"
        " there are."
    )
  return np.append(points[:size], _UNKNOWN).astype(np.uint32)


def to_text(units: np.ndarray, points: np.ndarray) -> str:
  """[n] units, -1 = unknown -> n characters."""
  return points[units].astype("<u4").tobytes().decode("utf-32-le")


def train(
    lines: Iterable[str],
    alphabet: str,
    *,
    vocab_size: int,
    max_piece_units: int,
) -> bytes:
  """Trains byte-pair encoding (arXiv 1508.07909) over characters.

  Args:
    lines: no merge crosses from one to the next; of any length.
    alphabet: every character that may occur.
    vocab_size: pieces in all, special ones included; fewer come out where
      the text has no more pairs to merge.
    max_piece_units: characters of the longest piece.

  Returns:
    A SentencePiece model: ids 0 to 4 are `schema.SPECIAL_TOKENS`.

  Raises:
    UserError: if SentencePiece cannot train on this.
  """
  model = io.BytesIO()
  faults: list[Exception] = []
  ids = {name: i for i, name in enumerate(schema.SPECIAL_TOKENS)}
  try:
    sentencepiece.SentencePieceTrainer.train(
        # Each character is a line too: what occurs nowhere has no piece, also
        # if it is required.
        sentence_iterator=_guarded(itertools.chain(alphabet, lines), faults),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        required_chars=alphabet,
        max_sentencepiece_length=max_piece_units,
        **UNITS_AS_TEXT,
        # Written into the model, so the same everywhere.
        num_threads=_NUM_THREADS,
        pad_id=ids["[PAD]"],
        unk_id=ids["[UNK]"],
        bos_id=-1,
        eos_id=-1,
        # They take the free ids in this order.
        control_symbols=["[MASK]", "[CLS]", "[SEP]"],
        minloglevel=2,
    )
  except (RuntimeError, OSError) as error:
    if faults:  # Of the log, wrapped by SentencePiece in a text of its own.
      raise faults[0] from None
    raise UserError(
        f"SentencePiece could not train a vocabulary of {vocab_size:,}:"
        f" {error}"
    ) from error
  return model.getvalue()


def _guarded(
    lines: Iterable[str], faults: list[Exception]
) -> Iterator[str]:
  """The lines; keeps the exception that ends them."""
  try:
    yield from lines
  except Exception as error:
    faults.append(error)
    raise


def fewest_pieces(model: bytes) -> bytes:
  """The same pieces, but a text is cut in as few of them as possible.

  BPE repeats its merges in order and may end with more pieces than needed.
  A unigram model (arXiv 1804.10959) finds the best path over all cuts; with
  one score for all pieces, that is the shortest.
  """
  pieces, rest = [], b""
  for field, value in _fields(model):
    if field == _PIECES:
      # A later score replaces an earlier one when a message is read.
      score = _key(2, 5) + struct.pack("<f", -1.0)
      pieces.append(_message(_PIECES, value + score))
    else:
      rest += _message(field, value)
  spec = _key(_MODEL_TYPE, 0) + _varint(_UNIGRAM)
  return b"".join(pieces) + rest + _message(_TRAINER_SPEC, spec)


def load(model: bytes, where: str) -> sentencepiece.SentencePieceProcessor:
  """Reads a model file; UserError if it is none of ours."""
  try:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    first = [processor.id_to_piece(i) for i in range(schema.NUM_SPECIAL)]
  except (RuntimeError, IndexError) as error:
    raise UserError(
        f"{where}: is no SentencePiece model ({error})."
    ) from error
  if first[1] != "[MASK]" or processor.unk_id() != schema.UNK_ID:
    raise UserError(f"{where}: is not a model of this program.")
  return processor


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
  """Top-level fields of a ModelProto, which are all messages."""
  at = 0
  while at < len(message):
    key, at = _read_varint(message, at)
    if key & 7 != 2:
      raise UserError("the SentencePiece model has a field of another type.")
    size, at = _read_varint(message, at)
    yield key >> 3, message[at : at + size]
    at += size


def _message(field: int, value: bytes) -> bytes:
  return _key(field, 2) + _varint(len(value)) + value


def _key(field: int, wire_type: int) -> bytes:
  return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
  out = bytearray()
  while value > 127:
    out.append(value & 127 | 128)
    value >>= 7
  return bytes([*out, value])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
  value = shift = 0
  while True:
    byte = message[at]
    value |= (byte & 127) << shift
    at, shift = at + 1, shift + 7
    if byte < 128:
      return value, at
