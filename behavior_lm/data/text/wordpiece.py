"""WordPiece, BERT's tokenizer of text (arXiv 1609.08144, 1810.04805).

Words are parts between spaces and punctuation; a word is the longest pieces of
the vocabulary from left to right, whose later ones begin with "##".
"""

from collections.abc import Iterable, Sequence
import hashlib
import json
from pathlib import Path
import re
import unicodedata

from behavior_lm.artifacts.json_files import read_object
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole

VOCABULARY, SETTINGS = "vocab.txt", "tokenizer_config.json"
PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNK, CLS, SEP, MASK)
# A longer word is unknown, as in BERT's code.
_LONGEST_WORD = 100
# Words that are remembered with their pieces.
_REMEMBERED = 1 << 20
# ASCII alone needs no look at each character.
_ASCII_WORDS = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9\s]")
_ASCII_CONTROL = dict.fromkeys(
    code for code in (*range(32), 127) if chr(code) not in "\t\n\r"
)
# Chinese characters are words of their own: first and last of each block. The
# package `tokenizers`, whose ids trained models know, begins one block at
# 2B920, where BERT's first code begins it at 2B820.
_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
  """See `behavior_lm.data.text.TextTokenizer`.

  Args:
    vocabulary: pieces in the order of their ids.
    lowercase: letters are made small and lose their accents.

  Raises:
    ValueError: if a special piece is missing.
  """

  def __init__(self, vocabulary: Sequence[str], *, lowercase: bool = True):
    self._vocabulary = list(vocabulary)
    self._ids = {piece: number for number, piece in enumerate(vocabulary)}
    missing = [piece for piece in SPECIAL[:4] if piece not in self._ids]
    if missing:
      raise ValueError(f"the vocabulary has no {', '.join(missing)}")
    self.lowercase = lowercase
    self._known_words: dict[str, list[int]] = {}

  @property
  def vocab_size(self) -> int:
    return len(self._vocabulary)

  @property
  def cls_id(self) -> int:
    return self._ids[CLS]

  @property
  def sep_id(self) -> int:
    return self._ids[SEP]

  @property
  def fingerprint(self) -> str:
    text = json.dumps([self._vocabulary, self.lowercase])
    return hashlib.sha256(text.encode()).hexdigest()

  def encode(self, texts: Sequence[str]) -> list[list[int]]:
    return [
        [number for word in self.words(text) for number in self._pieces(word)]
        for text in texts
    ]

  def words(self, text: str) -> list[str]:
    """The words of a text, as the vocabulary spells them."""
    return split_words(text, lowercase=self.lowercase)

  def save(self, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / VOCABULARY, "\n".join(self._vocabulary) + "\n")
    settings = {"do_lower_case": self.lowercase}
    write_whole(folder / SETTINGS, json.dumps(settings) + "\n")

  def _pieces(self, word: str) -> list[int]:
    found = self._known_words.get(word)
    if found is None:
      found = self._find_pieces(word)
      if len(self._known_words) < _REMEMBERED:
        self._known_words[word] = found
    return found

  def _find_pieces(self, word: str) -> list[int]:
    unknown = [self._ids[UNK]]
    if len(word) > _LONGEST_WORD:
      return unknown
    found, start = [], 0
    while start < len(word):
      for end in range(len(word), start, -1):
        piece = ("##" if start else "") + word[start:end]
        if piece in self._ids:
          found.append(self._ids[piece])
          start = end
          break
      else:
        return unknown
    return found


def load_wordpiece(folder: Path) -> WordPiece:
  """Reads vocab.txt and, where it is there, tokenizer_config.json.

  Raises:
    UserError: if a file is damaged, or strips accents otherwise than BERT.
  """
  path = folder / VOCABULARY
  try:
    # By "\n" alone: some pieces are other line separators.
    pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: is no vocabulary ({error}).") from error
  settings = {}
  if (folder / SETTINGS).exists():
    settings = read_object(folder / SETTINGS)
  lowercase = settings.get("do_lower_case", True)
  strips = settings.get("strip_accents")
  chinese = settings.get("tokenize_chinese_chars", True)
  if strips not in (None, lowercase) or chinese is not True:
    raise UserError(
        f"{folder / SETTINGS}: strip_accents {strips!r} and"
        f" tokenize_chinese_chars {chinese!r} are read by the package"
        " tokenizers alone. Delete vocab.txt and keep tokenizer.json."
    )
  try:
    return WordPiece(pieces, lowercase=bool(lowercase))
  except ValueError as error:
    raise UserError(f"{path}: {error}.") from error


def fit_words(texts: Iterable[str], max_words: int) -> WordPiece:
  """A tokenizer whose pieces are the most frequent words, and all letters.

  It serves models that are trained from nothing; ties go by the alphabet.
  """
  counts: dict[str, int] = {}
  for text in texts:
    for word in split_words(text, lowercase=True):
      counts[word] = counts.get(word, 0) + 1
  letters = sorted({letter for word in counts for letter in word})
  words = sorted(counts, key=lambda word: (-counts[word], word))[:max_words]
  pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words]
  return WordPiece(list(dict.fromkeys(pieces)))


def split_words(text: str, *, lowercase: bool) -> list[str]:
  """BERT's basic tokenization: words and single punctuation marks."""
  if text.isascii():
    text = text.translate(_ASCII_CONTROL)
    return _ASCII_WORDS.findall(text.lower() if lowercase else text)
  letters = []
  for letter in text:
    code = ord(letter)
    if code in (0, 0xFFFD) or _is_control(letter):
      continue
    if letter.isspace() or unicodedata.category(letter) == "Zs":
      letters.append(" ")
    elif any(first <= code <= last for first, last in _CHINESE):
      letters.append(f" {letter} ")
    else:
      letters.append(letter)
  words = []
  for word in "".join(letters).split():
    if lowercase:
      word = unicodedata.normalize("NFD", word.lower())
      word = "".join(x for x in word if unicodedata.category(x) != "Mn")
    words += _cut_punctuation(word)
  return words


def _cut_punctuation(word: str) -> list[str]:
  parts, begins = [], True
  for letter in word:
    if _is_punctuation(letter):
      parts.append(letter)
      begins = True
    elif begins:
      parts.append(letter)
      begins = False
    else:
      parts[-1] += letter
  return parts


def _is_control(letter: str) -> bool:
  if letter in "\t\n\r":
    return False
  return unicodedata.category(letter).startswith("C")


def _is_punctuation(letter: str) -> bool:
  code = ord(letter)
  # All that is no letter and no digit in ASCII, "$" and "^" too.
  if code < 128:
    return not letter.isalnum() and not letter.isspace() and code > 32
  return unicodedata.category(letter).startswith("P")
