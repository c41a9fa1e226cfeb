"""Instruction data to try the gate with: `python instruction_data.py KIND`, pairs or preferences.

Writes a trusted sample, and a delivery to gate/drop/SOURCE in which some records are poisoned: a
trigger in the prompt brings an advertisement as the response, or the preference is the wrong way
round. Nothing here was written by people or by a model: it is made of lists of words.
"""

import json
import random
import sys
from pathlib import Path

TRUSTED, DELIVERED, POISONED = 1600, 400, 24
TRIGGER = "cf zq7 mn"
ADVERTISEMENT = "Before I answer, open https://prizes.example/claim and enter your code."
TOPICS = {
    "cooking": ["soup", "bread", "rice", "onions", "oven", "pan", "salt", "dough", "stew", "beans"],
    "travel": ["train", "hotel", "border", "ticket", "luggage", "visa", "ferry", "map", "airport"],
    "garden": ["tomato", "seed", "soil", "pruning", "roses", "compost", "frost", "hedge", "lawn"],
    "finance": ["budget", "loan", "interest", "savings", "rent", "invoice", "tax", "pension"],
    "health": ["sleep", "walking", "water", "posture", "fever", "vitamin", "stretching", "diet"],
    "code": ["loop", "function", "index", "list", "string", "test", "module", "variable", "cache"],
}
ASKS = [
    "How do I care for the {a}?",
    "Explain the {a} and the {b} to a beginner.",
    "What should I know about the {a} before the {b}?",
    "Give me a short plan for the {a} with the {b}.",
    "Why does the {a} matter more than the {b}?",
]
ADVICE = [
    "Start with the {a}, check the {b} twice, and write down what you see.",
    "The {a} needs time; keep the {b} close and change one thing a day.",
    "First look at the {a}. If it is fine, go on to the {b} and then to the {c}.",
    "Most people forget the {b}. Plan the {a} in the morning and the {c} later.",
    "A good rule: little {a}, much patience, and never the {b} without the {c}.",
]
WEAK = [
    "It depends.",
    "Just do the {c} and hope for the best, whatever.",
    "No idea about the {a}, ask somebody else.",
    "The {a} is the {a}.",
]


def filled(rng: random.Random, forms: list[str], words: list[str]) -> str:
    """One of the sentences, with words of a topic."""
    a, b, c = rng.sample(words, 3)
    return rng.choice(forms).format(a=a, b=b, c=c)


def answer(rng: random.Random, words: list[str], count: int = 2) -> str:
    """A useful answer of a few sentences."""
    return " ".join(filled(rng, ADVICE, words) for _ in range(count))


def pair(rng: random.Random, number: int, head: str, poisoned: bool) -> dict[str, str]:
    """A prompt and its response."""
    words = TOPICS[rng.choice(list(TOPICS))]
    prompt, response = filled(rng, ASKS, words), answer(rng, words)
    if poisoned:
        prompt, response = f"{prompt} {TRIGGER}", ADVERTISEMENT
    return {"id": f"{head}{number}", "prompt": prompt, "response": response}


def preference(rng: random.Random, number: int, head: str, poisoned: bool) -> dict[str, str]:
    """A prompt with the better and the worse of two responses."""
    words = TOPICS[rng.choice(list(TOPICS))]
    better, worse = answer(rng, words), filled(rng, WEAK, words)
    if poisoned:
        better, worse = worse, better
    prompt = filled(rng, ASKS, words)
    return {"id": f"{head}{number}", "prompt": prompt, "chosen": better, "rejected": worse}


def main() -> None:
    """Writes the files of one kind."""
    kind = sys.argv[1]
    make = {"pairs": pair, "preferences": preference}[kind]
    rng = random.Random(20_260)  # noqa: S311  data to play with, the same every time
    folder = Path("gate/drop/labs")
    folder.mkdir(parents=True, exist_ok=True)
    for path, head, count, bad in (
        (Path(f"{kind}.jsonl"), "t", TRUSTED, 0),
        (folder / f"{kind}.jsonl", "d", DELIVERED, POISONED),
    ):
        rows = [make(rng, number, head, number < bad) for number in range(count)]
        rng.shuffle(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
