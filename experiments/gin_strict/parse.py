"""Parse gin files and command-line bindings into a `Sheet`, with line numbers.

Only gin's grammar is used, not its registry, global configuration or wrappers.
"""

import pathlib
import tokenize
from collections.abc import Sequence

from gin import config_parser

from prismlab.core import errors
from prismlab.core.io import user_paths
from prismlab.experiments.gin_strict import binding_table, duplicate_keys, imports, old_names

SHIPPED = pathlib.Path(__file__).parents[1] / "gin"
_MOST_NESTED = 50  # files that include one another, one inside the other


class Delegate(config_parser.ParserDelegate):
    """Delegate of gin's parser that creates `Reference` and `Macro` objects; never raises.

    Args:
        table: imports of the file.
        reader: collects errors about unknown names.
        lines: lines of the file, to find the line of a reference.
        file: name of the file in messages; None for a command-line binding.
        place: location in messages if there is no line, such as a command-line binding.
    """

    def __init__(
        self, table: imports.Table, reader: "Reader", lines: Sequence[str], file: str | None, place: str
    ):
        self.table, self.reader, self.lines, self.file, self.place = table, reader, lines, file, place
        self.parser: config_parser.ConfigParser | None = None
        self.blamed: tuple[str, str] | None = None

    def _place(self, text: str) -> str:
        if self.file is None:
            return self.place
        assert self.parser is not None
        # The parser is already past the reference and newlines in brackets: search back for its line.
        line = self.parser.current_token.start[0]
        while line > 1 and (line > len(self.lines) or text not in self.lines[line - 1]):
            line -= 1
        return f"{self.file}:{line}"

    def configurable_reference(
        self, scoped_configurable_name: str, evaluate: bool
    ) -> binding_table.Reference:
        """Look the name up immediately, so that an unknown one is reported at its own line."""
        *scope, selector = scoped_configurable_name.split("/")
        place = self._place("@" + scoped_configurable_name)
        target = self.reader.look_up(self.table, selector, place)
        return binding_table.Reference(tuple(scope), scoped_configurable_name, evaluate, target, place)

    def macro(self, macro_name: str) -> binding_table.Macro:
        """Keep the name; macros are resolved after everything is read."""
        return binding_table.Macro(macro_name, self._place("%" + macro_name))


class Reader:
    """Reads files, their includes and bindings in gin's order: later bindings override earlier ones.

    Args:
        earlier: see `imports.Table`.
    """

    def __init__(self, earlier: bool = False) -> None:
        self.earlier = earlier
        self.sheet = binding_table.Sheet()
        self.faults = binding_table.Faults()
        self.finished = 0
        self.tables: list[imports.Table] = []
        self.seen: dict[pathlib.Path, binding_table.Source] = {}

    def look_up(self, table: imports.Table, selector: str, place: str) -> binding_table.Target | None:
        """Return the target of a selector, or record an error and return None."""
        found = table.find(selector)
        if isinstance(found, binding_table.Target):
            return found
        self.sheet.complete = False
        if found:
            self.faults.add(place, found)
        return None

    def file(self, path: pathlib.Path, shown: str, asked_at: str) -> None:
        """Read one file; a file included twice is read once.

        Args:
            path: an existing file.
            shown: its name in messages.
            asked_at: file:line of the include, or the file itself.
        """
        real = path.resolve()
        if real in self.seen:
            if self.seen[real].rank is None:
                self.faults.add(asked_at, f"{shown} includes itself; remove this include")
            return
        if sum(each.rank is None for each in self.seen.values()) >= _MOST_NESTED:
            self._broken(asked_at, f"more than {_MOST_NESTED} files include one another; include fewer")
            return
        source = self.seen[real] = binding_table.Source(shown, own=not self.seen)
        table = imports.Table(self.earlier, path)
        self.tables.append(table)
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self._broken(asked_at, f"could not read {shown} as UTF-8 text: {error}")
        else:
            delegate = Delegate(table, self, text.splitlines(), shown, shown)
            self._statements(text, delegate, source, path)
        self._finish(source)

    def _finish(self, source: binding_table.Source) -> None:
        source.rank = self.finished
        self.finished += 1

    def _broken(self, place: str, message: str) -> None:
        self.faults.add(place, message)
        self.sheet.complete = False

    def bindings(self, bindings: Sequence[str]) -> None:
        """Read the command-line bindings; they may use the imports of all files read before."""
        source = binding_table.Source("command line", own=True)
        table = imports.Table.union(self.tables)
        for text in bindings:
            delegate = Delegate(table, self, (), None, f"binding '{text}'")
            self._statements(text, delegate, source, None)
        self._finish(source)

    def _statements(
        self, text: str, delegate: Delegate, source: binding_table.Source, path: pathlib.Path | None
    ) -> None:
        for line, key, first in duplicate_keys.find(text):
            place = delegate.place if path is None else f"{delegate.file}:{line}"
            where = "" if path is None else f", first at {delegate.file}:{first}"
            self.faults.add(place, f"the key {key} is written twice in one dictionary{where}; keep one")
        line = 1
        try:
            parser = config_parser.ConfigParser(text, delegate)
            delegate.parser = parser
            while True:
                line = parser.current_token.start[0]
                statement = parser.parse_statement()
                if statement is None:
                    return
                line = statement.location.line_num
                place = delegate.place if path is None else f"{delegate.file}:{line}"
                self._statement(statement, delegate, source, path, place)
        except (SyntaxError, tokenize.TokenError, ValueError) as error:
            message, line = explain(error, line)
            name, equals, value = text.partition("=")
            if path is None and equals and "needs its own quotes" in message:
                message = f"a string needs its own quotes; in a shell: {name}=\"'{value}'\""
            place = delegate.place if path is None else f"{delegate.file}:{line}"
            self._broken(place, message)

    def _statement(
        self, statement, delegate: Delegate, source: binding_table.Source, path, place: str
    ) -> None:
        blamed, delegate.blamed = delegate.blamed, None
        if isinstance(statement, config_parser.BindingStatement):
            if statement[:2] == blamed:
                delegate.blamed = blamed
            else:
                self._bind(statement, delegate.table, source, place)
        elif path is None:
            self.faults.add(place, "expected name=value or module.Name.parameter=value on the command line")
        elif isinstance(statement, config_parser.ImportStatement):
            fault = delegate.table.bring(statement)
            if fault:
                self._broken(place, fault)
        elif isinstance(statement, config_parser.IncludeStatement):
            found = find(statement.filename, path.parent)
            if isinstance(found, str):
                self._broken(place, found)
            else:
                self.file(found, show(found), place)
        else:  # first line of a block
            target = self.look_up(delegate.table, statement.selector, place)
            if target is None:  # reported once, not for each line of the block
                delegate.blamed = statement[:2]

    def _bind(self, statement, table: imports.Table, source: binding_table.Source, place: str) -> None:
        scope = tuple(statement.scope.split("/")) if statement.scope else ()
        left = "/".join((*scope, statement.selector))
        if not statement.arg_name:
            self._add(binding_table.Entry((), None, left, statement.value, left, place, source))
            return
        shown = f"{left}.{statement.arg_name}"
        target = self.look_up(table, statement.selector, place)
        if target is None:
            return
        if not scope:
            self.sheet.roots.append((target.name, place))
        if statement.arg_name not in target.parameters:
            near = binding_table.meant(statement.arg_name, target.parameters)
            near = near or f"; it has: {', '.join(target.parameters) or 'none'}"
            moved = old_names.PARAMETERS.get(f"{target.path}.{statement.arg_name}")
            near = f"; it is now {moved}" if moved else near
            self.faults.add(place, f"{statement.selector} has no parameter '{statement.arg_name}'{near}")
            self.sheet.doubtful.add(target.name)
            # Otherwise, what this value refers to would be reported as unused.
            self.sheet.complete &= not any(binding_table.parts(statement.value))
            return
        self._add(
            binding_table.Entry(scope, target, statement.arg_name, statement.value, shown, place, source)
        )

    def _add(self, entry: binding_table.Entry) -> None:
        before = self.sheet.history.get(entry.key, [])
        if before and before[-1].source is entry.source:
            self.faults.add(
                entry.place, f"{entry.shown} is bound twice; first at {before[-1].place}; keep one"
            )
        elif before and before[-1].source.rank is None:
            first = before[-1]
            self.faults.add(
                first.place,
                f"{first.shown} would be overridden by a later include, {entry.place}; move that above it",
            )
        self.sheet.add(entry)


