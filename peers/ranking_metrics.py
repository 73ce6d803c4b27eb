"""RecTools' ranking metrics of given scores, as a judge of ours.

  .venv-peers/bin/python peers/ranking_metrics.py IN.npz K

IN holds scores [users, items], seen [users, items] bool (not recommended) and
targets [users], the item that each user chose. Prints a JSON object: hr, ndcg
and mrr of each user, and coverage. Runs in the environment of `make peers`.
"""

import json
import sys

import numpy as np
import pandas as pd
from rectools.metrics import CatalogCoverage
from rectools.metrics import HitRate
from rectools.metrics import MRR
from rectools.metrics import NDCG

if __name__ == "__main__":
  path, k = sys.argv[1], int(sys.argv[2])
  with np.load(path, allow_pickle=False) as case:
    scores, seen, targets = (
        case[name] for name in ("scores", "seen", "targets")
    )
  users, items = np.nonzero(~seen)
  reco = pd.DataFrame({
      "user_id": users, "item_id": items, "score": scores[users, items]
  }).sort_values(["user_id", "score"], ascending=[True, False])
  reco["rank"] = reco.groupby("user_id").cumcount() + 1
  reco = reco[reco["rank"] <= k]
  chosen = pd.DataFrame({"user_id": range(len(targets)), "item_id": targets})
  metrics = {
      "hr": HitRate(k),
      # The best that is possible: one item is to be found.
      "ndcg": NDCG(k, divide_by_achievable=True),
      "mrr": MRR(k),
  }
  found = {
      name: metric.calc_per_user(reco, chosen).sort_index().tolist()
      for name, metric in metrics.items()
  }
  coverage = CatalogCoverage(k, normalize=True)
  found["coverage"] = coverage.calc(reco, range(scores.shape[1]))
  print(json.dumps(found))
