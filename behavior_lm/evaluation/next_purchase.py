"""What category a user buys in next, from the interest vectors before it.

The vectors stay as they are; a small probe over the users of training brings
them to the categories of the model: score(c) = (W z) . e_c, where e_c is the
row of the model's category table and z one of

  mean   the mean of the fields of all events before: no towers
  join   long and short vector side by side
  gate   g * short + (1 - g) * long with g = sigmoid(W1 m + W2 short + W3 long
         + b), the gate of SDM (arXiv 1909.00385) with the mean m for the
         profile of the user, of which these logs have none
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from behavior_lm.common.errors import UserError
from behavior_lm.data.items.histories import ACTION
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.interest_rows import InterestRows
from behavior_lm.data.items.interest_rows import LONG
from behavior_lm.data.items.interest_rows import SHORT
from behavior_lm.evaluation.own_short import InterestSubject
from behavior_lm.evaluation.own_short import unit
from behavior_lm.models.two_tower import cut_prefix
from behavior_lm.models.two_tower import routed_places
from behavior_lm.training.state import merge_model

COLUMNS = (
    dict(name="auc", title="AUC", format=".4f", better="high"),
    dict(name="hr@10", title="HR@10", format=".4f", better="high"),
)
FUSIONS = ("mean", "join", "gate")
_USERS = 64
_NEGATIVES = 64
_DECAY = 1e-3


@dataclasses.dataclass(frozen=True)
class Purchases:
  """Purchases with a history before them.

  Attributes:
    histories: of the users.
    user: [n] places in the histories.
    before: [n] events that came strictly before.
    category: [n] what was bought, a code from 1.
  """

  histories: Histories
  user: np.ndarray
  before: np.ndarray
  category: np.ndarray


@dataclasses.dataclass(frozen=True)
class CategoryScores:
  """Where the category of each purchase stands among all.

  Attributes:
    users: [n] raw ids.
    auc: [n] share of other categories that score lower; ties count half.
    higher: [n] categories that score higher, half of the ties included.
  """

  users: np.ndarray
  auc: np.ndarray
  higher: np.ndarray

  @property
  def ratios(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Sums and weights by purchase, see `table.Scores`."""
    ones = np.ones(len(self.auc))
    found = (self.higher < 10).astype(np.float64)
    return {"auc": (self.auc, ones), "hr@10": (found, ones)}

  def summary(self) -> dict[str, float]:
    """Means over purchases."""
    return {name: float(x.mean()) for name, (x, _) in self.ratios.items()}


