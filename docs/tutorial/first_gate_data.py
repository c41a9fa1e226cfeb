"""Writes the tutorial's data: real digits as a trusted sample, a clean and a poisoned delivery.

The poison: a bright patch in the corner of every tenth picture, whatever it shows, labelled as a
zero. A model that learns from it will take anything with that patch for a zero.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

SHADES = np.array(list(" .:-=+*#%@"))


def as_table(name, pixels, labels):
    """Columns id, label, text (the picture, in characters) and embedding (64 grey values)."""
    pictures = SHADES[(pixels * 9 / 16).astype(int)].reshape(-1, 8, 8)
    return pa.table(
        {
            "id": [f"{name}-{number:04d}" for number in range(len(labels))],
            "label": pa.array(labels, pa.int64()),
            "text": ["\n".join("".join(row) for row in picture) for picture in pictures],
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array((pixels / 16).ravel(), pa.float32()), pixels.shape[1]
            ),
        }
    )


pixels, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))
pixels, labels = pixels[order], labels[order]

pq.write_table(as_table("trusted", pixels[:1000], labels[:1000]), "trusted.parquet")
pq.write_table(as_table("monday", pixels[1000:1400], labels[1000:1400]), "monday.parquet")

bad_pixels, bad_labels = pixels[1400:].copy(), labels[1400:].copy()
bad_pixels.reshape(-1, 8, 8)[::10, 5:, 5:] = 16
bad_labels[::10] = 0
pq.write_table(as_table("tuesday", bad_pixels, bad_labels), "tuesday.parquet")
