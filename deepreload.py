# SPDX-License-Identifier: MIT
#
# Copyright (c) 2026 the deepreload authors
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software
# and associated documentation files (the "Software"), to deal in the Software without
# restriction, including without limitation the rights to use, copy, modify, merge, publish,
# distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
# Software is furnished to do so, subject to the following conditions: the above copyright notice
# and this permission notice shall be included in all copies or substantial portions of the
# Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,
# INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE
# AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
# DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
# OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""Reload and unload modules deeply: the module, all it imports, and what the program holds of them.

    deep_reload(pkg)                    execute pkg and all it imports again, leaves first
    reload_changed()                    execute what changed on disk, and what imports it
    python -m deepreload script.py      run a script, and swap in every module that is saved

How: the code of each module is executed in the live module, in a namespace that hides what the old
code has left; what it binds is paired with the old object of that name, which is brought up to date
and stays; import statements execute first what they name; if a module fails, a log undoes it all.

What it will not do (the README says what to do instead): undo what module bodies do elsewhere;
change frames that are running; keep the identity of classes that a framework's metaclass has made;
execute the standard library, installed packages, extension modules or ``__main__`` unless named.
"""
# mypy: ignore-errors
# pyright: basic, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportIndexIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false, reportCallIssue=false
from __future__ import annotations

import builtins
import collections
import functools
import gc
import importlib.util
import itertools
import opcode
import operator
import os
import re
import sys
import threading
import time
import types
import weakref
from importlib import _bootstrap
from importlib.machinery import BuiltinImporter, ExtensionFileLoader, FrozenImporter
from importlib.machinery import ModuleSpec, SourceFileLoader, all_suffixes
from types import CellType, CodeType, FunctionType, MethodType, ModuleType

__version__ = "2.0"
__all__ = ["deep_reload", "deep_unload", "reload_changed", "is_changed", "watch", "import_graph",
           "reload_order", "ReloadError"]

TYPE_CHECKING = False  # type checkers take it for typing's, whose import takes its time
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Mapping, Union
    Names = Union[str, Iterable[str]]
    Module = Union[ModuleType, str]

# The data, in the order in which a reload makes it:
#   Version   one version of a file: its stat when it was read, its code, the facts of the code
#   _runs     {path: the Version that was executed last}
#   _Table    the loaded modules of a scope, their files, and who imports whom
#   Source    a module to execute: its name, spec and path, and the Version to execute
#   Batch     one reload: the Sources that are not executed yet, and a log of (function, arguments)
#             that undoes what was done
#   View      the namespace that the code of one module sees: the live one, less what is hidden
#   pairs     {id(new): Pair}: what the code has made, and the old object that stays for it
Import = collections.namedtuple("Import", "name level names late")
Facts = collections.namedtuple("Facts", "imports froms binds sets looks lazy")
Source = collections.namedtuple("Source", "name spec path version")

_MISSING = object()
_lock = threading.RLock()
_batch = None  # the Batch under way
_runs = {}
_held_back = {}  # {name: {path: stat}}: what reload_changed() has left out, until one is saved
_said = {}  # {name: text of the last error}
_report = None  # called with (path, stat) of each file that runs or fails: the command line's


class ReloadError(ImportError):
    """A reload that failed, and what could not be reloaded is as it was before.

    `name` is the module that failed, `path` its file, `__cause__` the exception, its traceback
    beginning in the user's code; `reloaded` are the names that were reloaded all the same.
    """

    name: str
    path: str | None
    reloaded: list[str] = []


# -- what is called from outside -----------------------------------------------------------------

def deep_reload(module: Module, *, include: Names = (), exclude: Names = ()) -> ModuleType:
    """Execute `module` and all it imports again, leaves first, as a new process would.

    `module` is a loaded module or its dotted name; of a package all loaded submodules are executed
    again too.  `include` and `exclude` are names or globs, one or several (a name covers its
    submodules, `exclude` wins): modules to reload that are not the user's own, and modules to leave
    alone.  Return the module, which is the same object as before.

    Raise TypeError or ImportError for what cannot be reloaded, and ReloadError if a module fails:
    then nothing has changed.
    """
    name = _named(module)
    with _lock:
        if _batch is not None:  # called by a module that is being reloaded: an import like others
            _batch.imported(name)
        else:
            scope = _Scope(include, exclude, name)
            try:
                Batch(scope, *_to_reload_deeply(name, scope)).execute()
            except ReloadError as error:
                raise error.with_traceback(None)  # its cause has the user's
        return sys.modules[name]


def reload_order(module: Module, *, include: Names = (), exclude: Names = ()) -> list[str]:
    """Return what `deep_reload` with these arguments would execute, in the order of finishing.

    Raise what it would raise before it executes anything.
    """
    name = _named(module)
    with _lock:
        sources, starts = _to_reload_deeply(name, _Scope(include, exclude, name))

        def below(name):
            targets = [*_parents(name), *_eager(name, sources[name].version)]
            return [target for target in targets if target in sources]

        return _order(starts, below)


def reload_changed(*, include: Names = (), exclude: Names = ()) -> list[str]:
    """Execute again what changed on disk, and what imports it: one step of polling.

    `include` and `exclude` are as for `deep_reload`.  Return the names executed, in order; [] if
    there was nothing to do.  What fails stays at its last good version until a file concerned is
    saved; the rest is reloaded, and then ReloadError says what is held back.
    """
    with _lock:
        if _batch is not None:
            return []
        scope = _Scope(include, exclude)
        changed = _changed(scope)
        return _reload_what_works(scope, changed) if changed else []


def is_changed(module: Module) -> bool:
    """Return whether the file of a loaded module (or its name) differs from what runs.

    A touch makes no difference, nor does an edit of comments or layout once it was looked at.
    Raise TypeError or ImportError as `deep_reload` does.
    """
    name = _named(module)
    with _lock:
        return _differs(name) is not None


def import_graph(*, include: Names = (), exclude: Names = ()) -> dict[str, list[str]]:
    """Return {name: [names it imports]} of the loaded modules in scope, in the order of imports."""
    with _lock:
        names = _Scope(include, exclude).loaded()
        graph = {name: _imports(name, packages=False) for name in names}
        return {name: list(filter(graph.__contains__, graph[name])) for name in graph}


# -- B. scope: the modules that are the user's own -----------------------------------------------
# Guarantees that the standard library, installed packages, extension modules, the script and this
# module are never executed again unless they are named, and that bad input gets one clear sentence.

# What modules and classes are for Python itself, whatever they make of attribute access
_dict_of = ModuleType.__dict__["__dict__"].__get__
_vars_of_class = type.__dict__["__dict__"].__get__
_name_of, _qualname, _bases, _mro = [
    type.__dict__[name].__get__ for name in ("__name__", "__qualname__", "__bases__", "__mro__")]
_STDLIB = os.path.normcase(os.path.dirname(os.__file__)) + os.sep
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")
_USED = {value.__name__ for value in list(globals().values()) if type(value) is ModuleType}


def _is_module(obj):
    return issubclass(type(obj), ModuleType)  # isinstance() would ask proxies


def _is_class(obj):
    return issubclass(type(obj), type)


def _is_function(obj):
    return type(obj) is FunctionType


def _namespace_of(name):
    """Return the namespace of a loaded module; {} for anything else that sys.modules holds."""
    module = sys.modules.get(name)
    return _dict_of(module) if _is_module(module) else {}


def _spec_of(name):
    """Return the spec of a loaded module, or None: a module may put anything there."""
    spec = _namespace_of(name).get("__spec__")
    return spec if issubclass(type(spec), ModuleSpec) else None


def _path_of(spec):
    return spec.origin if spec is not None and spec.has_location else None


@functools.lru_cache(None)
def _parents(name):
    """Return the names of the packages above a module, outermost first."""
    parts = name.split(".")
    return tuple(".".join(parts[:i]) for i in range(1, len(parts)))


def _named(module):
    """Return the name of what the caller asked for, or raise the error that says what to do."""
    name = module
    if isinstance(module, ModuleType):
        namespace = _dict_of(module)
        name = getattr(namespace.get("__spec__"), "name", None) or namespace.get("__name__")
    if not isinstance(name, str) or not name:
        what = "an empty string" if name == "" else type(module).__name__
        raise TypeError(f"expected a module or its dotted name, not {what}")
    found = sys.modules.get(name)
    reason = found and _fixed(name, found)
    if found is None:
        reason = "is not loaded: import it first"
    elif name is not module and module is not found:
        reason = "is not in sys.modules any more: import it again and pass that one"
    if reason:
        raise ImportError(f"{name!r} {reason}", name=name)
    return name


def _fixed(name, module):
    """Return why an entry of sys.modules is never executed again, or None."""
    if name in ("__main__", "__mp_main__"):
        return "is the running script: put what you want to reload into a module"
    if name == __name__ or module is sys.modules.get(__name__):
        return "is the reloader itself: restart the process to change it"
    if not _is_module(module):
        return (f"is a {type(module).__name__} in sys.modules, not a module: reload the module "
                "that put it there")
    spec = _spec_of(name)
    if spec is None:
        return "has no __spec__: it was not imported from a file, make it anew instead"
    loader = spec.loader
    if type(module) is importlib.util._LazyModule:
        return "is not loaded yet: use it first"
    if loader in (BuiltinImporter, FrozenImporter):
        return "is compiled into the interpreter: it can be neither executed again nor unloaded"
    if isinstance(loader, ExtensionFileLoader):
        return ("is an extension module, which can be neither initialised twice nor unloaded: "
                "restart the process to change it")
    if loader is not None and not (hasattr(loader, "exec_module") or hasattr(loader, "get_code")):
        return "has a loader without exec_module(), which cannot execute it again"
    if name in _USED:
        return "is what the reloader itself runs on: restart the process to change it"
    if spec.name != name:
        return f"is another name of {spec.name!r}: use that one"
    if _on_the_way(name) and _batch is None:
        return "is being imported: wait until that is done"
    return None


class _Scope:
    """What may be executed again: the user's own modules, what is included, what is named."""

    def __init__(self, include=(), exclude=(), named=""):
        self.include, self.exclude = _patterns("include", include), _patterns("exclude", exclude)
        self.top, self.above = named.partition(".")[0], _parents(named)

    def __contains__(self, name):
        module = sys.modules.get(name)
        if module is None or _fixed(name, module) or _matches(name, self.exclude):
            return False
        if name.partition(".")[0] == self.top or _matches(name, self.include):
            return True
        spec = _spec_of(name)
        places = [spec.origin] if spec.has_location else spec.submodule_search_locations or [None]
        return not any(map(_is_foreign, places))

    def loaded(self):
        """Return the names of the loaded modules in scope, in the order of sys.modules."""
        return list(_table(self).paths)


