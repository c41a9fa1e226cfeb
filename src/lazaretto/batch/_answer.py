"""What the process that decodes answers with besides JSON: known to it and to who started it."""

import os

READY = b"ready\n"
FAULT = "fault"
"""Code of an answer: not the delivery is at fault, but this machine."""
CANNOT_ANSWER = os.EX_IOERR
"""Exit status when the answer cannot be written: the disk is full, or fails."""
