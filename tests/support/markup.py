"""What a browser would act on in a page."""

from __future__ import annotations

from html.parser import HTMLParser


class Markup(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def require_harmless(self) -> None:
        """Nothing in it runs by an attribute, loads from elsewhere or has a style of its own."""
        assert not {"img", "iframe", "object", "embed", "style"} & set(self.tags)
        for name, value in self.attributes:
            assert not name.startswith("on")
            assert name != "style"  # the content security policy would drop it
            if name in ("src", "href", "action"):
                assert value is not None
                assert value.startswith(("/", "#"))
                assert not value.startswith("//")
