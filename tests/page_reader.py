"""What a web page owes to every reader, checked on its text."""

import re
from html.parser import HTMLParser


class PageReader(HTMLParser):
    """Notes headings, language and what is wrong: unlabelled pictures, heads without scope, anything from a network."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.faults, self.lang = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.lang = found.get("lang", self.lang) if tag == "html" else self.lang
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img" and not found.get("alt"):
            self.faults.append("img without alt")
        if tag == "svg" and not (found.get("role") == "img" and found.get("aria-label")):
            self.faults.append("svg without a label")
        if tag == "th" and found.get("scope") not in ("col", "row"):
            self.faults.append("th without scope")
        for name in ("src", "href"):
            if re.match(r"(https?:)?//", found.get(name) or ""):
                self.faults.append(f"network: {found[name]}")


def check_structure(text):
    """Assert that the page has a language, no fault, and headings that leave out no level."""
    reader = PageReader(text)
    assert reader.lang == "en"
    assert reader.faults == []
    assert reader.headings[0] == 1
    assert reader.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(reader.headings, reader.headings[1:], strict=False))
