"""Cleaning: honest texts of many languages pass, attacks are found, what is mended stays mended."""

# ruff: noqa: RUF001  letters that look alike are what this is about
from __future__ import annotations

import random
import string
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.batch._fixes import Fixes
from lazaretto.cleaning import Known, Original, content_keys, needed, report, scan, sketches
from lazaretto.cleaning._lengths import CLASSES, extreme, size_classes
from lazaretto.cleaning._near import near_before
from lazaretto.policy import Cleaning, Columns

COLUMNS = Columns(record_id="id", label="label")
TEXTS = (
    "bidi_controls",
    "invisible",
    "control_characters",
    "homoglyphs",
    "private_use",
    "mojibake",
    "replacement_characters",
)
MENDING = ("bidi_controls", "invisible", "control_characters", "mojibake")

HONEST = {
    "English": "The quick brown fox – it’s 5 µm long, “naïve” café, résumé & coöperate: 10 €.",
    "German": "Größe, Maß und Übermut; der Bäcker aß süße Äpfel. Donaudampf\u00adschifffahrt",
    "French": "« À bientôt ! » dit-elle : l’œuvre coûte 1\u202f234,50 € à Noël.",
    "Spanish": "¿Qué tal, señor Núñez? ¡El pingüino comió jamón!",
    "Portuguese": "São João não é ação; às três horas, coração. ÃO JOSÉ",
    "Polish": "Zażółć gęślą jaźń. Łódź, Wrocław, Kraków",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Turkish": "İstanbul’da ılık bir gün; ığdır, şöyle böyle",
    "Vietnamese": "Tiếng Việt có nhiều dấu: phở, bánh mì, Nguyễn",
    "Russian": "Съешь же ещё этих мягких французских булок, да выпей чаю; iPhone'ом и USB-кабель",
    "Ukrainian": "Щастя, їжак, ґанок, п’ять об’єктів: Windows та Linux",
    "Serbian": "Љубазни фењерџија чађавог лица; Ljubazni fenjerdžija",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Το Facebook και η Αθήνα",
    "Arabic": "مرحبا بالعالم\u200f! السعر ١٢٫٥ دولار (USD)\u200e، شكرًا.",
    "Persian": "می\u200cخواهم کتاب\u200cها را بخوانم",
    "Hebrew": "שלום עולם\u200e! \u2067טקסט\u2069 עם ABC",
    "Hindi": "क्\u200dष और श्र\u200c: नमस्ते दुनिया, SMS भेजें",
    "Bengali": "র\u200d্যাব এবং বাংলা ভাষা",
    "Malayalam": "മലയാളം ന\u200d ര\u200d",
    "Tamil": "தமிழ் மொழி வணக்கம்",
    "Sinhala": "ශ්\u200dරී ලංකාව",
    "Thai": "ภาษา\u200bไทย\u200bไม่มี\u200bช่องว่าง",
    "Khmer": "ភាសា\u200bខ្មែរ",
    "Burmese": "မြန်မာ\u200bဘာသာ",
    "Japanese": "Tシャツとスマホ、東京タワーへ行きました。ﾊﾝｶｸ ＡＢＣ 葛\U000e0100飾区",
    "Korean": "K-POP팬들이 2024년에 서울에서 大會를 했다",
    "Chinese": "我在北京用Python写代码，价格为￥100。",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u180b ᠪᠢᠴᠢᠭ",
    "Georgian": "საქართველო და Tbilisi",
    "Armenian": "Հայաստան, Երևան և Google",
    "Amharic": "ሰላም ዓለም",
    "emoji": "👨\u200d👩\u200d👧\u200d👦 ❤️ 1️⃣ 👍🏽 🏳️\u200d🌈 "
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f ☎️ ™️",
    "mathematics": "∀ε>0 ∃δ: |𝑓(𝑥)−𝑎|<ε; Δx = 3 μm, "
    "sinα, hν, NFκB, TNFα, 10 kΩ, ∑ᵢ xᵢ², f\u2061(x)\u2062y",
    "code": "if (a<b)\t{ return x[i]; }\r\n\x0c# π ≈ 3.14159",
    "phonetic": "/ˈɪntəˌnæʃənəl fəˈnɛtɪk/ ɡɑʃ",
}
ATTACKS = [
    ("bidi_controls", "access = user\u202e \u2066// admin\u2069 \u2066"),
    ("bidi_controls", "file\u202etxt.exe"),
    ("bidi_controls", "plain \u200ftext"),
    ("bidi_controls", "alm\u061c here"),
    ("bidi_controls", "שלום \u2067לא נסגר"),
    ("invisible", "fr\u200bee mon\u200bey"),
    ("invisible", "pass\u200dword"),
    ("invisible", "a\u200cb"),
    ("invisible", "word\u2060joiner"),
    ("invisible", "\ufeffstart"),
    ("invisible", "hidden\U000e0069\U000e0067\U000e006e\U000e006f\U000e0072\U000e0065"),
    ("invisible", "🏴" + "".join(chr(0xE0000 + ord(c)) for c in "ignorethis") + "\U000e007f"),
    ("invisible", "🙂" + "".join(chr(0xE0100 + n) for n in b"payload")),
    ("invisible", "a\ufe0f\ufe01\ufe02"),
    ("invisible", "x\u3164y"),
    ("invisible", "fr\u2062ee"),
    ("invisible", "می\u200c\u200c\u200c\u200bخواهم"),
    ("homoglyphs", "раypal login"),
    ("homoglyphs", "cheap vi\u0430gra"),
    ("homoglyphs", "fr\u200b\u0435e m\u043eney"),
    ("homoglyphs", "Αmazon gift"),
    ("homoglyphs", "сooбщение от банка"),
    ("homoglyphs", "𝐟𝐫𝐞𝐞𝐝𝐨𝐦 now"),
    ("control_characters", "a\x00b"),
    ("control_characters", "\x1b[31mred"),
    ("control_characters", "c1\u0090x"),
    ("control_characters", "del\x7f"),
    ("private_use", "logo \ue000"),
    ("private_use", "none \ufdd0"),
    ("private_use", "none \U0001ffff"),
    ("private_use", "nobody \u0378"),
    ("mojibake", "schÃ¶n, dÃ©jÃ  vu"),
    ("mojibake", "donâ€™t"),
    ("mojibake", "РџСЂРёРІРµС‚ РјРёСЂ"),
    ("replacement_characters", "caf\ufffd"),
]


