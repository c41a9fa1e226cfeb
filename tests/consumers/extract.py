"""Runs in Data.Rentgen's environment: what its own parser and extractors make of events.

Reads JSON Lines, as its Kafka consumer takes messages, and prints what it would save.
"""

import json
import sys

from data_rentgen.consumer.extractors import BatchExtractor
from data_rentgen.consumer.subscribers import OpenLineageRunEventAdapter

extractor, refused, read = BatchExtractor(), [], 0
for line in sys.stdin.buffer:
    read += 1
    try:
        extractor.add_events([OpenLineageRunEventAdapter.validate_json(line)])
    except (ValueError, TypeError) as error:
        refused.append(str(error)[:500])
found = extractor.result
json.dump(
    {
        "read": read,
        "refused": refused,
        "runs": {
            str(run.id): {
                "job": run.job.name,
                "status": run.status.name,
                "started": run.started_at and run.started_at.isoformat(),
                "ended": run.ended_at and run.ended_at.isoformat(),
                "parent": run.parent_run and str(run.parent_run.id),
            }
            for run in found.runs()
        },
        "outputs": [
            {
                "run": str(output.operation.run.id),
                "name": output.dataset.name,
                "type": output.type.value,
                "rows": output.num_rows,
            }
            for output in found.outputs()
        ],
        "inputs": len(found.inputs()),
        "overwrite": type(found.outputs()[0].type).OVERWRITE.value,
    },
    sys.stdout,
)
