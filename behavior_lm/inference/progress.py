"""The bar of an embedding, under the name that `embedder` imports."""

from behavior_lm.common.progress import Bar as Bar