def _cleaning(**rules: Any) -> Cleaning:
    """A section whose rules are off but for these."""
    off = {name: {"action": "off"} for name in Cleaning.model_fields if name != "index_records"}
    return Cleaning.model_validate(off | rules)


def _rows(texts: list[str | None], **columns: Any) -> pa.Table:
    ids = [f"r{number}" for number in range(len(texts))]
    return pa.table({"id": ids, "text": pa.array(texts, pa.string()), **columns})


def _found(texts: list[str | None], cleaning: Cleaning) -> list[tuple[str, str]]:
    rows = _rows(texts)
    found = report(scan(rows, COLUMNS, cleaning), cleaning).findings
    return list(zip(found["record_id"].to_pylist(), found["rule"].to_pylist(), strict=True))


@pytest.mark.parametrize("language", HONEST)
def test_honest_text_gives_no_finding(language: str) -> None:
    assert _found([HONEST[language]], Cleaning()) == []


@pytest.mark.parametrize(("rule", "text"), ATTACKS)
def test_an_attack_is_found_by_its_rule(rule: str, text: str) -> None:
    assert ("r0", f"cleaning.{rule}") in _found([text], _cleaning(**{rule: {"action": "hold"}}))


@given(st.lists(st.text(string.printable.replace("\x0b", "")), max_size=20))
@settings(max_examples=examples(40), deadline=None)
def test_plain_ascii_gives_no_finding(texts: list[str]) -> None:
    rules = {name: {"action": "hold"} for name in (*TEXTS, "identifiers")}
    assert _found(list(texts), _cleaning(**rules)) == []


_HARD = st.text(
    st.sampled_from(
        "ab é\u200b\u200c\u200d\u202e\u2066\u2069\u200f\u0645\u05d0\x00\x1b\ufeff\ufe0f\u3164\u2062"
        "ÃÂ¶â€™\u0438\U000e0061\U000e007f\U000e0100\U0001f3f4\U0001f600\u0e01\u4e00"
    ),
    max_size=12,
)


@given(st.lists(_HARD, min_size=1, max_size=8))
@settings(max_examples=examples(40), deadline=None)
def test_what_is_mended_gives_no_finding_and_is_not_mended_again(texts: list[str]) -> None:
    cleaning = _cleaning(**{name: {"action": "fix"} for name in MENDING})
    rows = _rows(list(texts))
    first = report(scan(rows, COLUMNS, cleaning), cleaning)
    (chunk,) = rows.to_batches()
    after = pa.Table.from_batches([Fixes.of(first.fixes).applied(chunk, 0)])
    again = report(scan(after, COLUMNS, cleaning), cleaning)
    stuck = {f["record_id"] for f in first.findings.to_pylist() if f["action"] == "hold"}
    assert again.fixes.num_rows == 0
    assert {f["record_id"] for f in again.findings.to_pylist()} <= stuck
    assert first.fixes["original"].to_pylist() == [
        texts[at] for at in first.fixes["position"].to_pylist()
    ]


