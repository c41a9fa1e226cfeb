"""Answers: what an incident reached, how complete the answer is, and reports of it."""
