"""What a gate for data that nobody has seen could look like: proposed from a sample, as files."""

from lazaretto.proposal.examine import Sample, examine
from lazaretto.proposal.files import project_files
from lazaretto.proposal.gate import Proposal, Wishes
from lazaretto.proposal.propose import propose

__all__ = ["Proposal", "Sample", "Wishes", "examine", "project_files", "propose"]