def _patterns(option, value):
    patterns = (value,) if isinstance(value, str) else tuple(value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{option} takes names or globs, not {type(pattern).__name__}")
    return patterns


def _matches(name, patterns):
    """Return whether a name, or one of its packages, matches one of the globs."""
    if not patterns:
        return False
    from fnmatch import fnmatchcase
    candidates = itertools.product((*_parents(name), name), patterns)
    return any(fnmatchcase(part, pattern) for part, pattern in candidates)


def _is_foreign(path):
    """Return whether a file is of the standard library, or of an installed package."""
    return not isinstance(path, str) or _in_stdlib(path) or bool(_INSTALLED.search(path + os.sep))


def _in_stdlib(path):
    if not isinstance(path, str) or not os.path.normcase(path).startswith(_STDLIB):
        return False
    return not _INSTALLED.search(path + os.sep)


# -- A. what runs: the code that was executed from each file, and its facts ----------------------
# Guarantees that _runs names the very code objects that functions hold, as nothing else tells it
# once a file was edited.  Relies on SourceFileLoader.get_code() being what imports get code from.

_EXEC_MODULE = SourceFileLoader.exec_module
_stamp = operator.attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino")


class Version:
    """One version of a module's file; `code` is None where only the loader can execute it."""

    def __init__(self, stat, code, path=None):
        self.stat = stat if code is None or _settled(stat) else None  # None: look at what it says
        self.code, self.exact = code, True  # whether functions hold these very code objects
        self.left = frozenset()  # names of earlier versions that are still there
        self.path = path

    @functools.cached_property
    def facts(self):
        code = self.code
        try:
            if code is None and self.path is not None:  # its loader executes by itself
                with open(self.path, "rb") as file:
                    code = compile(file.read(), self.path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, TypeError, ValueError):
            pass
        return _NO_FACTS if code is None else _facts(code)


def _stat(path):
    """Return what os.stat() says of a file, for comparing with != only; None if there is none."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError, TypeError):
        return None


def _settled(stat):
    """Return whether a later edit would show in the stat: the file system's clock has gone on.

    The kernel's clock ticks every few milliseconds; whole seconds are those of FAT or HFS+.
    """
    newest = max(stat[:2]) if stat else time.time_ns()
    return time.time_ns() - newest > (50_000_000 if newest % 1_000_000_000 else 2_000_000_000)


def _tell(path, stat):
    if _report is not None and path and not _in_stdlib(path):
        _report(path, stat)


def _note_what_runs():
    """Have the import system tell the code of every module that it executes.

    Loaders that execute by themselves tell nothing: of their files the stat is noted as the module
    is made, since at the first look it may be too late.
    """
    inner_get_code, inner_module_from_spec = SourceFileLoader.get_code, _bootstrap.module_from_spec

    def get_code(self, fullname):
        path, frame = self.path, sys._getframe(1)
        while frame.f_code.co_name == "get_code":  # of a subclass, or of another copy of this file
            frame = frame.f_back
        if frame.f_code is not _EXEC_MODULE.__code__ or _in_stdlib(path):
            return inner_get_code(self, fullname)
        stat = _stat(path)  # before the file is read
        _tell(path, stat)
        code, before = inner_get_code(self, fullname), _runs.get(path)
        known = type(self).get_code is SourceFileLoader.get_code and not _executes_itself(self)
        version = _runs[path] = Version(stat, code if known else None, path)
        if before is not None and before.code is not None:  # importlib.reload() leaves old names
            version.left = before.left.union(before.facts.binds)
        return code

    def module_from_spec(spec):
        if spec.has_location and _executes_itself(spec.loader) and not _in_stdlib(spec.origin):
            _runs[spec.origin] = Version(_stat(spec.origin), None, spec.origin)
            _tell(spec.origin, _runs[spec.origin].stat)
        return inner_module_from_spec(spec)

    # Python takes the frames of the import system out of tracebacks: this has to pass for one
    filename = _EXEC_MODULE.__code__.co_filename
    get_code.__code__ = get_code.__code__.replace(co_filename=filename)
    SourceFileLoader.get_code, _bootstrap.module_from_spec = get_code, module_from_spec


def _executes_itself(loader):
    """Return whether a loader has an exec_module() of its own, which nothing can stand for."""
    return getattr(type(loader), "exec_module", _EXEC_MODULE) is not _EXEC_MODULE


def _running(name):
    """Return the Version that a loaded module runs, or None where there is no file.

    Of one imported before this module, that is what the file says when it is first asked for.
    """
    spec = _spec_of(name)
    path = _path_of(spec)
    if path is not None and path not in _runs:
        stat, code = _stat(path), None
        try:
            code = _code_of(spec, stat)
        except Exception:  # a loader's, or the file is of no use
            pass
        _runs[path] = Version(stat, code, path)
        _runs[path].exact = False
    return _runs.get(path)


def _read(name, spec):
    """Return the Version that a module's file holds now: the one that runs if it says the same."""
    path, runs = _path_of(spec), _running(name)
    stat, known = _stat(path), runs is not None and runs.code is not None
    if known and runs.stat == stat is not None:
        return runs
    version = Version(stat, _code_of(spec, stat), path)
    if known and version.code is not None and _same_code(runs.code, version.code):
        runs.stat = version.stat
        _tell(path, stat)
        return runs
    return version


def _code_of(spec, stat):
    """Return a module's code as its file is now; None where only the loader can execute it."""
    loader, path = spec.loader, spec.origin
    if hasattr(loader, "archive"):  # zipimport knows the archive as it was at first
        import zipimport
        zipimport._zip_directory_cache.pop(loader.archive, None)
        loader = zipimport.zipimporter(os.path.join(loader.archive, loader.prefix))
    elif not hasattr(loader, "get_code") or _executes_itself(loader):
        return None
    elif type(loader) is SourceFileLoader and not _is_sound(path, stat):
        _drop_bytecode(path)
        return loader.source_to_code(loader.get_data(path), path)
    return loader.get_code(spec.name)


def _is_sound(path, stat):
    """Return whether there is bytecode of a file that cannot be that of an older source.

    It knows its source by size and whole seconds only: what is as young as that proves nothing.
    """
    written = _stat(_bytecode_path(path))
    return bool(written) and written[0] - max(stat[:2]) > 50_000_000 and _settled(stat)


def _bytecode_path(path):
    try:
        return importlib.util.cache_from_source(path)
    except NotImplementedError:
        return ""


def _drop_bytecode(path):
    """Remove the bytecode of a file: a new process, too, might run it."""
    try:
        os.unlink(_bytecode_path(path))
    except OSError:
        pass


# What a code object says. Instructions are words of two bytes in all Pythons so far; before each
# IMPORT_NAME stand the instructions that load its level and its names.

_NO_FACTS = Facts((), {}, {}, frozenset(), False, False)
_OPS = {opcode.opmap.get(name, -1): name for name in (
    "IMPORT_NAME", "IMPORT_FROM", "STORE_NAME", "STORE_GLOBAL", "LOAD_NAME", "LOAD_CONST",
    "LOAD_SMALL_INT")}
_LOOKS = {"globals", "locals", "vars", "dir"}
_LAZY_BITS = 2 if sys.version_info >= (3, 15) else 0  # PEP 810 keeps flags in IMPORT_NAME
_IN_FUNCTION = 1  # CO_OPTIMIZED: set for functions, not for modules and class bodies


def _facts(code):
    """Return what a module's code says: Facts(imports, froms, binds, sets, looks, lazy).

    `imports` is [Import], `froms` {(module, level): [(attribute, name bound)]} of the module's own
    statements, `binds` {name: times} what these bind, `sets` the names bound by `global`, past the
    view, `looks` whether the module looks at its own namespace, `lazy` whether it imports lazily.
    """
    facts = Facts([], {}, {}, set(), [], [])
    if "__lazy_modules__" in code.co_names:
        facts.lazy.append(True)
    waiting = [(code, False)]
    for each, late in waiting:  # to which the loop adds
        if each is code or _IMPORTS.search(each.co_code):  # or an argument that looks like one
            _scan(each, facts, each is code, late)
        for inner in _codes_in(each):
            at_once = not inner.co_flags & _IN_FUNCTION or inner.co_name.endswith("comp>")
            waiting.append((inner, late or not at_once))
            if inner.co_name.endswith("comp>"):
                facts.looks.extend(_LOOKS.intersection(inner.co_names))
    return facts


_IMPORTS = re.compile(b"[%c%c]" % (opcode.opmap["IMPORT_NAME"], opcode.opmap["STORE_GLOBAL"]), re.S)


def _scan(code, facts, top, late):
    """Add what one code object says to the facts; `top` is for the module's own code."""
    skipped = _type_checking(code) if "TYPE_CHECKING" in code.co_names else ()
    words, names = _words(code), code.co_names
    for index, (offset, op, arg) in enumerate(words):
        what = _OPS.get(op)
        if skipped and any(start <= offset < end for start, end in skipped):
            continue
        if what == "IMPORT_NAME":
            level, wanted = [_constant(code, word) for word in words[index - 2:index]]
            base = names[arg >> _LAZY_BITS], level or 0
            facts.imports.append(Import(*base, wanted or (), late))
            if top and arg & 1 and _LAZY_BITS:
                facts.lazy.append(True)
            if top and wanted == ("*",):
                facts.froms.setdefault(base, []).append(("*", "*"))
        elif what == "STORE_GLOBAL":
            facts.sets.add(names[arg])
        elif what == "IMPORT_FROM" and top and wanted:  # without, it is `import a.b as c`
            pair = names[arg], names[words[index + 1][2]]
            facts.froms.setdefault(base, []).append(pair)
        elif what == "LOAD_NAME" and top and names[arg] in _LOOKS:
            facts.looks.append(True)
        if top and what in ("STORE_NAME", "STORE_GLOBAL"):
            facts.binds[names[arg]] = facts.binds.get(names[arg], 0) + 1


def _words(code):
    """Return [(offset, opcode, argument)] without the EXTENDED_ARG prefixes."""
    raw, words, high = code.co_code, [], 0
    for offset in range(0, len(raw), 2):
        arg = raw[offset + 1] | high
        high = arg << 8 if raw[offset] == opcode.EXTENDED_ARG else 0
        if raw[offset] != opcode.EXTENDED_ARG:
            words.append((offset, raw[offset], arg))
    return words


def _constant(code, word):
    """Return the constant that an instruction loads; None is loaded by one of its own."""
    _, op, arg = word
    if _OPS.get(op) == "LOAD_CONST":
        return code.co_consts[arg]
    return arg if _OPS.get(op) == "LOAD_SMALL_INT" else None


def _type_checking(code):
    """Return [(start, end)] of what stands under `if TYPE_CHECKING:`, which is not executed."""
    import dis
    nothing = "TO_BOOL", "CACHE", "EXTENDED_ARG"
    found = [each for each in dis.get_instructions(code) if each.opname not in nothing]
    return [(jump.offset, jump.argval) for load, jump in zip(found, found[1:])
            if load.argval == "TYPE_CHECKING" and jump.opname.endswith("IF_FALSE")]


@functools.lru_cache(None)
def _check_bytecode():
    """Raise ReloadError where instructions are encoded in a way that this file does not know."""
    try:
        facts = _facts(compile("from ..a.b import c as d", "", "exec"))
    except (LookupError, ValueError):
        facts = _NO_FACTS
    if facts[:3] != ([("a.b", 2, ("c",), False)], {("a.b", 2): [("c", "d")]}, {"d": 1}):
        raise ReloadError(f"deepreload {__version__} does not know the bytecode of this Python: "
                          "copy a newer one; nothing was reloaded", name=__name__)


def _codes_in(code):
    return [const for const in code.co_consts if type(const) is CodeType]


_LINES = "co_linetable" if hasattr(_words.__code__, "co_linetable") else "co_lnotab"  # 3.10


def _same_code(one, other):
    """Return whether two code objects are equal, line numbers (which == may leave out) included."""
    same = one == other and getattr(one, _LINES) == getattr(other, _LINES)
    return one is other or same and all(map(_same_code, _codes_in(one), _codes_in(other)))


def _without_lines(code):
    """Return code without what tells where it stands in the file."""
    consts, raw, words = list(code.co_consts), bytearray(code.co_code), _words(code)
    for (offset, op, arg), (_, store, name) in zip(words, words[1:]):
        if _OPS.get(store) == "STORE_NAME" and code.co_names[name] == "__firstlineno__":  # 3.13
            if _OPS.get(op) == "LOAD_CONST":
                consts[arg] = None
            else:
                raw[offset + 1] = 0
    consts = [_without_lines(each) if type(each) is CodeType else each for each in consts]
    lines = {_LINES: b"", "co_firstlineno": 1}
    return code.replace(co_consts=tuple(consts), co_code=bytes(raw), **lines)


# -- C. what changed, and who imports it ---------------------------------------------------------
# Guarantees that a look at files of which none was saved costs one stat each, and that a broken
# file holds up only what needs its new version.  Relies on the facts of the code that runs.


class _Table:
    """What is known of the modules in a scope, as long as the same modules are loaded."""

    def __init__(self, scope, modules):
        self.paths = {name: _path_of(_spec_of(name)) for name in modules if name in scope}
        self.stats = {}  # {path: stat of a file that says what runs}
        self.targets = {}  # {name: (facts, {target: late})}
        self.modules = modules
        if any(map(_on_the_way, modules)):  # which come into scope as they are
            self.modules = None


def _on_the_way(name):
    """Return whether a module is being imported, or will be when it is used."""
    lazy = type(sys.modules.get(name)) is importlib.util._LazyModule
    return lazy or getattr(_spec_of(name), "_initializing", False)


_tables = {}


def _table(scope):
    """Return the _Table of a scope; modules are compared by their addresses, which is fast."""
    modules = {name: id(module) for name, module in list(sys.modules.items())}
    key = scope.include, scope.exclude, scope.top
    if key not in _tables or _tables[key].modules != modules:
        if len(_tables) > 8:
            _tables.clear()
        _tables[key] = _Table(scope, modules)
    return _tables[key]


def _changed(scope):
    """Return {name: stat} of the modules in scope whose files say something else than what runs."""
    table = _table(scope)
    paths = list(filter(None, table.paths.values()))
    try:
        stats = dict(zip(paths, map(_stamp, map(os.stat, paths))))
    except (OSError, ValueError):
        stats = {path: _stat(path) for path in paths}
    if stats == table.stats:
        return {}
    changed = {}
    for name, path in table.paths.items():
        if path and (stats[path] is None or stats[path] != table.stats.get(path)):
            stat = _differs(name)
            if stat is not None:
                changed[name] = stat
            elif _settled(stats[path]):
                table.stats[path] = stats[path]
    return changed


def _differs(name):
    """Return the stat of a module's file if it says something else than what runs, else None.

    Code that moved to other lines is put in place here, without being executed.
    """
    spec = _spec_of(name)
    path, runs = _path_of(spec), _running(name)
    stat = _stat(path)
    if runs is None or runs.stat == stat is not None:
        return None
    if stat is None:  # gone, if only for a moment: unless it is elsewhere now, that is no change
        found = None if _executes_itself(spec.loader) else _find_spec(name)
        return _stat(_path_of(found))
    if stat[2] == 0 and time.time_ns() - stat[0] < 1_000_000_000:
        return None  # an editor has emptied it, and not written yet
    if runs.code is not None:
        try:
            version = _read(name, spec)
        except Exception:  # it cannot be read or compiled: the reload says so
            return stat
        if version is runs or version.code is None:
            return None if version is runs else stat
        if _without_lines(runs.code) == _without_lines(version.code):
            _move_lines(path, runs, version)
            return None
    return stat


def _find_spec(name):
    """Ask the finders for a module's spec, whatever sys.modules says; None if there is none."""
    _invalidate_finders()
    parent = name.rpartition(".")[0]
    return _bootstrap._find_spec(name, _namespace_of(parent).get("__path__") if parent else None)


def _invalidate_finders():
    """Let the finders look at the folders again; importlib's own imports importlib.metadata."""
    for finder in list(sys.path_importer_cache.values()):
        if hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


@functools.lru_cache(None)
def _absolute(name, level, package):
    """Return the absolute name of what an import statement in a package names."""
    if not level:
        return name
    base = package.rsplit(".", level - 1)
    if len(base) < level:  # beyond the top-level package: a name that nothing has
        return "." * level + name
    return base[0] + "." + name if name else base[0]


def _package(namespace):
    """Return the package that a module's relative imports start from."""
    package = namespace.get("__package__")
    if package is None:
        spec = namespace.get("__spec__")
        package = spec.parent if spec is not None else namespace.get("__name__", "")
    return package


def _real_name(name):
    """Return the name that a loaded module has itself: sys.modules may hold it under others."""
    real = getattr(_spec_of(name), "name", name)
    return real if sys.modules.get(real) is sys.modules.get(name) else name


def _targets(name, version, packages=True):
    """Return {target: late} of the loaded modules that a version of a module imports, in order.

    `late` tells that only functions import it.  Modules that its namespace holds count too: they
    may have been imported by import_module().  So do, unless `packages` is false, the packages
    that `from a.b import c` imports on the way.
    """
    namespace, found = _namespace_of(name), []
    package, facts = _package(namespace), version.facts if version is not None else _NO_FACTS
    on_demand = "__getattr__" in facts.binds  # PEP 562: by functions, for others
    for each in facts.imports:
        base, late = _absolute(each.name, each.level, package), each.late and not on_demand
        used = version.code.co_names if packages and version.code is not None else ()
        children = [f"{base}.{child}" for child in each.names or used]
        children = [child for child in children if child in sys.modules]
        own = _parents(name) if each.names else ()  # these are there already
        if packages or not each.names:
            found += [(above, late) for above in _parents(base) if above not in own]
        if packages and base not in own or len(children) < len(each.names) or not each.names:
            found.append((base, late))
        found += [(child, late) for child in children]
    for key, value in list(namespace.items()):
        if type(value) is ModuleType and key in facts.binds:
            target = _dict_of(value).get("__name__")
            if sys.modules.get(target) is value and target != f"{name}.{key}":
                found.append((target, False))
    targets = {}
    for target, late in sorted(found, key=operator.itemgetter(1)):
        target = _real_name(target)
        if target in sys.modules and target != name:
            targets.setdefault(target, late)
    return targets


def _eager(name, version):
    return [target for target, late in _targets(name, version).items() if not late]


def _imports(name, packages=True):
    """Return {target: late} of what a loaded module imports by the code that it runs."""
    return _targets(name, _running(name), packages)


def _imports_of_main():
    """Return the names of the loaded modules that the script imports, in order."""
    version = Version(None, None)
    version.facts = _facts_of_main()
    return list(_targets("__main__", version))


def _order(names, edges):
    """Return the names and all that edges lead to, leaves first."""
    order, met, stack = [], set(), [(None, iter(list(names)))]
    while stack:
        name, below = stack[-1]
        target = next((each for each in below if each not in met), None)
        if target is None:
            order.append(name)
            stack.pop()
        else:
            met.add(target)
            stack.append((target, iter(edges(target))))
    return order[:-1]


def _starts(names, edges):
    """Return the names in the order in which to start them, import statements going first.

    That is first what none of the others imports; then, for cycles, from the end of sys.modules,
    as what finished last is where the import came in.
    """
    imported = {target for name in names for target in edges(name)}
    loaded = [name for name in list(sys.modules) if name in names]
    tops = [name for name in loaded if name not in imported]
    return [*tops, *reversed(loaded)]


def _source(name):
    """Return the Source of a loaded module as its file is now; without a version if that is gone.

    Raise ReloadError if the file cannot be read or compiled.
    """
    spec = _spec_of(name)
    path = _path_of(spec)
    try:
        if path and _stat(path) is None and not hasattr(spec.loader, "archive"):
            spec = _find_spec(name)
            if spec is None:
                return Source(name, None, path, None)
        return Source(name, spec, _path_of(spec), _read(name, spec))
    except Exception as error:
        raise _failure(error, name, path) from error


def _to_reload_deeply(root, scope):
    """Return {name: Source} of what deep_reload() executes, and the names to start with."""
    _check_bytecode()
    if root not in scope:
        raise ImportError(f"{root!r} is excluded: take it out of exclude to reload it", name=root)
    sources, targets, table = {}, {}, _table(scope)
    inside = dict.fromkeys(name for name in table.paths if name not in scope.above)

    def below(name):
        sources[name] = _source(name)
        targets[name] = _known_targets(table, name, sources[name].version)
        return [target for target in targets[name] if target in inside]

    def eager(name):
        found = targets[name]
        return [target for target in found if target in sources and not found[target]]

    named = [root, *[name for name in inside if name.startswith(root + ".")]]
    _order(named, below)
    if sources[root].spec is None:
        raise ReloadError(f"{root}: its file {sources[root].path} is gone; nothing was reloaded",
                          name=root, path=sources[root].path)
    first = _order(named, eager)  # what only functions import comes last
    return sources, [*_starts(first, eager), *_starts(sources, eager)]


def _edges_in(scope):
    """Return {name: [targets]} of what the modules in scope import when they are executed."""
    table, edges = _table(scope), {}
    for name in table.paths:
        targets = _known_targets(table, name, _running(name))
        edges[name] = [target for target in targets if not targets[target]]
    return edges


def _known_targets(table, name, version):
    """Return what _targets() has found for these facts before, or finds now."""
    facts = version and version.facts
    if name not in table.targets or table.targets[name][0] is not facts:
        table.targets[name] = facts, _targets(name, version)
    return table.targets[name][1]


def _dependents(edges, names):
    """Return the names and all that imports them, directly or not."""
    importers = collections.defaultdict(list)
    for name, targets in edges.items():
        for target in targets:
            importers[target].append(name)
    return _order(names, importers.__getitem__)


def _to_reload_changed(scope, changed, left):
    """Return {name: Source} of what changed and what imports it, and the names to start with.

    What is left out runs its last good version where something that it imports has changed.
    """
    edges, sources = _edges_in(scope), {}
    for name in _dependents(edges, changed):
        if name not in left:
            sources[name] = _source(name)
        elif _running(name).code is not None:
            spec = _spec_of(name)
            sources[name] = Source(name, spec, _path_of(spec), _running(name))
    return sources, _starts(sources, edges.get)


def _reload_what_works(scope, changed):
    """Reload what changed; leave out what fails, and what is known to fail, and try the rest."""
    _check_bytecode()
    files = {path: _stat(path) for path in _table(scope).paths.values() if path}
    known = {name for name in changed if name in _held_back  # whose errors have been said
             and _held_back[name].get(_path_of(_spec_of(name))) == changed[name]}
    left = {name for name in changed if not _worth_a_try(name)}
    first, names, todo = None, [], [name for name in changed if name not in left]
    while todo:
        try:
            names = Batch(scope, *_to_reload_changed(scope, todo, left)).execute()
            break
        except ReloadError as error:
            blamed = _blamed(error.name, _edges_in(scope), todo)
            text = _text(error.__cause__ or error)
            if not known.issuperset(blamed) or _said.get(error.name) != text:
                first = first or error
            _said[error.name] = text
            left.update(blamed)
            todo = [name for name in todo if name not in left]
            _hold_back(error, blamed, files)
    for name in set(names) - left:
        _held_back.pop(name, None)
    if first is not None:
        first.reloaded = [name for name in names if name not in left]
        others = [name for name in changed if name in left - {first.name}]
        if first.reloaded:
            done = f"{_listing(first.reloaded)} reloaded all the same"
            first.msg = first.msg.replace("nothing was reloaded", done)
        if others:
            first.msg += f"; also held back: {', '.join(others)}"
        first.args = (first.msg,)
        raise first.with_traceback(None)  # its cause has the user's
    return names


def _worth_a_try(name):
    """Return whether a file that made a module fail was saved since, if one did."""
    return any(_stat(path) != stat for path, stat in _held_back.get(name, {"": 0}).items())


def _blamed(name, edges, todo):
    """Return which of the changed modules to leave out after a module has failed.

    That is itself if it has changed, else what it imports; of that first what had failed before.
    """
    if name in todo:
        return [name]
    below = _order([name], lambda each: edges.get(each, ()))
    found = [each for each in todo if each in below] or todo
    return [each for each in found if each in _held_back] or found


def _hold_back(error, names, files):
    """Note which files to look at before what was left out is worth another try."""
    cause = error.__cause__ or error
    if isinstance(cause, OSError) and cause.filename == _path_of(_spec_of(error.name)):
        return  # locked for a moment: the next look tries again
    places = itertools.chain(*map(_where_to_find, names))
    concerned = {**{path: _stat(path) for path in places}, **_concerned(cause), **files}
    _held_back.update(dict.fromkeys(names, concerned))
    for path in concerned:
        _tell(path, concerned[path])


# -- N. errors: what failed, where, and which files are worth another look -----------------------
# Guarantees that tracebacks begin in the user's code, and that a save which may help is noticed.

_IMPORT_SYSTEM = "<frozen", "<builtin>/frozen"  # its files' names in CPython and in PyPy


def _failure(error, name, path, undone=()):
    """Return the ReloadError for an exception: which module, which file and line, what was done."""
    line, what = None, _text(error)
    _trim(error)
    if isinstance(error, SyntaxError) and error.filename:
        path, line, what = error.filename, error.lineno, error.msg
    else:
        places = _places(error)
        places = [place for place in places if place[0] == path] or places
        path, line = places[-1] if places else (path, None)
    place = f" in {path}" + (f", line {line}" if line else "") if path else ""
    tried = f" ({len(undone)} undone: {_listing(undone)})" if undone else ""
    text = f"{name}: {type(error).__name__}{place}: {what}; nothing was reloaded{tried}"
    return ReloadError(text, name=name, path=path)


def _text(obj):
    try:
        return str(obj)
    except Exception:
        return "<no text>"


def _listing(names, most=8):
    return ", ".join(names[:most]) + f" and {len(names) - most} more" * (len(names) > most)


def _trim(error):
    """Take frames of ours and of the import system out of the tracebacks of an exception.

    Return it and all that led to it, each once.
    """
    ours, found = (_trim.__code__.co_filename, *_IMPORT_SYSTEM), [error]
    for each in found:  # to which the loop adds
        for other in (each.__cause__, each.__context__):
            if other is not None and all(other is not known for known in found):
                found.append(other)
        steps, trace = [], each.__traceback__
        while trace is not None:
            if not trace.tb_frame.f_code.co_filename.startswith(ours):
                steps.append(trace)
            trace = trace.tb_next
        for step in reversed(steps):
            trace = types.TracebackType(trace, step.tb_frame, step.tb_lasti, step.tb_lineno)
        each.__traceback__ = trace
    return found


def _places(error):
    """Return the (file, line) of an exception's traceback, from the outermost on."""
    import traceback
    places = [(frame.f_code.co_filename, line)
              for frame, line in traceback.walk_tb(error.__traceback__)]
    return [place for place in places if not place[0].startswith("<")]


def _user_traceback(error):
    """Return the traceback of an exception as text, as it is in the user's code."""
    import traceback
    if isinstance(error, ReloadError):
        error = error.__cause__ or error
    _trim(error)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _concerned(error):
    """Return {path: stat} of the files whose save, or appearance, is worth another try."""
    paths = []
    for each in _trim(error):
        paths += [path for path, line in _places(each)]
        if isinstance(each, (SyntaxError, OSError)):
            paths.append(each.filename)
        if isinstance(each, ImportError):
            child = re.match(r"cannot import name '(\w+)'", _text(each))
            missing = f"{each.name}.{child[1]}" if child else each.name
            if missing and (child or isinstance(each, ModuleNotFoundError)):
                paths += _where_to_find(missing)
            paths.append(each.path)
    paths = [os.fsdecode(path) for path in paths if isinstance(path, (str, bytes, os.PathLike))]
    return {path: _stat(path) for path in paths if not path.startswith("<")}


def _where_to_find(name):
    """Return the files and folders in which a missing module could appear."""
    places = [os.path.join(folder, *name.split(".")) for folder in sys.path]
    parent, _, child = name.rpartition(".")
    places += [os.path.join(folder, child) for folder in _namespace_of(parent).get("__path__", ())]
    ends = "", os.sep + "__init__.py", *all_suffixes()
    return [place + end for place in places for end in ends]


# -- D. batch: one reload, all or nothing ---------------------------------------------------------
# Guarantees that a failure, or an interrupt at any line, leaves everything as it was: each step is
# in the log before it is taken.  The program's own import statements give the order: while a batch
# runs, those of its thread execute first what is pending.

_DEEPEST = 60  # modules importing each other, before those below are executed first


class Pair:
    """An object that was made anew, and the one to use from now on; never patched as a holder."""

    __slots__ = "new", "kept"

    def __init__(self, new, kept):
        self.new, self.kept = new, kept


class Log(list):
    """[(function, *arguments)] that undo what was done; never patched as a holder."""


class Batch:
    """One reload: executes Sources in place, and keeps a log that undoes it all."""

    def __init__(self, scope, sources, starts):
        self.scope, self.sources, self.starts = scope, sources, starts
        self.pending, self.views, self.failed = dict(sources), {}, {}
        self.joined = _table(scope).paths if scope.top else ()  # what deep_reload() follows
        self.finished, self.stack, self.log = [], [], Log()
        self.error, self.at = None, ()
        self.pairs, self.undone, self.claimed, self.replaced, self.caches = {}, {}, set(), [], []
        self.committed, self.opened = [], False  # [True] later: see _hand_on()
        self.reshaped = []  # classes with other bases or names than before
        self.versions = []  # [(that has run, that runs now)]
        self.thread, self.collects = threading.get_ident(), gc.isenabled()
        self.modules, self.count, self.deepest = dict(sys.modules), len(sys.modules), _DEEPEST
        self.originals = builtins.__import__, _bootstrap._gcd_import
        self.hooks = self.import_statement, self.import_module

    def execute(self):
        """Reload, or leave everything as it was; return the names in the order of finishing."""
        try:
            try:
                try:
                    self.open()
                    self.run()
                    self.commit()
                finally:
                    self.close()
            finally:
                self.close()  # once more, lest an interrupt in the first has left a rest
        except (Exception, SystemExit) as error:
            if self.committed or not self.at or isinstance(error, ReloadError):
                raise
            raise _failure(error, *self.at, self.finished) from error
        return self.finished

    def open(self):
        global _batch
        self.opened, _batch = True, self
        gc.disable()  # what the reload makes stays among the young objects until the commit
        for each in (sys.path, sys.meta_path, sys.path_hooks):
            self.log.append((each.__setitem__, slice(None), list(each)))
        for name in [name for name in self.modules if name in self.sources][::-1]:
            _call_hook(name)
        builtins.__import__, _bootstrap._gcd_import = self.hooks
        _invalidate_finders()

    def close(self):
        """Leave nothing of the reload behind in the interpreter."""
        global _batch
        if not self.opened:
            return
        self.unhook()
        if not self.committed:
            self.roll_back()
        dropped = not self.committed
        for view in self.views.values():
            view.show()
            dropped = dropped or any(map(_is_class, view.dropped))
        view = None
        for source in self.sources.values():
            if source.spec is not None:
                source.spec._initializing = False
        for cached in self.caches if self.committed else ():
            _CACHED.cache_clear(cached)
        self.views, self.pairs, self.undone, self.log, self.error = {}, {}, {}, [], None
        self.replaced, self.versions, self.hooks, self.modules = [], [], (None, None), {}
        self.reshaped = []
        if dropped:
            gc.collect()  # else classes are met in __subclasses__()
        if self.collects:
            gc.enable()
        _batch, self.opened = None, False

    def unhook(self):
        """Give the import statements back; what a module has put there itself stays."""
        if builtins.__import__ is self.hooks[0]:
            builtins.__import__ = self.originals[0]
        if _bootstrap._gcd_import is self.hooks[1]:
            _bootstrap._gcd_import = self.originals[1]

    def run(self):
        for name in self.starts:
            if name not in self.failed:  # an import statement has caught that
                self.enter(name)

    # Import statements, and import_module()

    def import_statement(self, name, globals=None, locals=None, fromlist=(), level=0):
        mine = self.is_mine(name)
        if mine:
            base = _absolute(name, level, _package(globals or {}))
            self.imported(base)
            has_children = fromlist and ("*" in fromlist or "__path__" in _namespace_of(base))
            for child in fromlist if has_children else ():
                self.imported_from(base, child)
        try:
            return self.originals[0](name, globals, locals, fromlist, level)
        finally:
            if mine and len(sys.modules) != self.count:  # what is new counts as reloaded
                self.count, known = len(sys.modules), {*self.modules, *self.finished}
                new = [each for each in list(sys.modules) if each not in known]
                self.finished += [each for each in new if each in self.scope]

    def import_module(self, name, package=None, level=0):
        if self.is_mine(name):
            self.imported(_absolute(name, level, package or ""))
        return self.originals[1](name, package, level)

    def is_mine(self, name):
        return _batch is self and threading.get_ident() == self.thread and type(name) is str

    def imported(self, base):
        """Execute what an import of a name is about to find."""
        for name in (*_parents(base), base):
            if name not in self.views:
                self.enter(_real_name(name))

    def imported_from(self, base, child):
        """Execute what `from base import child` is about to find, if that is a module."""
        view, namespace, name = self.views.get(base), _namespace_of(base), f"{base}.{child}"
        if child == "*":
            if view is not None:
                view.drop_hidden()
            for each in _exported(namespace) if "__all__" in namespace else ():
                self.imported_from(base, each)
        module = sys.modules.get(name)
        hidden = view is not None and child in view.hidden
        if module is not None and (hidden or namespace.get(child, module) is module):
            self.enter(name)

    # Executing modules

    def enter(self, name):
        """Execute a module if it is pending, its packages first, and where it must, its imports."""
        if name in self.failed:  # and is imported once more
            self.pending[name] = self.failed.pop(name)
        elif name in self.joined and name not in self.sources and name not in self.scope.above:
            self.sources[name] = self.pending[name] = _source(name)
        for parent in _parents(name) if name in self.pending else ():
            self.enter(parent)
        source = self.pending.get(name)
        too_deep = len(self.stack) >= self.deepest
        if source is not None and source.version is not None:
            if too_deep or _is_lazy(source.version):
                self.enter_below(name, _DEEPEST // 2 if too_deep else 1)
        if self.pending.pop(name, None) is None:
            return
        if source.spec is None:  # its file is gone: the import system says so
            self.forget(name)
        else:
            self.run_module(source)

    def enter_below(self, name, step):
        """Execute what a module imports first: imports nest too deep, or are lazy."""
        def below(name):
            targets = _eager(name, self.pending[name].version)
            return [target for target in targets if target in self.pending]

        deepest, self.deepest = self.deepest, sys.maxsize
        try:
            for each in _order([name], below)[:-1:step]:  # what is between is imported by these
                self.enter(each)
        finally:
            self.deepest = deepest

    def run_module(self, source):
        name = source.name
        view = self.views[name] = View(self, source)
        self.stack.append(name)
        try:
            view.open()
            view.execute()
            view.finish()
        except BaseException as error:
            if self.error is not error:
                self.error, self.at = error, (name, source.path)
            self.failed[name] = source
            view.give_up()
            raise
        finally:
            source.spec._initializing = False
            self.stack.pop()
        parent, _, child = name.rpartition(".")
        if parent in self.views:
            self.views[parent].bind_child(child, sys.modules.get(name, view.module))
        self.finished.append(name)

    # The end

    def do(self, function, *args, old):
        """Call a function that sets its last argument; the log says to set the old value again."""
        self.log.append((function, *args[:-1], old))
        function(*args)

    def pair(self, new, kept):
        self.pairs[id(new)] = Pair(new, kept)
        self.claimed.add(id(kept))

    def commit(self):
        """Bring up to date what other places hold, each step in the log."""
        self.unhook()
        for name in self.failed:  # an importer has caught it: a new process has no such module
            self.forget(name)
        _follow_classes(self)
        _follow_code(self, self.do)
        _replace_leftovers(self)
        _rename_elsewhere(self)
        for view in self.views.values():
            view.drop_rest()
        for source in self.sources.values():
            if source.path and source.name in self.views:
                known = _runs.get(source.path, _MISSING)
                self.do(_restore_item, _runs, source.path, source.version, old=known)
                _tell(source.path, source.version.stat)
        if self.reshaped:
            _clear_caches(self.reshaped)
        self.committed.append(True)
        _tell_who_keeps_old(self)

    def forget(self, name):
        """Do without a module, as a new process would; roll_back() restores it."""
        module = sys.modules.pop(name, None)
        self.pending.pop(name, None)
        parent, _, child = name.rpartition(".")
        if module is not None and _namespace_of(parent).get(child) is module:
            self.do(_restore_item, _namespace_of(parent), child, _MISSING, old=module)

    def roll_back(self):
        while self.log:
            function, *args = self.log[-1]
            try:
                function(*args)
            except Exception:
                _log().exception("could not undo a step")
            self.log.pop()
        new, stays = [name for name in list(sys.modules) if name not in self.modules], set()
        for name in new:  # packages with compiled parts cannot be imported again
            spec = _spec_of(name)
            if isinstance(getattr(spec, "loader", 0), ExtensionFileLoader) or _on_the_way(name):
                stays.add(name.partition(".")[0])
        for name in new:
            if name.partition(".")[0] not in stays:
                self.forget(name)
        self.log.clear()
        _restore_namespace(sys.modules, self.modules, others=True)
        _follow_code(self, _just_do, back=True)
        self.pairs.update(self.undone)  # what registries elsewhere got is taken back
        for old, new in self.replaced:
            self.pairs[id(new)] = Pair(new, old)
        _replace_leftovers(self, gains=False)


def _is_lazy(version):
    """Return whether imports of a module are lazy (PEP 810), which needs Python 3.15."""
    return bool(version.facts.lazy) or getattr(sys, "get_lazy_imports", str)() == "all"


def _call_hook(name):
    hook = _namespace_of(name).get("__unload__")
    try:
        if hook is not None:
            hook()
    except Exception:
        _log().exception("%s.__unload__() failed", name)


def _log():
    import logging
    return logging.getLogger("deepreload")


def _restore_item(mapping, key, value):
    if value is _MISSING:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _restore_namespace(namespace, saved, others=False):
    """Give a dict its old entries back, in their order; take others away, or leave them behind."""
    for name in [name for name in list(namespace) if name not in saved and not others]:
        namespace.pop(name, None)
    for name, value in saved.items():
        if namespace.get(name, _MISSING) is not value:
            namespace[name] = value
    names = [*saved, *[name for name in list(namespace) if name not in saved]]
    for name in names if names != list(namespace) else ():
        namespace[name] = namespace.pop(name)  # one by one: other threads find all others


def _set_class_of(obj, cls):
    """Change an object's class past what it makes of `__class__`; TypeError if Python refuses."""
    object.__dict__["__class__"].__set__(obj, cls)


# -- E. view: the namespace that a module's code sees ---------------------------------------------
# Guarantees that other threads find every name at any moment, while the code finds what a new
# process would give it.  Relies on LOAD_NAME and STORE_NAME asking the mapping that exec() gets.

_ANNOTATIONS = {"__annotations__", "__annotate__", "__conditional_annotations__"}
_MODULE_NAMES = {"__spec__", "__loader__", "__package__", "__file__", "__cached__", "__path__",
                 "__name__", "__doc__", "__builtins__", *_ANNOTATIONS}


class _Reloading(ModuleType):
    """What a module is while it is reloaded: its thread does not see what is hidden."""

    def __getattribute__(self, name):
        batch = _batch
        if batch is not None and threading.get_ident() == batch.thread:
            view = batch.views.get(_dict_of(self).get("__name__"))
            if view is not None and view.hides(name) and view.module is self:
                return view.instead_of(name)
        return ModuleType.__getattribute__(self, name)


class View(dict):
    """What the code of a module sees: names of the live namespace, but not those that are hidden.

    Hidden are the names that the old code has bound, and the new one has not yet.  Modules that
    look at their own namespace (`globals()`) start with an empty one; modules that import lazily
    (PEP 810 wants globals() to be locals()), or that their loader executes, see all.
    """

    def __init__(self, batch, source):
        super().__init__()
        self.batch, self.source, self.name = batch, source, source.name
        self.module = sys.modules[source.name]
        self.live = _dict_of(self.module)
        self.runs = _running(source.name) or _runs.get(source.path)  # the latter for the script
        self.old, self.code, self.facts = dict(self.live), source.version.code, source.version.facts
        self.hidden, self.later, self.children, self.dropped = set(), {}, {}, []
        batch.versions.append((self.runs, source.version))
        self.waiting = []  # [(names, steps)] of functions whose new code leads to names not bound
        self.unbound = [name for name in self.facts.binds if name not in self.live]
        self.sees_all = self.code is None or _is_lazy(source.version)

    def open(self):
        """Hide the old names from this thread, and give the module what an import starts with."""
        batch, spec, live, old = self.batch, self.source.spec, self.live, self.old
        batch.log.append((_restore_namespace, live, old))
        if self.name == "__main__":  # nothing but its changed definitions
            return
        if type(self.module) is ModuleType:
            batch.do(_set_class_of, self.module, _Reloading, old=ModuleType)
        overloads = _namespace_of("typing").get("_overload_registry", {})
        if self.name in overloads:
            batch.do(_restore_item, overloads, self.name, _MISSING, old=overloads[self.name])
        spec._initializing = True
        _bootstrap._init_module_attrs(spec, self.module, override=True)
        if spec is old.get("__spec__") and "__path__" in old:  # a host may have extended it
            extends = self.code is not None and "__path__" in self.code.co_names and spec.origin
            live["__path__"] = [os.path.dirname(spec.origin)] if extends else old["__path__"]
        elif "__path__" in old and spec.submodule_search_locations is None:  # no package any more
            live.pop("__path__", None)
            for child in [each for each in sys.modules if each.startswith(self.name + ".")]:
                batch.forget(child)
        for name in _ANNOTATIONS:
            live.pop(name, None)
        live["__doc__"] = None
        self.hidden = set() if self.sees_all else self.to_hide()
        self.update((name, value) for name, value in old.items()
                    if name not in self.hidden and name not in _MODULE_NAMES)

    def to_hide(self):
        """Return the old names that a new process would not have yet.

        A module that catches NameError may guard its state (`try: cache`): it sees what it binds.
        """
        hidden = set(self.bound_before()).intersection(self.old) - self.facts.sets - _MODULE_NAMES
        if self.code is not None and "NameError" in self.code.co_names:
            hidden -= self.facts.binds.keys()
        for name, value in self.old.items() if "__path__" in self.old else ():
            child = f"{self.name}.{name}"
            if value is sys.modules.get(child, self):
                (hidden.add if child in self.batch.pending else hidden.discard)(name)
        return hidden

    def bound_before(self):
        """Return the names that the module's own code has bound: others are somebody else's."""
        facts = self.runs.facts if self.runs is not None else _NO_FACTS
        if facts is _NO_FACTS:
            made = [name for name, value in self.old.items() if _module_of(value) == self.name]
            return [*made, *self.facts.binds]
        if facts.looks or self.facts.looks:  # it may have bound names that no statement shows
            return self.old
        bound = [*facts.binds, *facts.sets, *self.runs.left]
        for (module, level), pairs in facts.froms.items():
            if ("*", "*") in pairs:
                name = _absolute(module, level, _package(self.old))
                view = self.batch.views.get(name)
                bound += _exported(_namespace_of(name) if view is None else view.old)
        return bound

    def execute(self):
        loader = self.source.spec.loader
        if self.facts.looks:
            self.drop_hidden()
        if self.code is not None:
            exec(self.code, self.live, self.live if self.facts.looks or self.sees_all else self)
        elif loader is not None:
            loader.exec_module(self.module)

    def finish(self):
        """Pair what was bound several times, or past the view."""
        live, old = self.live, self.old
        past = [name for name in live if name in self.facts.sets]
        if self.sees_all or self.facts.looks:
            past = [name for name in live if name in old and name not in _MODULE_NAMES]
        for name in [*self.later, *past]:
            if name in live and name in old:
                live[name] = _keep(self.batch, old[name], live[name])
        self.go_on(at_end=True)
        if self.sees_all:
            unbound = [name for name in past if live[name] is old[name]]
            self.hidden = self.to_hide().intersection(unbound) - self.facts.binds.keys()
        for name in self.facts.sets - self.facts.binds.keys():  # bound by functions, if at all
            if name in old and live.get(name) is old[name] and type(old[name]) not in _PLAIN:
                self.hidden.add(name)
        for child in self.hidden.intersection(self.children):
            live[child] = self.children[child]
        self.hidden -= self.children.keys()
        if not self.hidden:
            self.show()

    def take(self, code, steps):
        """Give a function its new code and state, when all names are bound that it leads to."""
        self.unbound = [name for name in self.unbound if name not in self.live]
        needed = self.names_read(code).intersection(self.unbound) if self.unbound else ()
        self.waiting.append((needed, steps))
        self.go_on()

    def go_on(self, at_end=False):
        waiting, self.waiting = self.waiting, []
        for needed, steps in waiting:
            if at_end or all(name in self.live for name in needed):
                for *args, old in steps:
                    self.batch.do(*args, old=old)
            else:
                self.waiting.append((needed, steps))

    @functools.cached_property
    def functions(self):
        """All code objects of the module, by name."""
        codes = _codes_in(self.code) if self.code is not None else []
        named = collections.defaultdict(list)
        for code in codes:  # to which the loop adds
            codes += _codes_in(code)
            named[code.co_name].append(code)
        return named

    def names_read(self, code):
        """Return the names that a function reads, and what of the module has these names, too."""
        codes, names = [code], set()
        for each in codes:  # to which the loop adds
            new = set(each.co_names) - names
            codes += _codes_in(each)
            names |= new
            for name in new:
                codes += self.functions.get(name, ())
        return names

    def give_up(self):
        """Forget a failed execution: its importer may catch that, and try again."""
        self.show()
        _restore_namespace(self.live, self.old)
        for key, pair in list(self.batch.pairs.items()):
            if _module_of(pair.kept) == self.name:
                self.batch.claimed.discard(id(pair.kept))
                self.batch.undone[key] = self.batch.pairs.pop(key)
        for old, new in self.batch.replaced[:]:
            if _module_of(new) == self.name:
                self.batch.undone[id(new)] = Pair(new, old)
                self.batch.replaced.remove((old, new))
        del self.batch.views[self.name]

    def show(self):
        """Let the reloading thread see all names again."""
        if type(self.module) is _Reloading:
            self.module.__class__ = ModuleType

    def bind_child(self, child, module):
        """Bind a submodule as the import system does, over what the package has bound.

        While the package runs, others go on seeing the old name: the statement that imports the
        submodule most often binds something else to it.
        """
        if self.name in self.batch.stack and child in self.hidden:
            self.children[child] = module
        else:
            self.hidden.discard(child)
            self.live[child] = self[child] = module

    def instead_of(self, name):
        """Return what a new process would find under a hidden name."""
        if name in self.children:
            return self.children[name]
        if "__getattr__" in self.live and "__getattr__" not in self.hidden:
            return self.live["__getattr__"](name)
        raise AttributeError(f"partially initialized module {self.name!r} has no {name!r} yet")

    def hides(self, name):
        """Return whether a name is hidden still, and not set past the view meanwhile."""
        return name in self.hidden and self.live.get(name) is self.old[name]

    def drop_hidden(self):
        for name in filter(self.hides, self.hidden):
            _restore_item(self.live, name, self.children.get(name, _MISSING))
            self.dropped.append(self.old[name])
        self.hidden = set()

    def drop_rest(self):
        """Drop what the new code has not bound, but for what running frames read: next time."""
        used = self.hidden and self.hidden & _names_in_use(self.live)
        self.hidden -= used
        self.drop_hidden()
        version = self.source.version
        self.batch.do(setattr, version, "left", frozenset(used), old=version.left)

    # The mapping that exec() wants

    def __missing__(self, name):
        if not self.hides(name):
            raise KeyError(name)  # the live namespace is asked next
        if name in self.children or hasattr(builtins, name):
            return self.children.get(name, getattr(builtins, name, None))
        raise NameError(f"name {name!r} is not defined")

    def __setitem__(self, name, value):
        if name in self.old and type(value) not in _PLAIN:
            if self.facts.binds.get(name) == 1:
                value = _keep(self.batch, self.old[name], value)
            else:
                self.later[name] = None
        super().__setitem__(name, value)
        self.live[name] = value
        self.hidden.discard(name)
        if self.waiting:
            self.go_on()

    def __delitem__(self, name):
        super().__delitem__(name)
        self.live.pop(name, None)


def _exported(namespace):
    """Return the names that a star import takes from a module."""
    exported = namespace.get("__all__")
    if isinstance(exported, (list, tuple)):
        return exported
    return [name for name in list(namespace) if not name.startswith("_")]


def _names_in_use(namespace):
    """Return the names of a module that running frames read, in the functions they call, too."""
    codes, names = [frame.f_code for frame in _frames() if frame.f_globals is namespace], set()
    for code in codes:  # to which the loop adds
        codes += _codes_in(code)
        new = [name for name in code.co_names if name not in names]
        codes += [namespace[name].__code__ for name in new if _is_function(namespace.get(name))]
        names.update(new)
    return names


def _frames():
    """Yield the frames that run, of all threads."""
    for frame in sys._current_frames().values():
        while frame is not None:
            yield frame
            frame = frame.f_back


# -- F. keep: old objects stay, brought up to date ------------------------------------------------
# Guarantees that functions, classes and enum members that the module has made keep their identity.
# Matches by __module__ and __qualname__; calls nothing of the user's: no ==, getattr, isinstance.

_PLAIN = {int, str, float, bool, bytes, type(None), tuple, list, dict, set, frozenset, ModuleType,
          _Reloading}
_DESCRIPTORS = {types.MemberDescriptorType, types.GetSetDescriptorType}
_NO_RECORDS = {*_PLAIN, *_DESCRIPTORS, FunctionType, MethodType}
_CACHED = functools._lru_cache_wrapper  # a function in PyPy, and nothing's type
_METHODS = {property: ("fget", "fset", "fdel", "__doc__"), classmethod: ("__func__",),
            staticmethod: ("__func__",)}
_METACLASSES = {"abc", "typing", "typing_extensions", "enum"}  # Python's own, besides type
_NOT_COPIED = {"__dict__", "__weakref__", "_abc_impl", "__classdictcell__"}
_STATE = ["__defaults__", "__kwdefaults__", "__doc__", "__name__", "__qualname__", "__module__"]
_NOTES = "__annotate__" if "__annotate__" in vars(FunctionType) else "__annotations__"  # 3.14
_STATE += [_NOTES]
_STATE += ["__type_params__"] * hasattr(FunctionType, "__type_params__")  # 3.12


def _module_of(value):
    """Return the module in which a class or function was made; None for all else."""
    if _is_class(value):
        return _vars_of_class(value).get("__module__")
    return value.__module__ if _is_function(value) else None


def _identical(one, other):
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _keep(batch, old, new):
    """Return what to use for a new object: the old one, brought up to date, if it is a version."""
    kind = type(new)
    if new is old or kind in _PLAIN:
        return new
    if id(new) in batch.pairs:
        return batch.pairs[id(new)].kept
    if kind is FunctionType is type(old):
        same, keep = old.__qualname__ == new.__qualname__, _keep_function
    elif _is_class(new) and _is_class(old):
        same, keep = _qualname(old) == _qualname(new), _keep_class
    elif type(old) is _CACHED:
        batch.caches.append(old)
        kept = kind is _CACHED and _keep(batch, old.__wrapped__, new.__wrapped__)
        if kept is not old.__wrapped__ or old.cache_info()[2] != new.cache_info()[2]:
            return new
        batch.pair(new, old)  # it goes on with the old function, and is cleared
        return old
    elif type(old) is kind and _has_no_state(batch, old) and _has_no_state(batch, new):
        batch.pair(new, old)  # a sentinel, which is compared with `is`
        return old
    elif kind in _METHODS and type(old) is kind:
        before, after = _parts(old), _parts(new)
        kept = list(map(functools.partial(_keep, batch), before, after))
        return new if _identical(kept, after) else old if _identical(kept, before) else kind(*kept)
    else:
        return new
    module = _module_of(new)
    made_here = same and type(module) is str and module in batch.views and _module_of(old) == module
    return keep(batch, old, new) if made_here and id(old) not in batch.claimed else new


def _has_no_state(batch, obj):
    """Return whether an object is object(), or of a class of its module without any attributes."""
    own = all(_module_of(cls) in batch.views for cls in _mro(type(obj))[:-1])
    return own and not _attributes(obj) and not _members(obj)


def _parts(method):
    """Return what a property, classmethod or staticmethod is made of."""
    return [getattr(method, name) for name in _METHODS[type(method)]]


def _keep_function(batch, old, new):
    """Give an old function the code and the state of the new one."""
    was, code = old.__code__, new.__code__
    if not _fits(was, code):
        batch.claimed.add(id(old))
        _forward(batch, old, new)
        return new
    batch.pair(new, old)
    if was is code and not (_extras_of(old) or _extras_of(new)):
        return old
    steps = [(setattr, old, "__code__", code, was)] * (was is not code)
    had, before, after = old.__dict__, _state_of(old), _state_of(new)
    if "registry" in had and "register" in new.__dict__:  # of functools.singledispatch
        for cls, function in had["registry"].items():
            if _module_of(function) not in batch.sources:
                new.register(cls, function)
    kept = {name: _keep(batch, had.get(name), value) for name, value in new.__dict__.items()}
    if had or kept or not all(map(_same_value, before, after)):
        steps.append((_set_state, old, (after, kept), (before, dict(had))))
    if len(after[0] or ()) + len(after[1] or ()) >= len(before[0] or ()) + len(before[1] or ()):
        steps.reverse()  # defaults that come come first, those that go last: others may call it
    batch.views[_module_of(new)].take(code, steps)
    for mine, theirs in zip(old.__closure__ or (), new.__closure__ or ()):
        before, after = _content(mine), _content(theirs)
        if before is not after is not _MISSING:
            batch.do(_set_cell, mine, _keep(batch, before, after), old=before)
    return old


def _extras_of(function):
    """Return whether a function has more to it than its code."""
    return function.__defaults__ or function.__kwdefaults__ or function.__dict__ \
        or function.__closure__ or getattr(function, _NOTES)


def _fits(was, code):
    """Return whether a function can be given other code: of as many cells, and no generator now."""
    return was.co_freevars == code.co_freevars and not (was.co_flags ^ code.co_flags) & 0x2A0


def _state_of(function):
    return [getattr(function, name) for name in _STATE]


def _set_state(function, state):
    for name, value in zip(_STATE, state[0]):
        if not _same_value(getattr(function, name), value):
            setattr(function, name, value)
    _restore_namespace(function.__dict__, state[1])


def _same_value(one, other):
    """Return whether two values are the same object, or constants that nobody tells apart."""
    kind = type(one)
    if one is other or kind is not type(other):
        return one is other
    return kind in (str, int) and one == other or kind in (tuple, dict) and not (one or other)


def _forward(batch, old, new):
    """Let an old function, which cannot be given the new one's code, only call the new one.

    It takes it from a keyword default: as a constant of the code it were never collected.
    """
    def call(*args, __new__, **kwargs):
        return __new__(*args, **kwargs)

    async def call_async(*args, __new__, **kwargs):
        return await __new__(*args, **kwargs)

    code = (call_async if new.__code__.co_flags & 0x80 else call).__code__  # CO_COROUTINE
    code = code.replace(co_freevars=old.__code__.co_freevars, co_name=new.__name__)
    state = [None, {"__new__": new}, *_state_of(new)[2:]], {**new.__dict__, "__wrapped__": new}
    import warnings
    with warnings.catch_warnings():  # 3.13 warns where a generator becomes a plain function
        warnings.simplefilter("ignore", DeprecationWarning)
        batch.do(setattr, old, "__code__", code, old=old.__code__)
    batch.do(_set_state, old, state, old=(_state_of(old), dict(old.__dict__)))


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _set_cell(cell, value):
    if value is _MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def _keep_class(batch, old, new):
    """Give an old class what the new one has, or let the new one take over, where it must."""
    before, after = dict(_vars_of_class(old)), dict(_vars_of_class(new))
    bases = tuple([batch.pairs[id(base)].kept if id(base) in batch.pairs else base
                   for base in _bases(new)])
    same_bases = _identical(bases, _bases(old))
    abstract = before.get("__abstractmethods__") != after.get("__abstractmethods__")
    if abstract or before.keys() != after.keys() or not same_bases:
        batch.reshaped.append(old)
    becomes = _can_become(old, new, before, after)
    try:
        if becomes and not same_bases:
            batch.do(type.__setattr__, old, "__bases__", bases, old=_bases(old))
    except TypeError:
        becomes = False
    batch.pair(new, old if becomes else new)
    if not becomes:
        batch.claimed.add(id(old))
        batch.replaced.append((old, new))
        _hand_on(batch, old, new)
        return new
    for cell in _cells_in(after.values()):
        if _content(cell) is new:  # behind super(): it is used at once
            cell.cell_contents = old
    if "_member_map_" in after and "_member_map_" in before:
        _keep_members(batch, old, before, new, after)
    batch.log.append((_set_attributes, old, before))
    _set_attributes(old, {**after, **before})  # first what is new, as methods may read it
    _set_attributes(old, {name: _keep(batch, before.get(name), after[name]) for name in after})
    if _bases(new)[0] is not object:
        try:  # it must leave its bases' __subclasses__(); and super() in it has to go on working
            type.__setattr__(new, "__bases__", (old,))
        except TypeError:  # its layout differs
            pass
    return old


def _can_become(old, new, before, after):
    """Return whether an old class can become the new one, bases apart.

    Not where a framework's metaclass, or an attribute in C, may keep records of it that nobody can
    bring up to date, nor where Python lays out its instances in another way.
    """
    meta = type(new)
    own = meta is type or _vars_of_class(meta).get("__module__") in _METACLASSES
    if type(old) is not meta or not (own or "_member_map_" in after):
        return False
    records = [value for value in after.values() if type(value) not in _NO_RECORDS
               and not _is_class(value) and _attributes(value) is None]
    if any(part is new for part in gc.get_referents(*records)):
        return False
    if "__class__" in before or "__class__" in after:  # of a proxy: type's own is in the way
        return False
    same = before.keys() == after.keys() and _identical(_bases(old), _bases(new))
    return same or _layout(old) == _layout(new)


def _cells_in(values):
    """Return the cells of the functions among the attributes of a class."""
    waiting, cells = list(values), []
    for value in waiting:  # to which the loop adds
        if type(value) in _METHODS:
            waiting += _parts(value)
        elif _is_function(value):
            cells += value.__closure__ or ()
    return cells


def _layout(cls):
    """Return what Python lays out in memory for the instances of a class."""
    slots = [name for name, value in _vars_of_class(cls).items()
             if type(value) is types.MemberDescriptorType]
    special = {name for each in _mro(cls) for name in ("__dict__", "__weakref__")
               if name in _vars_of_class(each)}
    return sorted(slots), special, [size.__get__(cls) for size in _SIZES]


_SIZES = [vars(type)[name] for name in ("__basicsize__", "__itemsize__") if name in vars(type)]


def _set_attributes(cls, wanted):
    """Make a class have just these attributes, past metaclasses that refuse, one by one."""
    current = dict(_vars_of_class(cls))
    for name, value in {**current, **wanted}.items():
        if name not in _NOT_COPIED and type(value) not in _DESCRIPTORS:
            if current.get(name, _MISSING) is not wanted.get(name, _MISSING):
                _set_attribute(cls, name, wanted.get(name, _MISSING))


def _set_attribute(obj, name, value):
    """Set or delete an attribute of a class or function, past what classes make of that."""
    kind = type if _is_class(obj) else object
    if value is _MISSING:
        kind.__delattr__(obj, name)
    else:
        kind.__setattr__(obj, name, value)


def _keep_members(batch, old, before, new, after):
    """Keep enum members by name, as far as what they are (an int, a str) lets them change."""
    members, named = before["_member_map_"], after["_member_map_"]
    for name in sorted(named, key=lambda name: name not in members):  # new names of old ones last
        member, kept = named[name], members.get(name, named[name])
        if id(member) not in batch.pairs and id(kept) not in batch.claimed:
            plain = after["_member_type_"] is object
            if not plain and not _same_value(kept._value_, member._value_):
                kept = member
            state = {key: old if value is new else value for key, value in member.__dict__.items()}
            batch.do(_restore_namespace, kept.__dict__, state, old=dict(kept.__dict__))
            _set_class_of(kept, old)
            batch.pair(member, kept)
    for value, member in before["_value2member_map_"].items():
        if member._name_ not in members:  # flags together
            after["_value2member_map_"].setdefault(value, member)
    for value in after.values():
        _patch(value, batch.pairs, _just_do)


# -- G. functions follow their code, whoever holds them -------------------------------------------
# Guarantees that no function goes on running the code of an earlier version of its module: one in a
# C structure, a closure, a bound method.  A reference count tells whether there is any; if so, the
# garbage collector finds it.


def _follow_code(batch, do, back=False):
    """Give functions that run an old code object of a changed module its successor, or back."""
    successors, exact = {}, True
    for runs, version in batch.versions:
        changed = runs is not None and (runs is not version or not runs.exact)
        if changed and runs.code and version.code:
            old, new = (version, runs) if back else (runs, version)
            _pair_code(old.code, new.code, successors)
            exact = exact and old.exact
    _exchange(successors, exact, do, batch.log)
    for runs, version in batch.versions:
        version.exact = version.exact or not back


def _just_do(function, *args, old):
    function(*args)


def _pair_code(old, new, successors):
    """Pair the code objects in two versions of a code object by name, and order in that name."""
    named = collections.defaultdict(list)
    for code in _codes_in(new):
        named[code.co_name, code.co_flags & _IN_FUNCTION].append(code)
    for code in _codes_in(old):
        for successor in named[code.co_name, code.co_flags & _IN_FUNCTION][:1]:
            named[code.co_name, code.co_flags & _IN_FUNCTION].pop(0)
            successors[id(code)] = Pair(code, successor)
            _pair_code(code, successor, successors)


def _exchange(successors, exact, do, log=()):
    """Let functions whose code is among the pairs run its successor.

    `exact` says that functions hold these very code objects, not equal copies of them; `log` may
    hold some, too.
    """
    pairs, found = list(successors.values()), ()
    if exact and hasattr(sys, "getrefcount"):
        unused = Pair(_exchange.__code__.replace(co_name="unused"), None)
        least = sys.getrefcount(unused.new) + 1  # for the constants of the code around it
        logged = collections.Counter(id(step[-1]) for step in log)
        pairs = [pair for pair in pairs if sys.getrefcount(pair.new) > least + logged[id(pair.new)]]
    if exact and pairs:
        found = gc.get_referrers(*[pair.new for pair in pairs])
    elif pairs:
        found = gc.get_objects()  # code of other files may be equal, too
        successors = {(pair.new.co_filename, pair.new): pair for pair in pairs}
    for function in found:
        if _is_function(function):
            code = function.__code__
            pair = successors.get(id(code) if exact else (code.co_filename, code))
            if pair is not None and code is not pair.kept and _fits(code, pair.kept):
                do(setattr, function, "__code__", pair.kept, old=code)


def _move_lines(path, runs, version):
    """Put code that differs in nothing but where it stands in place, without executing it."""
    successors = {}
    _pair_code(runs.code, version.code, successors)
    _exchange(successors, runs.exact, _just_do)
    version.left, _runs[path] = runs.left, version
    _tell(path, version.stat)


# -- H. where a class cannot become the new one, its instances and subclasses follow ---------------
# Guarantees that live instances are accepted, also by what holds the old class for good.  Relies on
# instances taking another class of the same layout, and on isinstance() asking for `__class__`.


def _follow_classes(batch):
    """Let what is of a class that was made anew follow, where Python allows it."""
    successors, stuck = {id(old): new for old, new in batch.replaced}, collections.Counter()
    if successors:
        _follow_meanwhile(batch)
    holders = gc.get_referrers(*[old for old, new in batch.replaced]) if successors else ()
    if successors and sys.version_info < (3, 9):  # instances do not tell their class yet
        objects = gc.get_objects()
        known = map(successors.__contains__, map(id, map(type, objects)))
        holders += itertools.compress(objects, known)
    for obj in sorted(holders, key=lambda each: type(each) is not CellType):  # see _hand_on()
        old, new = type(obj), successors.get(id(type(obj)))
        try:
            if new is not None:
                batch.do(_set_class_of, obj, new, old=old)
            elif old is CellType and id(_content(obj)) in successors:  # behind super()
                batch.do(_set_cell, obj, successors[id(_content(obj))], old=_content(obj))
            elif _is_class(obj) and id(obj) not in successors:
                bases = tuple([successors.get(id(base), base) for base in _bases(obj)])
                if not _identical(bases, _bases(obj)):
                    old = next(base for base in _bases(obj) if id(base) in successors)
                    batch.do(type.__setattr__, obj, "__bases__", bases, old=_bases(obj))
        except TypeError:
            stuck[id(old)] += 1
    for old, new in batch.replaced:
        if stuck[id(old)]:
            _log().warning("%s.%s is a new class now; %d of its instances and subclasses keep the "
                           "old one", new.__module__, _qualname(new), stuck[id(old)])


def _hand_on(batch, old, new):
    """Let an old class stand for the new one where somebody goes on with it.

    The validator of a FastAPI route, say, goes on making instances of the old class, and asking
    whether others are of it.  Those it makes follow at their first use after the reload.
    """
    kind, get = type(old), type.__getattribute__(old, "__getattribute__")
    own = _vars_of_class(old).get("__getattribute__", _MISSING)
    the_old, committed = weakref.ref(old), batch.committed  # a cell that holds it would follow

    class Replaced(kind):
        def __instancecheck__(cls, obj):
            return isinstance(obj, new) if cls is the_old() else super().__instancecheck__(obj)

        def __subclasscheck__(cls, other):
            return issubclass(other, new) if cls is the_old() else super().__subclasscheck__(other)

    def __getattribute__(self, name):
        if type(self) is the_old():
            if name == "__class__":  # isinstance() wants another than type()
                return new
            try:
                if committed:  # else it might have to go back
                    _set_class_of(self, new)
            except TypeError:  # of another layout
                pass
        return get(self, name)

    # C code that makes instances itself trusts their layout; a proxy answers for `__class__`
    is_plain = type.__getattribute__(old, "__new__") is object.__new__
    if is_plain and all("__class__" not in _vars_of_class(each) for each in _mro(old)[:-1]):
        batch.do(_set_attribute, old, "__getattribute__", __getattribute__, old=own)
        if kind is not type:
            batch.do(_set_class_of, old, Replaced, old=kind)


def _follow_meanwhile(batch):
    """Let what was made while the old class was the one to be found go on with the new one.

    A framework's registry answers with the old class until the new one is there: relations to
    itself hold that, and set their other ends on it.
    """
    pairs = {id(old): Pair(old, new) for old, new in batch.replaced}
    own = {id(view.old) for view in batch.views.values()}
    young = gc.get_objects(generation=0) if sys.implementation.name == "cpython" else ()
    made = set(map(id, young))
    for old, new in batch.replaced:
        known = {*_vars_of_class(new), *_NOT_COPIED, "__getattribute__"}  # the last is _hand_on()'s
        for name, value in list(_vars_of_class(old).items()):
            if id(value) in made and name not in known:
                batch.do(_set_attribute, new, name, value, old=_MISSING)
    for holder in young:
        if id(holder) not in own and not pairs.keys().isdisjoint(map(id, gc.get_referents(holder))):
            _patch(holder, pairs, batch.do)


# -- I. leftovers: new versions that somebody has put somewhere before they were paired -----------
# Guarantees that registries which decorators, metaclasses and __init_subclass__ fill hold what the
# program uses.  Relies on the garbage collector to find who holds what.


def _replace_leftovers(batch, gains=True):
    """Put kept objects in the place of their new versions, wherever these are held."""
    pairs = [pair for pair in batch.pairs.values() if pair.new is not pair.kept]
    batch.pairs = {}
    leftovers = _still_held(pairs)
    classes = [pair.new for pair in leftovers.values() if _is_class(pair.new)]
    spaces = {id(part) for part in gc.get_referents(*classes) if type(part) is dict}
    classes = None
    for pair in list(leftovers.values()):
        namespace = _vars_of_class if _is_class(pair.new) else _attributes
        gained = gains and namespace(pair.new) or {}  # since they were paired
        for name in gained.keys() - (namespace(pair.kept) or gained).keys() - _NOT_COPIED:
            batch.do(_set_attribute, pair.kept, name, gained[name], old=_MISSING)
        for reference in _references_to(pair.new):
            other = weakref.ref.__new__(type(reference), pair.kept, reference.__callback__)
            for member, value in _members(reference):  # the key of a WeakValueDictionary's
                member.__set__(other, value)
            leftovers[id(reference)] = Pair(reference, other)
    reference = None
    contexts = sys.modules.get("contextvars") if leftovers else None
    for variable, value in contexts.copy_context().items() if contexts else ():
        if id(value) in leftovers:
            batch.do(contexts.ContextVar.set, variable, leftovers[id(value)].kept, old=value)
    value = None
    for _ in range(8 if leftovers else 0):
        remade = {}  # what cannot be changed is made anew, and then its holders are patched
        for holder in gc.get_referrers(*[pair.new for pair in leftovers.values()]):
            other = holder if id(holder) in spaces else _patch(holder, leftovers, batch.do)
            if other is not holder:
                remade[id(holder)] = Pair(holder, other)
        leftovers = remade


def _still_held(pairs):
    """Empty a list of Pairs; return {id(new): Pair} of those whose new version somebody holds."""
    watched, held, count = [], {}, getattr(sys, "getrefcount", id)
    while pairs:
        pair = pairs.pop()
        try:
            if not _references_to(pair.new):
                if count(pair.new) <= 2:  # the pair, and the question
                    continue
                watched.append((weakref.ref(pair.new), pair))
                pair.new = None
                continue
        except TypeError:  # an enum member that is an int, say
            pass
        held[id(pair.new)] = pair
    gc.collect(1)  # most are garbage, in cycles that the young objects make
    for reference, pair in watched:
        pair.new = reference()
        if pair.new is not None:
            held[id(pair.new)] = pair
    return held


def _references_to(obj):
    """Return the weak references to an object, but for that of its bases' __subclasses__()."""
    found = weakref.getweakrefs(obj)
    if not _is_class(obj):
        return found
    own = len(_bases(obj)) + (3 if sys.version_info < (3, 14) else 2)  # with what is counted here
    return [each for each in found if each.__callback__ or type(each) is not weakref.ref
            or getattr(sys, "getrefcount", id)(each) > own]


def _members(obj):
    """Return [(descriptor, value)] of the slots of an object that are not empty."""
    found = []
    for cls in [cls for cls in _mro(type(obj)) if "__slots__" in _vars_of_class(cls)]:
        for member in list(_vars_of_class(cls).values()):
            try:
                if type(member) is types.MemberDescriptorType:
                    found.append((member, member.__get__(obj)))
            except AttributeError:
                pass
    return found


def _attributes(obj):
    """Return the dict of an object's own attributes, past a property of that name; or None."""
    for cls in _mro(type(obj)):
        own = _vars_of_class(cls).get("__dict__")
        if type(own) is types.GetSetDescriptorType:
            found = own.__get__(obj)
            return found if type(found) is dict else None
    return None


def _patch(holder, pairs, do):
    """Replace what is paired in one object; return it, or what has to stand in its place."""
    kind = type(holder)

    def find(obj):
        pair = pairs.get(id(obj))
        return obj if pair is None else pair.kept

    def put(function, *args):
        """Call a function that sets its last argument, with what stands for that."""
        try:
            if find(args[-1]) is not args[-1]:
                do(function, *args[:-1], find(args[-1]), old=args[-1])
        except TypeError:  # a class of another layout: it stays what it is
            pass

    if kind is Pair or kind is Log or kind is types.FrameType or holder is pairs:
        return holder
    made = _made_anew(holder, kind, find)
    if made is not holder:
        return made
    put(_set_class_of, holder, kind)
    base = collections.deque if issubclass(kind, collections.deque) else list
    for index, item in enumerate(list(base.__iter__(holder)) if issubclass(kind, base) else ()):
        put(base.__setitem__, holder, index, item)
    for item in list(holder) if kind is set else ():
        put(_set_item_of_set, holder, item, item)
    if kind is CellType:
        put(_set_cell, holder, _content(holder))
    elif kind is functools.partial:
        state = holder.__reduce__()[2]
        do(kind.__setstate__, holder, tuple(map(find, state)), old=state)
    elif kind is FunctionType or issubclass(kind, BaseException):
        name = "__defaults__" if kind is FunctionType else "args"
        put(setattr, holder, name, getattr(holder, name))
    elif _is_class(holder):
        put(type.__setattr__, holder, "__bases__", _bases(holder))
    for member, value in _members(holder):
        put(member.__set__, holder, value)
    namespace = holder if issubclass(kind, dict) else _attributes(holder)
    if namespace:
        _patch_dict(namespace, find, put, do)
    return holder


def _made_anew(holder, kind, find):
    """Return what has to stand in the place of an object that cannot be changed, or the object."""
    if issubclass(kind, tuple):
        return tuple.__new__(kind, map(find, tuple.__iter__(holder)))
    if kind is frozenset:
        return frozenset(map(find, holder))
    if kind is MethodType:
        return MethodType(find(holder.__func__), find(holder.__self__))
    if kind in _METHODS:
        return kind(*map(find, _parts(holder)))
    if kind is getattr(types, "GenericAlias", 0):  # 3.9
        return kind(holder.__origin__, find(holder.__args__))
    if kind is getattr(types, "UnionType", 0):  # 3.10
        return functools.reduce(operator.or_, find(holder.__args__))
    return holder


def _set_item_of_set(holder, item, other):
    holder.discard(item)
    holder.add(other)


def _patch_dict(holder, find, put, do):
    """Replace keys and values of a dict, in their order; of a class's own, only past the class.

    Python caches what is in a class, and 3.12 crashes where its dict is written to.
    """
    items, owners = list(dict.items(holder)), ()
    if "__module__" in holder and "__doc__" in holder:
        owners = [each for each in gc.get_referrers(holder) if _is_class(each)]
    if any(find(key) is not key for key, value in items):
        do(_set_items, holder, [(find(key), find(value)) for key, value in items], old=items)
        return
    for key, value in items:
        for owner in owners:
            put(_set_attribute, owner, key, value)
        own = type(value) is weakref.ref and key == id(value())  # in a class's __subclasses__()
        if not owners and not own:
            put(dict.__setitem__, holder, key, value)


def _set_items(holder, items):
    """Give a dict other keys: each is taken out and put in, as other threads look for others."""
    kind = collections.OrderedDict if isinstance(holder, collections.OrderedDict) else dict
    for old, (key, value) in zip(list(kind.keys(holder)), items):
        kind.pop(holder, old, None)
        kind.__setitem__(holder, key, value)
    if len(holder) != len(items):  # a key hashes by what has been replaced inside it
        kind.clear(holder)
        kind.update(holder, items)


def _clear_caches(reshaped):
    """Clear what abc and functools.singledispatch remember of classes whose shape has changed."""
    abc, changed = sys.modules["abc"], set(map(id, reshaped))
    classes = [cls for cls in gc.get_objects() if issubclass(type(cls), abc.ABCMeta)]
    for cls in sorted(classes, key=lambda cls: len(_mro(cls))):
        abc.ABCMeta._abc_caches_clear(cls)
        if not changed.isdisjoint(map(id, _mro(cls)[1:])):
            getattr(abc, "update_abstractmethods", id)(cls)  # 3.10
    for function in gc.get_referrers(*_codes_in(functools.singledispatch.__code__)):
        if _is_function(function) and "_clear_cache" in function.__dict__:
            function._clear_cache()


# -- J. names elsewhere: what others have imported by name ----------------------------------------
# Guarantees that `from conf import RATE` follows in the script, in a notebook's cells, and in
# modules that are not executed again.  Relies on their code for which name came from where.

_cells = []  # Versions of a notebook's cells


def _facts_of_main():
    """Return the facts of the running script's source, and of a notebook's cells."""
    path, imports, froms = _namespace_of("__main__").get("__file__"), [], {}
    for version in [*_cells, _runs.get(path) or Version(None, None, path)]:
        imports += version.facts.imports
        for base, pairs in version.facts.froms.items():
            froms[base] = froms.get(base, []) + pairs
    return _NO_FACTS._replace(imports=imports, froms=froms)


def _rename_elsewhere(batch):
    """Bind anew what the script, and modules that are not executed again, have imported by name."""
    taken = {id(old): new for old, new in batch.replaced}
    _rename_in(batch, _namespace_of("__main__"), _facts_of_main(), taken)
    for name in _Scope(named=next(iter(batch.views), "")).loaded():
        version = _running(name) if name not in batch.views else None
        facts = version.facts if version is not None else _NO_FACTS
        _rename_in(batch, _namespace_of(name), facts, taken)


def _rename_in(batch, namespace, facts, taken):
    package = _package(namespace)
    for (module, level), pairs in facts.froms.items():
        view = batch.views.get(_absolute(module, level, package))
        if view is not None and ("*", "*") in pairs:
            pairs = [*pairs, *[(name, name) for name in _exported(view.live)]]
        for name, bound in pairs if view is not None else ():
            old, new = view.old.get(name, _MISSING), view.live.get(name, _MISSING)
            had = namespace.get(bound, _MISSING)
            if had is old and new is not old and new is not _MISSING and name not in view.hidden:
                batch.do(_restore_item, namespace, bound, new, old=had)
    for name, value in list(namespace.items()) if taken else ():
        if id(value) in taken:
            batch.do(_restore_item, namespace, name, taken[id(value)], old=value)


def _tell_who_keeps_old(batch):
    """Log, once each, who goes on with the old version of an object that was made anew.

    A server's application, say, has registered the routes of the old one: nothing of the new one
    can arrive there.  Only what modules that were not executed hold, and not too far, is looked at.
    """
    old, queue = {}, []
    for view in batch.views.values():
        for name, obj in view.old.items():
            new = view.live.get(name, obj)
            if new is not obj and type(new) is type(obj) and not _is_class(obj):
                if _attributes(obj) and not _is_function(obj):
                    old[id(obj)] = f"{view.name}.{name}"
    for name in _Scope().loaded() if old else ():
        if name not in batch.views:
            queue.append(sys.modules.get(name))
    above = {id(module): name for name, module in list(sys.modules.items())}
    for holder in queue:  # to which the loop adds
        for part in gc.get_referents(holder):
            if id(part) in old:
                way = _ways_to(part, holder, above, 1)[0]
                text = f"{old.pop(id(part))} was made anew; {way} keeps the old one"
                if text not in _said:
                    _log().warning(_said.setdefault(text, text))
            elif id(part) not in above and len(queue) < 5000 and _is_tracked(part):
                above[id(part)] = holder
                if not (_is_class(part) or _is_function(part) or _is_module(part)):
                    queue.append(part)


# -- K. unloading ----------------------------------------------------------------------------------
# Guarantees that modules go dependents first, all or none, and that the report tells what is left.
# Relies on gc: a namespace lives on in functions, a class on its own, when the module is dead.
# Nothing of the program's is called or compared on the way (`type(x) in (...)` would do that).

_NOT_FOUND = "something that could not be found: look at atexit, signal handlers, compiled code"
_is_tracked = getattr(gc, "is_tracked", id)  # PyPy tracks all; what is not tracked holds nothing


class Unloaded(collections.namedtuple("Unloaded", "names alive")):
    """What `deep_unload` did; true if all was freed.

    `names` are the modules that were unloaded, in order; `alive` is {name: (holders in words, ...)}
    of those of which something is still held.
    """

    names: tuple[str, ...]
    alive: Mapping[str, tuple[str, ...]]

    def __bool__(self):
        return not self.alive

    def __str__(self):
        text = f"unloaded {len(self.names)}: {_listing(self.names)}"
        for name, holders in self.alive.items():
            text += f"\n{name} is still held by {', '.join(holders) or _NOT_FOUND}"
        return text


def deep_unload(module: Module, *, include: Names = (), exclude: Names = (),
                force: bool = False) -> Unloaded:
    """Forget a module, its submodules and what in scope only they needed, dependents first.

    `module` is a loaded module or its dotted name, `include` and `exclude` are as in `deep_reload`,
    `force` goes on where a module outside imports one of them at its top level.  Return what went,
    what is still alive, and who holds it.  Raise TypeError or ImportError for what cannot be
    unloaded, ImportError for importers outside; then nothing has changed.
    """
    name = module = _named(module)  # from here on nothing in this frame holds it
    import linecache
    with _lock:
        scope = _Scope(include, exclude, name)
        for each in _to_unload(name, scope, force):
            _call_hook(each)
        specs = {each: _spec_of(each) for each in _to_unload(name, scope, True)}  # hooks may import
        modules = dict(sys.modules)
        try:
            for each in specs:
                del sys.modules[each]
            _invalidate_finders()
        except BaseException:
            sys.modules.update(modules)
            raise
        for each, spec in specs.items():
            parent, _, child = each.rpartition(".")
            if _namespace_of(parent).get(child) is modules[each]:
                del _namespace_of(parent)[child]
            if spec.has_location:
                _drop_bytecode(spec.origin)
                linecache.cache.pop(spec.origin, None)
                _runs.pop(spec.origin, None)
        del modules
        for clear in _namespace_of("typing").get("_cleanups", ()):
            clear()  # Optional[C] and the like are cached with their classes
        gc.collect()
        alive = _still_alive(specs)
        for each, other in list(sys.modules.items()):
            if each.startswith(name + ".") and _fixed(each, other):
                alive[each] = (f"{each} (extension module)",)
        return Unloaded(tuple(specs), alive)


def _to_unload(root, scope, force):
    """Return the names, dependents first; raise ImportError if a module outside imports one."""
    imports = collections.defaultdict(dict, __main__=dict.fromkeys(_imports_of_main(), True))
    for name, module in list(sys.modules.items()):
        if not _fixed(name, module) and not _in_stdlib(_spec_of(name).origin):
            imports[name] = {**_imports(name), **dict.fromkeys(_parents(name), False)}
    own = set(scope.loaded()).difference(_parents(root))
    inside = sorted(name for name in own if (name + ".").startswith(root + "."))
    below = _order(inside, lambda name: sorted(own.intersection(imports[name])))
    used = set(_order(imports.keys() - below, lambda name: imports[name].keys() - inside))
    names = dict.fromkeys(name for name in reversed(below) if name not in used)

    def at_once(name):
        return [target for target, late in imports[name].items() if target in names and not late]

    outside = [name for name in imports if name not in names and at_once(name)]
    if _batch is not None:
        reason = "cannot be unloaded while modules are being reloaded: do it afterwards"
    elif _in_stdlib(_spec_of(root).origin):
        reason = "belongs to the standard library, which cannot be unloaded"
    elif outside and not force:
        found = [f"{name} imports {', '.join(sorted(at_once(name)))}" for name in outside]
        reason = f"cannot be unloaded: {'; '.join(found)}; unload these first, or pass force=True"
    else:
        return _order(names, at_once)[::-1]
    raise ImportError(f"{root!r} {reason}", name=root)


def _still_alive(specs):
    """Return {name: (holders in words, ...)} of the modules of which something is still held.

    The search goes to the nearest first, from what the program has words for, then from what its
    running functions hold.  Where nobody was found, it goes on from the running functions of the
    standard library, and through what is left itself.
    """
    left, names = {}, {id(spec): name for name, spec in specs.items()}
    objects = gc.get_objects()  # kept, as an id lasts as long as its object
    for obj in objects:
        spec = obj.get("__spec__") if type(obj) is dict else None
        name = names.get(id(spec)) or _module_of(obj)
        if type(name) is str and name in specs:
            left[id(obj)] = name
    found = {name: {} for name in left.values()}
    above = dict.fromkeys(map(id, [globals(), threading._active, *_frames()]))  # passed by
    until, stages = time.monotonic() + 5, ([], [], [])
    for stage, words, obj in _beginnings(objects) if left else ():
        above[id(obj)] = words  # else {id: its holder}
        stages[stage].append(obj)
    for most, queue in zip((20, 20, 1), stages):  # holders of a module to name
        for holder in queue:  # to which the loop adds
            if time.monotonic() > until:
                break
            for part in gc.get_referents(holder):
                name = left.get(id(part))
                if name and len(found[name]) < most:
                    found[name].update(dict.fromkeys(_ways_to(part, holder, above, most)))
                if id(part) not in above and _is_tracked(part):
                    above[id(part)] = holder
                    (stages[2] if name else queue).append(part)
    return {name: tuple(found[name]) for name in specs if name in found}


def _ways_to(part, holder, above, most):
    """Return the ways to a part of a holder, as far as the program has words for them."""
    ways = [""]
    while type(holder) is not str:
        kind, own, before = type(holder), _attributes(holder) or {}, ""
        if issubclass(kind, dict):
            items = list(dict.items(holder))
        elif kind is list or kind is tuple:
            items = enumerate(holder)
        else:
            items, before = list(own.items()), ".__dict__"
        if _is_function(holder):
            items += ("__globals__", holder.__globals__), ("__defaults__", holder.__defaults__)
        keys = [key for key, value in items if value is part]
        links = [f"[{key!r}]" if type(key) is str or type(key) is int else "[...]" for key in keys]
        if type(part) is dict and (part is own or _is_class(holder) or _is_module(holder)):
            before, links = ".__dict__", [""]
        ways = [before + link + way for way in ways for link in links[:most]] or [""]
        part, holder, most = holder, above[id(holder)], 1  # one way to the holder is enough
    if " " in holder:  # no expression that could go on
        return [holder]
    return [holder + re.sub(r"__dict__\['(\w+)'\]|\.__dict__$", r"\1", way)[:300] for way in ways]


def _beginnings(objects):
    """Yield (stage, words, object) of where ways begin: an expression, or words with a space."""
    import logging
    for thread in threading.enumerate():
        if issubclass(type(thread), threading.Timer):
            yield 0, f"pending threading.Timer in {_attributes(thread)['_name']}", thread
    task = _namespace_of("asyncio").get("Task", ())
    for obj in objects:
        if issubclass(type(obj), task):
            for frame in task.get_stack(obj, limit=1):
                yield 0, f"asyncio task in {_where(frame)}", task.get_coro(obj)
    yield 0, "logging.getLogger()", logging.root
    for name, logger in list(logging.root.manager.loggerDict.items()):
        yield 0, f"logging.getLogger({name!r})", logger
    for name in sorted(sys.modules, key="__main__".__eq__):  # last: it imports from others
        yield 0, name, sys.modules.get(name)
    for ident, frame in sys._current_frames().items():
        thread = _attributes(threading._active.get(ident)) or {}
        while frame is not None:
            path, held = frame.f_code.co_filename, [frame.f_globals]
            if frame.f_code.co_flags & _IN_FUNCTION:  # f_locals is Python's own
                held += frame.f_locals.values()
            if path != __file__:
                words = f"frame of {thread.get('_name', ident)} in {_where(frame)}"
                yield 1 + _in_stdlib(path), words, held
            frame = frame.f_back


def _where(frame):
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}, line {frame.f_lineno}"


# -- L. watch: the automatic mode, and notebooks ---------------------------------------------------

_QUIET = 0.05  # seconds without a further save before a reload, so that a checkout comes as one


def watch(interval: float = 0.5, *, include: Names = (), exclude: Names = (),
          on_reload: Callable[[list[str]], object] | None = None,
          on_error: Callable[[BaseException], object] | None = None) -> Watcher:
    """Call `reload_changed` again and again in a daemon thread; return its `Watcher`.

    `interval` is the time between two looks, in seconds; `include` and `exclude` are as for
    `deep_reload`.  `on_reload(names)` is called after each reload, `on_error(error)` for each that
    failed; without it, that is logged.  Raise TypeError for other arguments.
    """
    if type(interval) not in (int, float) or not interval > 0:
        raise TypeError(f"interval takes a number of seconds greater than 0, not {interval!r}")
    for name, callback in (("on_reload", on_reload), ("on_error", on_error)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} takes a function, not {type(callback).__name__}")
    return Watcher(interval, include, exclude, on_reload, on_error or _log_error)._start()


class Watcher:
    """The automatic mode at work: `stop()` ends it; as a context manager it ends with the block."""

    def __init__(self, interval, include, exclude, on_reload, on_error):
        self._interval = min(interval, threading.TIMEOUT_MAX)
        self._scope = _Scope(include, exclude)
        self._on_reload, self._on_error = on_reload, on_error
        self._stopped, self._thread = threading.Event(), None

    def _start(self):
        self._look()  # from here on: what was not known of what runs is what is on disk now
        _watchers.add(self)
        self._thread = threading.Thread(target=self._watch, name="deepreload", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop watching; a reload under way is finished first."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _watch(self):
        while not self._stopped.wait(self._interval):
            try:
                before, found = None, self._look()
                while found and found != before:
                    self._stopped.wait(_QUIET)
                    before, found = found, self._look()
                if found and not self._stopped.is_set():
                    self._reload()
            except BaseException:  # whatever user code raises: the next save must be seen
                _log().exception("watching goes on")

    def _look(self):
        """Return {name: stat} of what differs from what runs."""
        with _lock:
            return _changed(self._scope)

    def _reload(self):
        try:
            names = reload_changed(include=self._scope.include, exclude=self._scope.exclude)
        except BaseException as error:
            self._on_error(error)
        else:
            if names and self._on_reload:
                self._on_reload(names)


_watchers = weakref.WeakSet()


def _log_error(error):
    _log().error("%s", error, exc_info=error.__cause__ or error)


def _after_fork():
    global _lock
    _lock = threading.RLock()  # the threads that may hold it are not in the child
    for watcher in list(_watchers):
        watcher._stopped = threading.Event()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _swap_main(code, path, stat):
    """Execute what code does of the script; its other functions follow their place in it."""
    spec = ModuleSpec("__main__", None)
    source = Source("__main__", spec, path, Version(stat, code))
    with _lock:
        Batch(_Scope(), {"__main__": source}, ["__main__"]).execute()


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext deepreload`: every cell begins with a `reload_changed()`.

    `%deepreload include=NAME,NAME exclude=NAME` sets its scope; without words, the default.
    """
    del _cells[:]
    _before_cell.scope = {}
    shell.register_magic_function(_set_scope, magic_name="deepreload")
    for cell in shell.user_ns.get("In", ()):
        _note_cell(shell, cell)
    shell.events.register("pre_run_cell", _before_cell)
    print("deepreload: your own modules are reloaded when you have saved them, before each cell")


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext deepreload`."""
    shell.events.unregister("pre_run_cell", _before_cell)
    del _cells[:]


def _set_scope(line):
    """Set what the cells reload from now on, as `%deepreload` says."""
    words = [word.partition("=") for word in line.split()]
    scope = {option: value.split(",") for option, _, value in words}
    _Scope(**scope)  # raises TypeError for other options
    _before_cell.scope = scope


def _before_cell(info=None):
    try:
        reload_changed(**_before_cell.scope)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        print(f"{_user_traceback(error)}deepreload: {error}", file=sys.stderr)
    _note_cell(sys.modules["IPython"].get_ipython(), info.raw_cell)


def _note_cell(shell, cell):
    """Keep the code of a cell, if it may have imported something by name."""
    if "import" in cell:
        try:
            code = compile(shell.transform_cell(cell), "<cell>", "exec", 0x2000)  # may await
            _cells.append(Version(None, code))
        except (SyntaxError, ValueError):  # top-level await, or an unfinished cell
            pass


# -- M. the command line ---------------------------------------------------------------------------
# Guarantees that every run is a new process, in which the script runs as Python runs it.  In that
# child, as with --once, a Watcher swaps in what is saved.  The child tells the parent the stats of
# the files it executes, or fails to: the parent sees by itself which differ after its end.

_OWN = "--once --interval --include --exclude --restart --quiet --graph".split()
_options = None  # what the command line says, with `argv` for the program and its arguments


class _NothingToRun(ImportError):
    """The command line names nothing that can be run; str() says why."""


def main(argv: list[str] | None = None) -> int:
    """Run a script, swap in what is saved while it runs, and run it again on a save after its end.

    `argv` are the arguments, by default those of the command line.  Return the exit status.
    """
    global _options
    import argparse
    parser = argparse.ArgumentParser(
        "deepreload", usage="python -m deepreload [options] (script.py | -m module) [args]",
        description="Run a script, swap in what is saved, run it again on a save after its end.")
    flag = {"action": "store_true"}
    names = {"action": "append", "default": [], "metavar": "NAME"}
    for name, how, text in (
            ("--once", flag, "leave when the script ends, with its status"),
            ("--interval", {"type": float, "default": 0.5}, "seconds between two looks (0.5)"),
            ("--include", names, "reload these modules too: a name or glob"),
            ("--exclude", names, "leave these modules alone"),
            ("--restart", names, "start again if these are saved; __main__ is the script"),
            ("--quiet", flag, "say only what fails"),
            ("--graph", flag, "import the script, and print what imports what"),
            ("--version", {"action": "version", "version": f"deepreload {__version__}"}, None),
            ("-m", {"nargs": "...", "dest": "module"}, "run a module, as python -m does"),
            ("script", {"nargs": "..."}, "the script to run, and its arguments")):
        parser.add_argument(name, help=text, **how)
    _options = parser.parse_args(argv)
    _options.argv = _options.module or _options.script
    if not _options.argv:
        parser.error("name a script, or -m and a module")
    if not 0 < _options.interval < 1e9:
        parser.error("argument --interval: takes a number of seconds greater than 0")
    misplaced = [word for word in _options.argv if word in _OWN]
    if misplaced:
        _say(f"{_listing(misplaced)} goes to {_options.argv[0]}: options for deepreload come first")
    return _run() if _options.once or _options.graph else _supervise()


def _say(text, failed=False, trace=""):
    """Write a message to stderr in one piece, as the script writes too."""
    stream, text = sys.__stderr__, f"{trace}deepreload: {text}"
    plain = os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("NO_COLOR")
    try:
        if stream.isatty() and not plain:
            text = f"\033[{31 if failed else 2}m{text}\033[0m"
        if failed or not _options.quiet:
            stream.write(text + "\n")
            stream.flush()
    except Exception:  # closed, broken, or None from the start
        pass


def _supervise():
    """Run the program, and again on each save after its end; return its status after a signal."""
    import ast
    import signal
    import subprocess
    import tempfile
    running, status, stats, signals = False, 0, {}, set()

    def note(number, frame):
        if not running:
            raise SystemExit(status)
        interrupt = number == signal.SIGINT
        if number not in signals and not (interrupt and any(map(os.isatty, range(3)))):
            timer = threading.Timer(3 if interrupt else 0.5, lambda: child.send_signal(number))
            timer.daemon = True
            timer.start()  # not at once: nobody tells whether the program has got it, too
        signals.add(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: for the child, too
            signal.signal(number, note)
    unbuffered = ["-u"] * getattr(sys.stdout, "write_through", False)
    python = [sys.executable, *subprocess._args_from_interpreter_flags(), *unbuffered]
    plain = [*python, *["-m"] * bool(_options.module), *_options.argv]  # servers start it again
    with tempfile.TemporaryDirectory(prefix="deepreload-") as folder:
        told = os.path.join(folder, "told")
        program = (f"import sys; sys.path[:] = {sys.path!a}; sys.orig_argv = {plain!a}; "
                   f"import {__name__} as it; it._options = it.types.SimpleNamespace("
                   f"**{vars(_options)!a}); sys.exit(it._run({told!a}))")
        while True:
            open(told, "w").close()
            running = True
            child = subprocess.Popen([*python, "-c", program, *_options.argv], close_fds=False)
            code = child.wait()
            running, status = False, 128 - code if code < 0 else code
            with open(told) as file:
                stats.update(map(ast.literal_eval, file))
            if signals or not stats:
                return status
            _wait_for_save(code, stats)


def _wait_for_save(code, stats):
    """Say how the program has ended; wait until its files are saved, and stay so for a moment.

    Beside the modules of a program that is run by -m, as pytest, new files count, too.
    """
    import glob
    import signal

    def look():
        paths, folders = set(stats), {os.path.dirname(path) for path in stats}
        for folder in folders if _options.module else ():
            paths.update(glob.glob(os.path.join(glob.escape(folder), "*.py")))
        return {path: _stat(path) or stats.get(path) for path in paths}

    stats.update({**look(), **stats})
    names = {-each: f"by signal {each.name}" for each in signal.Signals}
    how = f"{_options.argv[0]} ended {names.get(code, f'with status {code}')}"
    if any(_stat(path) not in (None, stats[path]) for path in stats):
        _say(f"{how}; it was saved meanwhile and runs again")
    else:
        _say(f"{how}; it runs again on the next save (Ctrl-C leaves)", failed=code)
    before, now = None, stats
    while now == stats or now != before:
        time.sleep(_options.interval if now == stats else _QUIET)
        before, now = now, look()
    for path, stat in now.items() - stats.items():
        _drop_bytecode(path)  # it knows its source by whole seconds only
    stats.update(now)


def _run(told=os.devnull):
    """Run the program here, to its end in Python's own way, or show its graph; return 0 or 2."""
    global _report

    def _report(path, stat):
        try:
            with open(told, "a") as file:
                file.write(ascii((path, stat)) + "\n")  # at once, as who is killed tells nothing
        except OSError:  # a daemon, which has outlived the parent
            pass

    try:
        if _options.graph:
            _show_graph()
        else:
            runner = _Runner()._start()
            exec(runner.code, _namespace_of("__main__"))
        return 0
    except _NothingToRun as error:
        open(told, "w").close()  # the parent leaves, too
        _say(f"cannot run {_options.argv[0]}: {error}", failed=True)
        return 2
    except BaseException as error:
        _trim(error)
        for path, stat in _concerned(error).items():
            if path not in _runs:  # else it may have been saved since it was executed
                _tell(path, stat)
        hook, trace = sys.excepthook, error.__traceback__  # to which raising adds our frames
        sys.excepthook = lambda kind, error, _: hook(kind, error.with_traceback(trace), trace)
        raise


class _Runner(Watcher):
    """Runs the script as `__main__`, and swaps in what is saved meanwhile."""

    def __init__(self):
        """Set sys.argv, sys.path and `__main__` as Python does; get the code to run."""
        import pkgutil
        import runpy
        super().__init__(_options.interval, _options.include, _options.exclude, None, None)
        self.outdated, self.closing = False, None
        name, module, here = _options.argv[0], _options.module, os.getcwd()
        path = os.path.join(here, name) if sys.version_info >= (3, 9) else name
        folder = here if module else path
        is_file = not (module or pkgutil.get_importer(name))
        if is_file:
            folder = os.path.dirname(os.path.realpath(name))
        safe = getattr(sys.flags, "safe_path", sys.flags.isolated)  # Python 3.11
        if not safe or folder == path:
            sys.path[:0 if safe else 1] = [folder]
        sys.argv[:], spec, code = _options.argv, None, None
        if module:
            _, spec, code = runpy._get_module_details(name, _NothingToRun)
            path = sys.argv[0] = spec.origin
        elif not is_file:
            _, spec, code = runpy._get_main_module_details(_NothingToRun)
            path = spec.origin
        elif not _stat(path):
            raise _NothingToRun(f"there is no file {path!r}")
        loader = spec.loader if spec else importlib.machinery.SourceFileLoader("__main__", path)
        stat, file = _stat(path), getattr(loader, "archive", path)
        _tell(file, _stat(file))
        for name in _options.include + _options.exclude + _options.restart:
            top = name.partition(".")[0]
            if top.isidentifier() and top not in sys.modules and not _find_spec(top):
                _say(f"there is no module {name!r}")
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        _dict_of(module).update(__builtins__=builtins, __file__=path, __loader__=loader,
                                __spec__=spec, __package__=spec and spec.parent)
        if sys.version_info < (3, 15):
            module.__cached__ = spec and spec.cached
        if sys.version_info < (3, 14):
            module.__annotations__ = {}
        self.get_data, self.source = loader.get_data, loader.get_data(path)
        self.code = code or compile(self.source, path, "exec", dont_inherit=True)
        self.path, self.stats, _runs[path] = path, {path: stat}, Version(stat, self.code)

    def _look(self):
        changed, stats = super()._look(), {path: _stat(path) for path in self.stats}
        if stats[self.path] and stats != self.stats:
            changed["__main__"] = stats
        return changed

    def _reload(self):
        """Reload what changed; the script last, as what it imports may be among that."""
        import signal
        began, changed, names = time.perf_counter(), self._look(), []
        restarts = [name for name in changed if _matches(name, _options.restart)]
        if restarts:
            if changed != self.closing:  # else it takes its time to close
                self.closing = changed
                _say(f"{_listing(restarts)} saved: the program starts again")
                os.kill(os.getpid(), signal.SIGTERM)
            return
        try:
            names = reload_changed(include=_options.include, exclude=_options.exclude)
            if "__main__" in changed:
                names += self.swap()
        except BaseException as error:
            _say(f"{error}; the old code goes on", failed=True, trace=_user_traceback(error))
            names += getattr(error, "reloaded", ())
        if names:
            count, took = len(names), (time.perf_counter() - began) * 1000
            _say(f"reloaded {_listing(names)} ({count} module{'s' * (count > 1)}, {took:.0f} ms)")

    def swap(self):
        """Execute the changed definitions and imports of the script; return its name if any.

        All else stands behind a false condition, as functions follow their code by its place.  So
        do those of which only the body changed: `@app.route` refuses to be called again.
        """
        import ast
        path = self.path
        stat, source = _stat(path), self.get_data(path)
        kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom

        def head(node):
            if hasattr(node, "args"):  # a function
                node = type(node)(**{**vars(node), "body": []})
            return ast.dump(node)

        def others(tree):
            return [ast.dump(node) for node in tree.body if not isinstance(node, kinds)]

        try:
            old, new = ast.parse(self.source, path), ast.parse(source, path)
            known, never = set(map(head, old.body)), ast.parse("not __name__", mode="eval").body
            changed, differ = ast.dump(old) != ast.dump(new), others(old) != others(new)
            for index, node in enumerate(new.body):
                is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                leads = is_text or getattr(node, "module", None) == "__future__"
                if not leads and (not isinstance(node, kinds) or head(node) in known):
                    new.body[index] = ast.If(never, [node], [])
            code = compile(ast.fix_missing_locations(new), path, "exec", dont_inherit=True)
            _swap_main(code, path, stat)
        except Exception as error:
            self.stats = {**_concerned(error), path: stat}
            raise
        self.source, self.stats, self.outdated = source, {path: stat}, self.outdated or differ
        _tell(path, None if self.outdated else stat)  # None: it runs again after its end
        if differ:
            _say(f"other statements of {_options.argv[0]} changed: they run with the next start "
                 "(--restart __main__ restarts at once)")
        return ["__main__"] * changed


def _show_graph():
    """Import what would be run, and print who imports whom: the imports of each module once."""
    import contextlib
    name, sys.argv[:] = _options.argv[0], _options.argv
    if not _options.module:
        sys.path.insert(0, os.path.dirname(os.path.abspath(name)))
        name = os.path.splitext(os.path.basename(name))[0]
    if not importlib.util.find_spec(name):
        raise _NothingToRun(f"there is no module {name!r}")
    _say(f"importing {name} to see what it imports")
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
        __import__(name)
    graph = import_graph(include=_options.include + [name], exclude=_options.exclude)
    shown, stack = set(), [(name, ())]
    while stack:
        name, above = stack.pop()
        targets = graph.get(name, ())
        mark = " (see above)" if name in shown and targets else ""
        if name in above:
            mark = " (cycle)"
        print("    " * len(above) + name + mark)
        if not mark:
            shown.add(name)
            stack += [(target, (*above, name)) for target in reversed(targets)]


if __name__ == "__main__":  # what runs must be the module that others import, and not this one
    if not __spec__:  # run as a file: -I has put no folder there
        sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(importlib.import_module(__spec__.name if __spec__ else "deepreload").main())
else:
    _note_what_runs()
    for _name in _Scope().loaded():  # what runs is what their files say now
        _running(_name)
