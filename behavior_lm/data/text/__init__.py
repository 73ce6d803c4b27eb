"""Text to token ids, with the vocabulary of a language model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from behavior_lm.common.errors import UserError
from behavior_lm.data.text import wordpiece


class TextTokenizer(Protocol):
  """What a language model reads text by.

  Attributes:
    vocab_size: ids run from 0 to vocab_size - 1.
    cls_id, sep_id: before and after each text.
    fingerprint: equal where texts give equal ids.
  """

  @property
  def vocab_size(self) -> int: ...

  @property
  def cls_id(self) -> int: ...

  @property
  def sep_id(self) -> int: ...

  @property
  def fingerprint(self) -> str: ...

  def encode(self, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text, without cls_id and sep_id."""

  def save(self, folder: Path) -> None:
    """Writes what `load_text_tokenizer` reads."""


def load_text_tokenizer(folder: str | Path) -> TextTokenizer:
  """The tokenizer of a Hugging Face folder, or of a run.

  A WordPiece vocabulary (vocab.txt) is read here. A tokenizer.json needs the
  package `tokenizers`: pip install "behavior_lm[text]".

  Raises:
    UserError: if there is neither, or a file is damaged.
  """
  folder = Path(folder)
  if (folder / wordpiece.VOCABULARY).exists():
    return wordpiece.load_wordpiece(folder)
  if (folder / "tokenizer.json").exists():
    # A late import: the package is optional.
    from behavior_lm.data.text.tokenizer_json import JsonTokenizer

    return JsonTokenizer.load(folder)
  raise UserError(
      f"{folder}: has neither {wordpiece.VOCABULARY} nor tokenizer.json, so no"
      " tokenizer of text. Copy them from the folder of the language model."
  )