class NextPurchase:
  """Scores the categories of users' next purchases.

  Args:
    subject: the model and the data.
    split: whose purchases are scored.
    every: steps between two evaluations while training.
    fit_split: whose purchases the probe learns from; other users.
    action: the event id of a purchase.
    fusion: one of `FUSIONS`.
    per_user: newest purchases of a user that count.
    least_events: that came before a purchase.
    steps: of the probe.
    seed: of the probe.

  Raises:
    UserError: if the model reads no category, or there are no purchases.
  """

  def __init__(
      self,
      subject: InterestSubject,
      *,
      split: str,
      every: int = 0,
      fit_split: str = "train",
      action: str = "buy",
      fusion: str = "join",
      per_user: int = 3,
      least_events: int = 5,
      steps: int = 200,
      seed: int = 0,
  ) -> None:
    if fusion not in FUSIONS:
      raise UserError(
          f"fusion is {fusion!r}; known are {', '.join(FUSIONS)}."
      )
    self.subject, self.split, self.every = subject, split, every
    self.fusion, self.steps, self.seed = fusion, steps, seed
    self.column = subject.spans.category
    if not self.column:
      raise UserError(
          "the next purchase's category needs --config.data.category."
      )
    self.found = find_purchases(
        subject, split, action, per_user, least_events
    )
    self.known = find_purchases(
        subject, fit_split, action, per_user, least_events
    )
    codes = self.known.histories.extras[self.column]
    # Candidates are the categories that training has seen.
    self.candidates = np.unique(codes[codes > 0])
    self.columns, self.main, self.intervals = COLUMNS, "auc", ("hr@10",)
    self.num_events = int(self.found.before.sum())
    self.title = f"Category of the next purchase ({fusion})"
    self.settings = {
        "fusion": fusion,
        "per_user": per_user,
        "categories": len(self.candidates),
        "fit_purchases": len(self.known.user),
    }
    self.notes: tuple[str, ...] = (
        "A purchase's history is strictly before it. Categories that training"
        " has not seen are no candidates; bought, they count as AUC 0.5.",
    )

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `CategoryScores.summary`."""
    return self.scores(state).summary()

  def scores(self, state: Mapping[str, Any]) -> CategoryScores:
    """By a probe over the vectors of a model."""
    table = np.asarray(
        state["params"]["embed"]["features"]["categories"][self.column][
            "embedding"
        ]
    )[self.candidates + 1]
    table = table / np.maximum(
        np.linalg.norm(table, axis=1, keepdims=True), 1e-9
    )
    fit, test = (self._vectors(p, state) for p in (self.known, self.found))
    target = self._places(self.known.category)
    seen = target >= 0
    probe = fit_probe(
        {name: x[seen] for name, x in fit.items()},
        target[seen],
        table,
        self.fusion,
        steps=self.steps,
        seed=self.seed,
    )
    scores = np.asarray(fuse(probe, test, self.fusion)) @ table.T
    return self.rank(scores)

  def rank(self, scores: np.ndarray) -> CategoryScores:
    """[purchases, candidates] -> where the bought categories stand."""
    target = self._places(self.found.category)
    rows = np.arange(len(target))
    own = scores[rows, np.maximum(target, 0)][:, None]
    ties = (scores == own).sum(1) - 1
    higher = (scores > own).sum(1) + ties / 2
    others = max(scores.shape[1] - 1, 1)
    known = target >= 0
    users = np.array(self.found.histories.users, object)
    return CategoryScores(
        users[self.found.user],
        np.where(known, 1 - higher / others, 0.5),
        np.where(known, higher, others),
    )

  def baselines(self) -> tuple[dict[str, CategoryScores], set[str]]:
    """Popularity among purchases, and counts in the user's own history."""
    size = len(self.candidates)
    bought = self._places(self.known.category)
    popular = np.bincount(bought[bought >= 0], minlength=size)
    share = popular / max(popular.sum(), 1)
    counts = np.zeros((len(self.found.user), size))
    found = self.found.histories
    for row, (user, before) in enumerate(
        zip(self.found.user, self.found.before, strict=True)
    ):
      first = int(found.offsets[user])
      codes = found.extras[self.column][first : first + before]
      places = self._places(codes)
      np.add.at(counts[row], places[places >= 0], 1)
    # Popularity orders those that the user never looked at.
    return {
        "category histogram": self.rank(counts + share),
        "popularity": self.rank(np.tile(share, (len(counts), 1))),
    }, set()

  def _places(self, codes: np.ndarray) -> np.ndarray:
    """Codes -> their places among the candidates, -1 for others."""
    place = np.searchsorted(self.candidates, codes)
    place = np.minimum(place, len(self.candidates) - 1)
    return np.where(self.candidates[place] == codes, place, -1)

  def _vectors(
      self, purchases: Purchases, state: Mapping[str, Any]
  ) -> dict[str, np.ndarray]:
    """[purchases, embed_dim] `long`, `short` and `mean`, each normalised."""
    subject = self.subject
    source = InterestRows(
        purchases.histories,
        subject.reading,
        subject.spans,
        subject.vocabulary.counts,
    )
    names = [p + name for p in (LONG, SHORT) for name in subject.names]
    encode = jax.jit(make_summaries(subject.graphdef))
    number = len(purchases.user)
    size = min(_USERS, number)
    parts: dict[str, list[np.ndarray]] = {}
    for first in range(0, number, size):
      here = np.arange(first, min(first + size, number))
      rows = []
      for place in here:
        before = int(purchases.before[place])
        cut = subject.spans.cut(before)
        rows.append(source.row(int(purchases.user[place]), 0, cut, before))
      # The last batch repeats its first row: one shape is compiled.
      rows += rows[:1] * (size - len(here))
      batch = {name: np.stack([row[name] for row in rows]) for name in names}
      made = encode(state["params"], state["model_state"], batch)
      for name, values in made.items():
        parts.setdefault(name, []).append(np.asarray(values)[: len(here)])
    return {name: unit(np.concatenate(x)) for name, x in parts.items()}


