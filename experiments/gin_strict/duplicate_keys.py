"""Find keys written twice in a dictionary of a gin file: gin keeps the last value without a word."""

import ast
import dataclasses
import io
import tokenize
from collections.abc import Iterator

_OPEN, _CLOSE = ("(", "[", "{"), (")", "]", "}")
_SKIPPED = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def find(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield (line, key as written, line of the first) for each key that a dictionary repeats.

    Args:
        text: a gin file or one binding; where it cannot be read, the parser reports why.
    """
    # One frame a bracket. That of a dictionary holds its keys; its values are frames without keys.
    frames: list[_Frame] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in _SKIPPED:
                continue
            if frames and frames[-1].value and token.string in (",", "}"):
                frames.pop()
            top = frames[-1] if frames else None
            if top is not None and top.keys is not None and (top.key or token.string not in (",", "}")):
                if token.string == ":" and top.depth == 0 and top.key:
                    yield from top.note()
                    frames.append(_Frame(None, value=True))
                else:
                    top.key.append(token)
                    top.depth += (token.string in _OPEN) - (token.string in _CLOSE)
            elif token.string in _OPEN:
                frames.append(_Frame({} if token.string == "{" else None))
            elif token.string in _CLOSE and frames:
                frames.pop()
    except (tokenize.TokenError, IndentationError):
        return


@dataclasses.dataclass
class _Frame:
    """An open bracket or a value of a dictionary.

    Args:
        keys: of a dictionary, key -> line; None for anything else.
        value: True for a value, which a comma or the end of the dictionary ends.
        key: tokens of the key that is being read.
        depth: brackets open in that key.
    """

    keys: dict[object, int] | None
    value: bool = False
    key: list[tokenize.TokenInfo] = dataclasses.field(default_factory=list)
    depth: int = 0

    def note(self) -> Iterator[tuple[int, str, int]]:
        """Take note of the key that was read; yield it if it was there before."""
        assert self.keys is not None
        shown, line = "".join(each.string for each in self.key), self.key[0].start[0]
        known = _key(shown)
        if known in self.keys:
            yield line, shown, self.keys[known]
        self.keys.setdefault(known, line)
        self.key = []


def _key(shown: str) -> object:
    """Return a literal key by value, so that 'a' and "a" are one; a reference or macro by its text."""
    try:
        found = ast.literal_eval(shown)
        hash(found)
    except (ValueError, SyntaxError, TypeError):
        return shown
    return found
