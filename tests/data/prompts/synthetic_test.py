import numpy as np
from sklearn.metrics import roc_auc_score

from behavior_lm.data.prompts.synthetic import make_interactions


def test_what_a_user_wrote_of_a_kind_tells_what_comes():
  frame = make_interactions(4_000, seed=0)
  assert frame["time"].is_sorted()
  assert 0.3 < frame["label"].mean() < 0.8
  kind = frame["item_text"].to_numpy()
  keys = np.char.add(frame["user_id"].to_numpy().astype(str), kind.astype(str))
  labels = frame["label"].to_numpy()
  seen, scores = {}, np.zeros(len(frame))
  for row, key in enumerate(keys):
    before = seen.setdefault(key, [])
    scores[row] = np.mean(before) if before else 0.5
    before.append(labels[row])
  late = slice(2_000, None)
  assert roc_auc_score(labels[late], scores[late]) > 0.65
