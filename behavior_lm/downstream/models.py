"""The plain models of downstream tables, fitted by scikit-learn.

Each model is fitted on training rows alone, chooses its penalty and its
threshold on validation rows taken out of these, and is then fitted on all of
them. Iterations are capped. Threads of one product or one boosting round slow
each other down on busy machines, so that these get one; the trees of a forest
are grown two at a time, which changes none of them.
"""

from collections.abc import Callable
import dataclasses
from typing import Any
import warnings

import numpy as np
from scipy import sparse
from sklearn import ensemble
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import MaxAbsScaler
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import MULTI_LABEL
from behavior_lm.data.samples.sample_columns import REGRESSION
from behavior_lm.evaluation.classification import best_threshold

# Strengths tried on validation rows; small is strong. Columns are scaled.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MAX_ITERATIONS = 100
NUM_TREES = 200
NUM_JOBS = 2
NUM_ROUNDS = 60
INNER_FOLDS = 4
LOGISTIC, FOREST, BOOSTING, PRIOR = "logistic", "forest", "boosting", "prior"

type Matrix = Any  # np.ndarray or scipy.sparse.csr_array


@dataclasses.dataclass(frozen=True)
class Scored:
  """Scores of tested rows, and the threshold from validation rows.

  Attributes:
    scores: [tested] probabilities of 1 or values, [tested, classes].
    threshold: for binary labels; unused for the others.
  """

  scores: np.ndarray
  threshold: float = 0.5


def fit_and_score(
    model: str,
    kind: str,
    train: Matrix,
    labels: np.ndarray,
    test: Matrix,
    *,
    num_classes: int = 0,
    seed: int = 0,
) -> Scored:
  """Fits a model and scores the tested rows.

  Args:
    model: LOGISTIC (ridge regression for numbers), FOREST, BOOSTING or PRIOR
      (the shares or the mean of the training labels).
    kind: of the label.
    train: [n, columns].
    labels: [n] or [n, labels], of the training rows.
    test: [tested, columns].
    num_classes: of multi-class labels; classes without a training row get 0.
    seed: of the model and of the choice of validation rows.

  Raises:
    ValueError: if there is no such model.
  """
  if model not in _MODELS:
    raise ValueError(f"model {model!r}; there are {', '.join(_MODELS)}")
  with threadpool_limits(1), warnings.catch_warnings():
    # The iterations are capped on purpose.
    warnings.simplefilter("ignore", ConvergenceWarning)
    # A row that every tree saw has no out-of-bag score and counts as .5.
    warnings.filterwarnings("ignore", "Some inputs do not have OOB")
    if kind == MULTI_LABEL:
      columns = [
          _MODELS[model](BINARY, train, labels[:, i], test, 2, seed).scores
          for i in range(labels.shape[1])
      ]
      return Scored(np.stack(columns, axis=1))
    return _MODELS[model](kind, train, labels, test, num_classes, seed)


def _prior(
    kind: str,
    train: Matrix,
    labels: np.ndarray,
    test: Matrix,
    num_classes: int,
    seed: int,
) -> Scored:
  size = test.shape[0]
  if kind in (REGRESSION, BINARY):
    return Scored(np.full(size, labels.mean()))
  share = np.bincount(labels, minlength=num_classes) / len(labels)
  return Scored(np.tile(share, (size, 1)))


def _logistic(
    kind: str,
    train: Matrix,
    labels: np.ndarray,
    test: Matrix,
    num_classes: int,
    seed: int,
) -> Scored:
  is_sparse = sparse.issparse(train)
  scaler = MaxAbsScaler() if is_sparse else StandardScaler()
  train = scaler.fit_transform(train)
  test = scaler.transform(test)
  fit, valid = _validation(kind, labels, seed)
  best, chosen, threshold = -np.inf, STRENGTHS[0], 0.5
  only_one = kind != REGRESSION and len(np.unique(labels[fit])) < 2
  # MaxAbs leaves columns smaller than unit variance would: weaker penalties.
  strengths = [s * (100 if is_sparse else 1) for s in STRENGTHS]
  start: Any = None
  for strength in [] if only_one else strengths:
    fitted = _linear(kind, strength, start).fit(train[fit], labels[fit])
    start = fitted
    scores = _scores(kind, fitted, train[valid], num_classes)
    value = _quality(kind, labels[valid], scores)
    if value > best:
      best, chosen = value, strength
      if kind == BINARY:
        threshold = best_threshold(labels[valid], scores)
  if kind != REGRESSION and len(np.unique(labels)) < 2:
    return _prior(kind, train, labels, test, num_classes, seed)
  fitted = _linear(kind, chosen, None).fit(train, labels)
  return Scored(_scores(kind, fitted, test, num_classes), threshold)


