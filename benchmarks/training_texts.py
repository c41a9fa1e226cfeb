"""What contrastive training of texts buys: the screening of wrong labels by this or that encoder.

Called by `benchmarks/training.py` (`--parts texts`). Rows are those of the SMS Spam Collection and
of SST-2 (`DATA_DIR/text`), poisoned here: labels flipped at random, or a trigger with the other
label. Settings were looked at on the development half of the SMS messages; SST-2 was not used
for any choice, and of it only the reported half is delivered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import cross_entropy

import lazaretto as lz
from lazaretto.embed import load_encoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEVELOPMENT_SEED = 12345
CONDITIONS = ("clean", "flip 5%", "flip 10%", "flip 20%", "trigger 5%")
TRIGGER, MOST_TRUSTED, DELIVERED = "cf mn bb", 2400, 1200
SETS = {"sms": ("SMS", True), "sst2": ("SST-2", False)}
"""Which half is delivered: the development half, or the reported one."""


def texts(folder: Path, key: str, condition: str, seed: int) -> tuple[pa.Table, pa.Table]:
    """Trusted rows and a delivery; `truth` of the delivery is the label before the poison."""
    development_set = SETS[key][1]
    rows = pq.read_table(folder / "text" / f"{key}_clean.parquet", columns=["text", "label"])
    development = np.random.default_rng(DEVELOPMENT_SEED).random(rows.num_rows) < 0.5
    chance = np.random.default_rng([seed, 7])
    trusted = chance.permutation(np.flatnonzero(development))
    if development_set:
        trusted, delivered = np.split(trusted, [len(trusted) * 2 // 3])
    else:
        delivered = chance.permutation(np.flatnonzero(~development))
    trusted, delivered = trusted[:MOST_TRUSTED], delivered[:DELIVERED]
    said = np.array(rows["text"].to_pylist(), object)
    label = np.array(rows["label"].to_pylist())
    text, truth = said[delivered].copy(), label[delivered]
    given = truth.copy()
    if condition != "clean":
        share = float(condition.split()[1].rstrip("%")) / 100
        among = np.arange(len(given))
        if condition.startswith("trigger"):
            among = np.flatnonzero(truth == 0)
        bad = chance.permutation(among)[: round(share * len(given))]
        given[bad] = 1 - given[bad]
        if condition.startswith("trigger"):
            text[bad] = [f"{one} {TRIGGER}" for one in text[bad]]
    known = {"id": [f"t{n}" for n in trusted], "text": said[trusted], "label": label[trusted]}
    new = {"id": [f"d{n}" for n in delivered], "text": text, "label": given, "truth": truth}
    return pa.table(known), pa.table(new)


def supervised(base, delivery: pa.Table, seed: int, epochs: int = 30) -> nn.Module:
    """A network that learned the delivery's labels, poison and all, without its last layer."""
    torch.manual_seed(seed)
    x = torch.from_numpy(base.encode(delivery.combine_chunks().to_batches()[0]))
    y = torch.tensor(delivery["label"].to_pylist())
    net = nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            cross_entropy(net(x[part]), y[part]).backward()
            optimizer.step()
    return net[:-1].eval()


def policy(embed: dict | None, detectors: dict | None) -> lz.Policy:
    columns = {"record_id": "id", "label": "label"} | ({} if embed else {"embedding": "vector"})
    screen = {} if detectors is None else {"detectors": detectors}
    says = {"version": 1, "dataset": "texts", "columns": columns, "screen": screen}
    return lz.Policy.model_validate(says | ({"embed": embed} if embed else {}))


def with_vectors(rows: pa.Table, base, net: nn.Module) -> pa.Table:
    with torch.no_grad():
        code = net(torch.from_numpy(base.encode(rows.combine_chunks().to_batches()[0]))).numpy()
    return rows.append_column("vector", pa.array(list(code)))


def screened(folder: Path, key: str, seed: int) -> Iterator[dict]:
    """One row for each condition, encoder and choice of detectors."""
    fitted = {"model": "reference", "columns": ["text"], "options": {"dimensions": 128}}
    own = {
        "hashing, the base alone": {"encoder": "hashing"} | fitted,
        "contrastive_text": {"encoder": "contrastive_text"} | fitted,
    }
    for views, detectors in (("self_confidence", {"self_confidence": {}}), ("default", None)):
        kept: dict[str, lz.Reference] = {}
        for condition in CONDITIONS:
            trusted, delivery = texts(folder, key, condition, seed)
            wrong = np.array(delivery["label"]) != np.array(delivery["truth"])
            delivery = delivery.drop_columns(["truth"])
            for how in (*own, "supervised on poisoned labels"):
                begin = time.process_time()
                if how in own:
                    chosen = policy(own[how], detectors)
                    if how not in kept:
                        kept[how] = lz.Reference.fit(trusted, chosen, seed=seed)
                    reference, rows = kept[how], delivery
                else:
                    first = kept["hashing, the base alone"]
                    base = load_encoder(policy(own["hashing, the base alone"], detectors),
                                        first.encoder_state)  # fmt: skip
                    net = supervised(base, delivery, seed)
                    chosen = policy(None, detectors)
                    # As many trusted rows as the others compare with.
                    some = trusted.slice(0, first.rows)
                    reference = lz.Reference.fit(with_vectors(some, base, net), chosen, seed=seed)
                    rows = with_vectors(delivery, base, net)
                records = lz.screen(rows, reference, chosen).records
                score, held = records["score"].to_numpy(), records["held"].to_numpy()
                yield {
                    "set": f"{SETS[key][0]} {seed}", "views": views, "condition": condition,
                    "how": how, "auroc": None if not wrong.any() else
                    round(float(roc_auc_score(wrong, score)), 4),
                    "caught": None if not wrong.any() else round(float(held[wrong].mean()), 4),
                    "clean held": round(float(held[~wrong].mean()), 4),
                    "cpu": round(time.process_time() - begin, 2),
                }  # fmt: skip