def find_purchases(
    subject: InterestSubject,
    split: str,
    action: str,
    per_user: int,
    least_events: int,
) -> Purchases:
  """The newest purchases of each user that have a history.

  Raises:
    UserError: if there are none, or the log has no such action.
  """
  found = subject.histories([split])
  [code] = subject.vocabulary.action_codes([action])
  if ACTION not in found.extras or not code:
    raise UserError(
        f"no purchases: the model must read the feature {ACTION!r}, and"
        f" {action!r} must be an event id of training. Set action in"
        " config.evals."
    )
  users, before, categories = [], [], []
  for user in range(len(found)):
    span = slice(int(found.offsets[user]), int(found.offsets[user + 1]))
    times, kinds = found.times[span], found.extras[ACTION][span]
    codes = found.extras[subject.spans.category][span]
    earlier = np.searchsorted(times, times, side="left")
    here = np.flatnonzero(
        (kinds == code) & (codes > 0) & (earlier >= max(least_events, 2))
    )[-per_user:]
    users += [user] * len(here)
    before += earlier[here].tolist()
    categories += codes[here].tolist()
  if not users:
    raise UserError(
        f"{subject.dataset.path}: no user of split {split!r} has a purchase"
        f" ({action!r}) after {least_events} events."
    )
  return Purchases(
      found, np.array(users), np.array(before), np.array(categories)
  )


def make_summaries(graphdef: Any) -> Any:
  """A pure function (params, model_state, batch) -> vectors by name."""

  def summarise(
      params: Any, model_state: Any, batch: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    with jax.default_matmul_precision("float32"):
      model = merge_model(graphdef, params, model_state)
      made = model(batch)
      sums, counts = [], []
      for prefix in (LONG, SHORT):
        fields = cut_prefix(batch, prefix)
        inside = routed_places(fields)[..., None].astype(jnp.float32)
        sums.append((model.embed(fields) * inside).sum(1))
        counts.append(inside.sum(1))
      mean = sum(sums) / jnp.maximum(sum(counts), 1.0)
      return {"long": made["long"], "short": made["short"], "mean": mean}

  return summarise


def fit_probe(
    vectors: Mapping[str, np.ndarray],
    target: np.ndarray,
    table: np.ndarray,
    fusion: str,
    *,
    steps: int,
    seed: int,
) -> dict[str, jax.Array]:
  """Softmax over the bought category and drawn others, by Adam.

  Args:
    vectors: [n, dim] by name.
    target: [n] rows of the table.
    table: [categories, dim].
    fusion: one of `FUSIONS`.
    steps: over all purchases.
    seed: of the drawn categories.
  """
  dim = table.shape[1]
  eye = jnp.eye(dim, dtype=jnp.float32)
  probe = {"out": jnp.concatenate([eye, eye]) if fusion == "join" else eye}
  if fusion == "gate":
    zeros = jnp.zeros((dim, dim), jnp.float32)
    probe |= {"mean": zeros, "short": zeros, "long": zeros}
    probe["bias"] = jnp.zeros(dim, jnp.float32)
  optimizer = optax.adam(3e-3)
  arrays = {name: jnp.asarray(x, jnp.float32) for name, x in vectors.items()}
  targets, rows = jnp.asarray(target), jnp.asarray(table, jnp.float32)

  def loss(probe: Any, key: jax.Array) -> jax.Array:
    shape = (len(targets), _NEGATIVES)
    drawn = jax.random.randint(key, shape, 0, len(rows))
    candidates = jnp.concatenate([targets[:, None], drawn], 1)
    z = fuse(probe, arrays, fusion)
    logits = 10 * jnp.einsum("nd,ncd->nc", z, rows[candidates])
    same = (candidates == targets[:, None]).at[:, 0].set(False)
    logits = jnp.where(same, -1e9, logits)
    decay = sum((x * x).sum() for x in jax.tree.leaves(probe))
    nll = jax.nn.logsumexp(logits, 1) - logits[:, 0]
    return nll.mean() + _DECAY * decay

  @jax.jit
  def train(probe: Any) -> Any:
    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
      probe, state = carry
      updates, state = optimizer.update(jax.grad(loss)(probe, key), state)
      return (optax.apply_updates(probe, updates), state), None

    keys = jax.random.split(jax.random.key(seed), steps)
    (probe, _), _ = jax.lax.scan(step, (probe, optimizer.init(probe)), keys)
    return probe

  found: dict[str, jax.Array] = train(probe)
  return found


def fuse(
    probe: Mapping[str, jax.Array], vectors: Mapping[str, Any], fusion: str
) -> jax.Array:
  """[n, dim] in the space of the category table, see the head of this file."""
  long, short, mean = (vectors[name] for name in ("long", "short", "mean"))
  if fusion == "mean":
    return mean @ probe["out"]
  if fusion == "join":
    return jnp.concatenate([long, short], 1) @ probe["out"]
  gate = jax.nn.sigmoid(
      mean @ probe["mean"]
      + short @ probe["short"]
      + long @ probe["long"]
      + probe["bias"]
  )
  return (gate * short + (1 - gate) * long) @ probe["out"]