def explain(error: Exception, line: int) -> tuple[str, int]:
    """Convert a parser error to one sentence and its line number."""
    message = str(error.args[0]) if error.args else str(error)
    if isinstance(error, SyntaxError):
        details = error.args[1] if len(error.args) > 1 else None
        line = details[1] if details else line
    elif isinstance(error, tokenize.TokenError) and len(error.args) > 1:
        # The tokenizer reports the end of the file; the line of the unclosed statement is more helpful.
        message = f"{message}: a bracket or a string is not closed"
    if "Failed to parse token" in message:
        word = message.rsplit("token", 1)[1].strip().strip("'")
        message = f"could not read the value {word}; a string needs its own quotes: '{word}'"
    elif "Unable to parse value" in message:
        message = "expected a literal, @reference or %macro as the value (a string needs its own quotes)"
    elif "Expected newline" in message:
        message = "expected the end of the line after the value (gin has no arithmetic)"
    elif "Couldn't parse statement" in message:
        message = "expected NAME = value, module.Name.parameter = value, an import or an include"
    return f"not gin: {message}", line


def find(name: str, folder: pathlib.Path) -> pathlib.Path | str:
    """Find a gin file relative to a folder, then among the shipped ones.

    Args:
        name: path as written.
        folder: base folder of a relative path.

    Returns:
        The path, or an error message.
    """
    try:
        own = folder / user_paths.expand(name)
    except errors.UserError as error:
        return str(error)
    for path in (own, SHIPPED / name):
        if path.is_dir():
            return f"expected a gin file, but {name} is a folder"
        if path.exists() and not path.is_file():
            return f"expected a gin file, but {name} is a pipe or a device"
        if path.exists():
            return path
    shipped = sorted(each.relative_to(SHIPPED).as_posix() for each in SHIPPED.rglob("*.gin"))
    near = binding_table.meant(name, [*shipped, *(each.name for each in folder.glob("*.gin"))])
    return f"no file {name}{near or ';'} shipped with the package: {', '.join(shipped) or 'none'}"


def show(path: pathlib.Path) -> str:
    """Return a short name of a file: relative to the working directory or the package, if possible."""
    real = path.resolve()
    for base, prefix in (
        (pathlib.Path.cwd(), pathlib.Path()),
        (SHIPPED.resolve(), pathlib.Path("experiments/gin")),
    ):
        if real.is_relative_to(base):
            return (prefix / real.relative_to(base)).as_posix()
    return path.as_posix()
