"""Logs of a made-up shop in Taobao's format, for runs without a dataset.

A user likes a few categories of all and a few items in each; now and then the
user looks at anything. Purchases follow clicks. So a user's late events can be
told from those of others by the early ones.
"""

import numpy as np

ACTIONS = ("pv", "fav", "cart", "buy")
_SHARES = (0.88, 0.04, 0.05, 0.03)
_START = 1_511_539_200  # 2017-11-25 in Shanghai
_DAYS = 9
_LIKED = 3
_NOISE = 0.2


def shop_rows(
    num_users: int = 300,
    num_items: int = 400,
    num_categories: int = 20,
    mean_events: int = 40,
    seed: int = 0,
) -> list[str]:
  """Lines user,item,category,action,seconds; those of a user are in order."""
  rng = np.random.default_rng(seed)
  category = np.sort(np.arange(num_items) % num_categories)
  lines = []
  for user in range(num_users):
    size = max(4, int(rng.poisson(mean_events)))
    liked = rng.choice(num_categories, _LIKED, replace=False)
    known = [np.flatnonzero(category == one) for one in liked]
    kind = rng.integers(_LIKED, size=size)
    items = np.array([rng.choice(known[k]) for k in kind])
    noise = rng.random(size) < _NOISE
    items[noise] = rng.integers(num_items, size=int(noise.sum()))
    actions = rng.choice(len(ACTIONS), size, p=_SHARES)
    times = np.sort(rng.integers(_DAYS * 86_400, size=size)) + _START
    lines += [
        f"{user + 1},{item + 1},{category[item] + 1},{ACTIONS[action]},{time}"
        for item, action, time in zip(items, actions, times, strict=True)
    ]
  return lines