def test_mending_keeps_what_the_text_needs() -> None:
    cleaning = _cleaning(invisible={"action": "fix"}, bidi_controls={"action": "fix"})
    texts: list[str | None] = [
        "می\u200cخواهم\u2060",
        "👨\u200d👩 x\u200by",
        None,
        "سلام\u200f \u202eabc",
    ]
    fixes = report(scan(_rows(texts), COLUMNS, cleaning), cleaning).fixes
    assert fixes["fixed"].to_pylist() == ["می\u200cخواهم", "👨\u200d👩 xy", "سلام\u200f abc"]


def test_a_rule_that_holds_sees_the_delivered_and_the_mended_text() -> None:
    """What is mended may show what another rule holds."""
    cleaning = _cleaning(invisible={"action": "fix"}, homoglyphs={"action": "hold"})
    assert set(_found(["vi\u200b\u0430gra"], cleaning)) == {
        ("r0", "cleaning.invisible"),
        ("r0", "cleaning.homoglyphs"),
    }


def test_texts_in_lists_and_fields_are_looked_at_and_never_mended() -> None:
    nested = pa.array(
        [[{"say": "fine"}], None, [{"say": "a"}, {"say": "b\u202ec"}]],
        pa.list_(pa.struct([("say", pa.string())])),
    )
    cleaning = _cleaning(bidi_controls={"action": "fix"})
    rows = _rows(["a", "b", "c"], turns=nested)
    found = report(scan(rows, COLUMNS, cleaning), cleaning)
    (one,) = found.findings.to_pylist()
    assert (one["record_id"], one["column"], one["action"]) == ("r2", "turns.say", "hold")
    assert found.fixes.num_rows == 0


def test_a_label_that_looks_like_another_is_found_and_the_original_is_not() -> None:
    labels = ["spam"] * 5 + ["ham"] * 5 + ["sp\u0430m", "h\u200bam"]
    cleaning = _cleaning(identifiers={"action": "hold"})
    rows = _rows(["x"] * 12, label=labels)
    found = report(scan(rows, COLUMNS, cleaning), cleaning).findings
    assert set(zip(found["record_id"].to_pylist(), found["rule"].to_pylist(), strict=True)) == {
        ("r10", "cleaning.identifiers"),
        ("r10", "cleaning.identifiers.twins"),
        ("r11", "cleaning.identifiers.twins"),
    }


@pytest.mark.parametrize(
    ("restriction", "passes"),
    [("single_script", "東京タワー"), ("highly", "Tシャツ"), ("moderately", "SMSने")],
)
def test_restriction_levels_follow_uts_39(restriction: str, passes: str) -> None:
    levels = ["single_script", "highly", "moderately"]
    for level in levels:
        cleaning = _cleaning(
            identifiers={"action": "hold", "restriction": level, "columns": ["text"]}
        )
        allowed = levels.index(level) >= levels.index(restriction)
        assert (not _found([passes, "x"], cleaning)) == allowed, level
    cleaning = _cleaning(
        identifiers={"action": "hold", "restriction": "moderately", "columns": ["text"]}
    )
    assert _found(["пaypal", "x"], cleaning)


def test_same_records_of_a_batch_name_the_first() -> None:
    texts: list[str | None] = ["Hello  World", "other", "hello world\u200b", "HELLO WORLD"]
    for within, expected in (("keep_first", ["r2", "r3"]), ("all", ["r0", "r2", "r3"])):
        cleaning = _cleaning(exact_duplicates={"action": "hold", "within": within})
        found = report(scan(_rows(texts), COLUMNS, cleaning), cleaning).findings
        assert found["record_id"].to_pylist() == expected
        assert "record 'r0' of this batch" in found["text"].to_pylist()[-1]
    exact = _cleaning(exact_duplicates={"action": "hold", "compare": "exact"})
    assert _found(texts, exact) == []


@given(st.data())
@settings(max_examples=examples(40), deadline=None)
def test_keys_are_equal_just_where_contents_are(data: st.DataObject) -> None:
    """Whatever the width of numbers and the order of columns, and wherever columns end."""
    row = st.tuples(st.text("ab", max_size=3), st.text("ab", max_size=3), st.integers(0, 2))
    rows = data.draw(st.lists(row, min_size=1, max_size=20))
    one, two, number = zip(*rows, strict=True)
    keys = content_keys(
        pa.record_batch({"a": one, "b": two, "n": pa.array(number, pa.int32())}), "exact"
    ).tolist()
    other = content_keys(
        pa.record_batch(
            {"n": pa.array(number, pa.int64()), "b": two, "later": pa.nulls(len(rows)), "a": one}
        ),
        "exact",
    ).tolist()
    assert keys == other
    same = {tuple(key): row for key, row in zip(keys, rows, strict=True)}
    assert len(same) == len(set(rows))
    assert all(same[tuple(key)] == row for key, row in zip(keys, rows, strict=True))


