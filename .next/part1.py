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
and stays; import statements execute first what they name; a log undoes all of it where a module fails.

What it will not do (the README says what to do instead): undo what module bodies do elsewhere;
change frames that are running; keep the identity of classes that a framework's metaclass has made;
execute the standard library, installed packages, extension modules or ``__main__`` unless named.
"""
# mypy: ignore-errors
# pyright: basic, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
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
from importlib.machinery import (
    BuiltinImporter, ExtensionFileLoader, FrozenImporter, ModuleSpec, SourceFileLoader, all_suffixes)
from types import CellType, CodeType, FunctionType, MethodType, ModuleType

__version__ = "2.0"
__all__ = ["deep_reload", "deep_unload", "reload_changed", "is_changed", "watch", "import_graph",
           "reload_order", "ReloadError"]

TYPE_CHECKING = False  # type checkers take it for typing's, whose import takes its time
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Union
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
        return {name: [each for each in targets if each in graph] for name, targets in graph.items()}


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