def _linear(kind: str, strength: float, start: Any) -> Any:
  if kind == REGRESSION:
    return linear_model.Ridge(1 / strength)
  model = linear_model.LogisticRegression(
      C=strength, max_iter=MAX_ITERATIONS, warm_start=True
  )
  if start is not None:
    # From a strong to a weak penalty, each from the solution before it.
    model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
    model.classes_ = start.classes_
  return model


def _forest(
    kind: str,
    train: Matrix,
    labels: np.ndarray,
    test: Matrix,
    num_classes: int,
    seed: int,
) -> Scored:
  # Trees read columns; scikit-learn's sparse ones are slower than dense ones.
  train, test = _dense(train), _dense(test)
  if kind == REGRESSION:
    fitted = ensemble.RandomForestRegressor(
        NUM_TREES,
        min_samples_leaf=2,
        max_features=0.3,
        n_jobs=NUM_JOBS,
        random_state=seed,
    ).fit(train, labels)
    fitted.n_jobs = 1  # Threads would sum the trees in any order.
    return Scored(fitted.predict(test))
  fitted = ensemble.RandomForestClassifier(
      NUM_TREES,
      min_samples_leaf=2,
      oob_score=kind == BINARY and len(np.unique(labels)) == 2,
      n_jobs=NUM_JOBS,
      random_state=seed,
  ).fit(train, labels)
  fitted.n_jobs = 1  # Threads would sum the trees in any order.
  threshold = 0.5
  if kind == BINARY and hasattr(fitted, "oob_decision_function_"):
    # Out-of-bag scores: each by the trees that did not see the row.
    left_out = np.nan_to_num(fitted.oob_decision_function_[:, 1], nan=0.5)
    threshold = best_threshold(labels, left_out)
  return Scored(_scores(kind, fitted, test, num_classes), threshold)


def _boosting(
    kind: str,
    train: Matrix,
    labels: np.ndarray,
    test: Matrix,
    num_classes: int,
    seed: int,
) -> Scored:
  train, test = _dense(train), _dense(test)
  make: Callable[[], Any]
  options = dict(
      max_iter=NUM_ROUNDS,
      learning_rate=0.15,
      max_leaf_nodes=15,
      max_features=0.2,
      l2_regularization=1.0,
      early_stopping=False,
      random_state=seed,
  )
  if kind == REGRESSION:
    make = lambda: ensemble.HistGradientBoostingRegressor(**options)
  else:
    make = lambda: ensemble.HistGradientBoostingClassifier(**options)
  threshold = 0.5
  if kind == BINARY:
    fit, valid = _validation(kind, labels, seed)
    if len(np.unique(labels[fit])) == 2:
      fitted = make().fit(train[fit], labels[fit])
      scores = _scores(kind, fitted, train[valid], num_classes)
      threshold = best_threshold(labels[valid], scores)
  fitted = make().fit(train, labels)
  return Scored(_scores(kind, fitted, test, num_classes), threshold)


def _validation(
    kind: str, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Rows to fit on and rows to choose by, out of the training rows."""
  least = 0
  if kind != REGRESSION:
    least = int(np.unique(labels, return_counts=True)[1].min())
  folds = min(INNER_FOLDS, len(labels))
  split = (
      StratifiedKFold(folds, shuffle=True, random_state=seed)
      if least >= folds
      else KFold(folds, shuffle=True, random_state=seed)
  )
  return next(split.split(np.zeros((len(labels), 1)), labels))


def _quality(kind: str, labels: np.ndarray, scores: np.ndarray) -> float:
  """Larger is better: minus the squared error or the log loss."""
  if kind == REGRESSION:
    return -float(np.mean((labels - scores) ** 2))
  if kind == BINARY:
    own = np.where(labels == 1, scores, 1 - scores)
  else:
    own = scores[np.arange(len(labels)), labels]
  return float(np.mean(np.log(np.maximum(own, 1e-7))))


def _scores(
    kind: str, fitted: Any, rows: Matrix, num_classes: int
) -> np.ndarray:
  if kind == REGRESSION:
    return np.asarray(fitted.predict(rows))
  found = fitted.predict_proba(rows)
  if kind == BINARY:
    ones = np.flatnonzero(fitted.classes_ == 1)
    return found[:, ones[0]] if len(ones) else np.zeros(rows.shape[0])
  out = np.zeros((rows.shape[0], num_classes))
  out[:, fitted.classes_] = found
  return out


def _dense(rows: Matrix) -> np.ndarray:
  return rows.toarray() if sparse.issparse(rows) else np.asarray(rows)


_MODELS = {
    PRIOR: _prior,
    LOGISTIC: _logistic,
    FOREST: _forest,
    BOOSTING: _boosting,
}