def _words(count: int, seed: int) -> list[list[str]]:
    chance = random.Random(seed)  # noqa: S311
    letters = string.ascii_lowercase
    known = ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(3000)]
    return [chance.choices(known, k=40) for _ in range(count)]


def test_near_copies_are_found_and_others_are_not() -> None:
    """One word of forty changed leaves a similarity near 0.9; every other text is another one."""
    texts = [" ".join(words) for words in _words(400, 1)]
    changed = [" ".join(["another", *words[1:]]) for words in _words(400, 1)]
    first, similar = near_before(sketches(pa.array(texts + changed)), 0.8)
    assert (first[:400] == np.arange(400)).all()
    assert (first[400:] == np.arange(400)).mean() > 0.97
    assert not set(first[400:]) - {*range(800)}
    assert ((first[400:] == np.arange(400)) | (first[400:] == np.arange(400, 800))).all()
    assert similar[400:].max() <= 1


def test_a_near_copy_is_no_finding_where_the_content_is_the_same() -> None:
    text = " ".join(_words(1, 2)[0])
    texts: list[str | None] = [text, text.upper(), f"{text} more", "short", "shorts"]
    cleaning = _cleaning(
        exact_duplicates={"action": "flag"}, near_duplicates={"action": "hold", "similarity": 0.8}
    )
    assert _found(texts, cleaning) == [
        ("r1", "cleaning.exact_duplicates"),
        ("r2", "cleaning.near_duplicates"),
    ]


def test_a_copy_of_another_source_is_a_rule_of_its_own_and_says_so() -> None:
    cleaning = _cleaning(exact_duplicates={"action": "hold"})
    known = Known(
        "vendor-b",
        exact={
            0: Original("vendor-b", "vendor-b/1", "x"),
            1: Original("vendor-a", "vendor-a/2", "y\u202ez"),
        },
    )
    found = report(scan(_rows(["a", "b", "c"]), COLUMNS, cleaning), cleaning, known).findings
    assert found["rule"].to_pylist() == [
        "cleaning.exact_duplicates.earlier",
        "cleaning.exact_duplicates.other_source",
    ]
    text = found["text"][1].as_py()
    assert "vendor-a delivered first" in text
    assert "poison" in text
    assert "\u202e" not in text


def test_lengths_are_found_at_their_level_and_not_judged_before_there_are_enough() -> None:
    chance = np.random.default_rng(3)

    def lengths(count: int) -> pa.Array:
        return pa.array(["x" * int(n) for n in chance.lognormal(3, 0.4, count)])

    level = 0.01
    before = [np.bincount(size_classes(lengths(500)), minlength=CLASSES) for _ in range(20)]
    found = [extreme(size_classes(lengths(500)), before, level)[0].mean() for _ in range(20)]
    assert np.mean(found) <= level
    odd = size_classes(pa.array(["", "x" * 5000, None, "x" * 20]))
    assert extreme(odd, before, level)[0].tolist() == [True, True, False, False]
    few = [np.bincount(size_classes(lengths(needed(level) - 1)), minlength=CLASSES)]
    assert not extreme(odd, few, level)[0].any()
    cleaning = _cleaning(lengths={"action": "hold", "level": level})
    notes = report(scan(_rows(["a"]), COLUMNS, cleaning), cleaning).notes
    assert "cannot judge text yet" in notes[0]


def test_a_record_is_dropped_only_where_nothing_else_speaks_against_it() -> None:
    cleaning = _cleaning(exact_duplicates={"action": "drop"}, control_characters={"action": "hold"})
    found = report(scan(_rows(["a", "a", "b\x00", "b\x00", "a"]), COLUMNS, cleaning), cleaning)
    assert found.dropped(np.array([4])).tolist() == [1]
    assert found.dropped(np.zeros(0, np.int64)).tolist() == [1, 4]


def test_columns_that_are_not_there_or_have_no_text_are_problems_of_the_batch() -> None:
    cleaning = _cleaning(
        invisible={"action": "hold", "columns": ["txt"]},
        lengths={"action": "flag", "columns": ["n"]},
    )
    rows = _rows(["a"], n=[1])
    broken = report(scan(rows, COLUMNS, cleaning), cleaning).broken
    assert len(broken) == 2
    assert "'txt'" in broken[0]
    assert "'n'" in broken[1]
