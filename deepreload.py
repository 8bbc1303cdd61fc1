# Copyright (c) 2026 the deepreload authors.  SPDX-License-Identifier: MIT
"""Reload and unload modules deeply: the module, all it imports, and what the program holds of them.

    deep_reload(pkg)                    execute pkg and all it imports again, leaves first
    reload_changed()                    execute what changed on disk, and what imports it
    python -m deepreload script.py      run a script, and swap in every module that is saved

How: the code of each module is executed in the live module, in a namespace that hides what the old
code has left; what it binds is paired with the old object of that name, which is brought up to date
and stays; import statements execute first what they name; if a module fails, a log undoes it all.
What it cannot do: undo what modules do elsewhere, change running frames, keep framework classes.
"""
# mypy: ignore-errors
# pyright: basic, reportAttributeAccessIssue=none, reportArgumentType=none, reportCallIssue=none
# pyright: reportOptionalMemberAccess=none, reportOptionalSubscript=none, reportOperatorIssue=none
from __future__ import annotations
import builtins
import contextvars
import gc
import importlib.util
import opcode
import os
import re
import sys
import threading
import time
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from contextlib import closing, suppress
from fnmatch import fnmatchcase
from functools import _lru_cache_wrapper as _CACHED  # a function in PyPy, and nothing's type
from functools import cached_property, lru_cache, partial, reduce, singledispatch
from importlib import _bootstrap
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from itertools import accumulate, chain, compress, filterfalse, islice
from operator import attrgetter, is_, is_not, ne, or_, setitem
from types import CellType, CodeType, FunctionType, MethodType, ModuleType

__version__ = "2.0"
__all__ = ["deep_reload", "deep_unload", "reload_changed", "is_changed", "watch", "import_graph",
           "reload_order", "ReloadError"]
TYPE_CHECKING = False  # type checkers take it for typing's, whose import takes its time
if TYPE_CHECKING:
    from typing import Callable, Iterable, Mapping, Union
    Names = Union[str, Iterable[str]]
    Module = Union[ModuleType, str]
# Facts: imports [((module, level), names, late, [(attribute, name bound)])], binds {name: times},
# sets: what `global` binds, bound: all of these, or False if nothing tells all, looks: whether the
# code asks for its namespace, lazy: whether imports may wait until they are used (PEP 810)
Facts = namedtuple("Facts", "imports binds sets bound looks lazy")
Source = namedtuple("Source", "name spec version")
_MISSING = object()
_lock = threading.RLock()
_batch = None  # the Batch under way
_runs = {}  # {path: the Version that was executed last}
_late = []  # the Versions of these that were read later than executed
_held_back = {}  # {name: (stat, {path: stat})}: what waits for a save of itself, or of these
_options = types.SimpleNamespace(told="")  # what the command line says; `argv` is for the program


class ReloadError(ImportError):
    """A reload that failed, and what could not be reloaded is as it was before.
    `name` is the module that failed, `path` its file, `__cause__` the exception, its traceback
    beginning in the user's code; `reloaded` are the names that were reloaded all the same.
    """
    reloaded: list[str] = []


# -- what is called from outside -----------------------------------------------------------------
def deep_reload(module: Module, *, include: Names = (), exclude: Names = ()) -> ModuleType:
    """Execute `module` and all it imports again, leaves first, as a new process would.
    `module` is a loaded module or its dotted name; of a package all loaded submodules count, too.
    `include` and `exclude` are names or globs, one or several (a name covers its submodules,
    `exclude` wins): modules to reload that are not the user's own, and modules to leave alone.
    Return the module, which is the same object as before.  Raise TypeError or ImportError for what
    cannot be reloaded, and ReloadError if a module fails: then nothing has changed.
    """
    name = _named(module)
    with _lock:
        if _batch:  # called by a module that is being reloaded: an import like others
            _batch.enter(name)
        else:
            scope = _Scope(include, exclude, name)
            Batch(scope).execute(lambda: _to_reload_deeply(name, scope))
        return sys.modules[name]


def reload_order(module: Module, *, include: Names = (), exclude: Names = ()) -> list[str]:
    """Return what `deep_reload` would execute, in the order of finishing; raise what it would."""
    name = _named(module)
    with _lock:
        sources = _to_reload_deeply(name, _Scope(include, exclude, name))
        return _order(_starts(sources), lambda each: filter(
            sources.__contains__, (*_parents(each), *_targets(each, sources[each].version))))


def reload_changed(*, include: Names = (), exclude: Names = ()) -> list[str]:
    """Execute again what changed on disk, and what imports it: one step of polling.
    `include` and `exclude` are as for `deep_reload`.  Return the names executed, in order; [] if
    there was nothing to do.  What fails stays at its last good version until a file concerned is
    saved; the rest is reloaded, and then ReloadError says what is held back.
    """
    with _lock:
        scope = _Scope(include, exclude)
        return [] if _batch else _reload_what_works(scope, _changed(scope))


def is_changed(module: Module) -> bool:
    """Return whether the file of a loaded module (or its name) differs from what runs.
    Edits of comments and layout make no difference.  Raise what `deep_reload` raises at once.
    """
    with _lock:
        return bool(_differs(_named(module)))


def import_graph(*, include: Names = (), exclude: Names = ()) -> dict[str, list[str]]:
    """Return {name: [names it imports]} of the loaded modules in scope, in the order of imports."""
    with _lock:
        names, graph = _paths(_Scope(include, exclude)), {}
        for name in names:
            targets = [*filter(names.__contains__, _targets(name, _running(name), True))]
            implied = set().union(*map(_parents, targets))
            graph[name] = [each for each in targets if each not in implied]
        return graph


# -- B. scope: the modules that are the user's own -----------------------------------------------
# Guarantees that the standard library, installed packages, compiled modules, the script and this
# module are never executed again unless they are named, and that bad input gets one clear sentence.
# What modules and classes are for Python itself, whatever they make of attribute access
_dict_of = vars(ModuleType)["__dict__"].__get__
_vars_of_class, _qualname, _bases, _mro = [
    vars(type)[name].__get__ for name in ("__dict__", "__qualname__", "__bases__", "__mro__")]
_STDLIB = re.escape(os.path.dirname(os.__file__))
_is_foreign = re.compile(rf"({_STDLIB}|.*[\\/](site|dist)-packages)[\\/]", re.I).match
_USED = {getattr(obj, "__module__", getattr(obj, "__name__", None)) for obj in [*vars().values()]}


def _is_class(obj):
    return issubclass(type(obj), type)  # isinstance() would ask proxies


def _namespace_of(name):
    """Return the namespace of a loaded module; {} for anything else that sys.modules holds."""
    module = sys.modules.get(name)
    return _dict_of(module) if issubclass(type(module), ModuleType) else {}


def _spec_of(name):
    """Return the spec of a loaded module, or None: a module may put anything there."""
    spec = _namespace_of(name).get("__spec__")
    return spec if issubclass(type(spec), ModuleSpec) else None


def _path_of(spec):
    return spec.origin if spec and spec.has_location else None


@lru_cache(None)
def _parents(name):
    """Return the names of the packages above a module, outermost first."""
    return tuple(accumulate(name.split(".")[:-1], "{}.{}".format))


def _named(module):
    """Return the name of what the caller asked for, or raise the error that says what to do."""
    given = issubclass(type(module), ModuleType)
    name = _dict_of(module).get("__name__") if given else module
    if not isinstance(name, str):
        raise TypeError(f"expected a module or its dotted name, not {type(module).__name__}")
    reason = _fixed(name)
    if given and sys.modules.get(name) is not module:
        reason = "is not in sys.modules any more: import it again and pass that one"
    if reason:
        raise ImportError(f"{name!r} {reason}", name=name)
    return name


def _fixed(name):
    """Return why an entry of sys.modules is never executed again, or None."""
    spec = _spec_of(name)
    if sys.modules.get(name) is None:
        return "is not loaded: import it first"
    if name == "__main__":
        return "is the running script: put what you want to reload into a module"
    if name in _USED:
        return "is the reloader itself, or what it runs on: restart the process to change it"
    if not spec:
        return "has no __spec__ to execute it again by: reload the module that made it"
    if issubclass(type(spec.loader), ExtensionFileLoader) or spec.origin in ("built-in", "frozen"):
        return "is compiled, and can be neither executed again nor unloaded: restart the process"
    if spec.name != name:
        return f"is another name of {spec.name!r}: use that one"
    if not _batch and _on_the_way(name):
        return "is not loaded yet: use it first, or wait until its import is done"


class _Scope:
    """What may be executed again: the user's own modules, what is included, what is named."""
    def __init__(self, include=(), exclude=(), named=""):
        self.include, self.exclude = [
            (names,) if isinstance(names, str) else tuple(names) for names in (include, exclude)]
        self.top, self.above = named.partition(".")[0], _parents(named)
        for each in self.include + self.exclude:
            if not isinstance(each, str):
                raise TypeError(f"expected names or globs, not {type(each).__name__}")

    def __contains__(self, name):
        if _fixed(name) or _matches(name, self.exclude):
            return False
        spec = _spec_of(name)
        places = [spec.origin] if spec.has_location else spec.submodule_search_locations
        named = name.partition(".")[0] == self.top or _matches(name, self.include)
        return named or places and not any(map(_is_foreign, places))


def _matches(name, patterns):
    """Return whether a name, or one of its packages, matches one of the globs."""
    return any(fnmatchcase(name + ".", each + ".*") for each in patterns)


# -- A. what runs: the code that was executed from each file, and its facts ----------------------
# Guarantees that _runs names the very code objects that functions hold, as nothing else tells it
# once a file was edited.  Relies on all loaders that have get_code() sharing one exec_module().
_Loader = importlib._bootstrap_external._LoaderBasics
_stamp = attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino")


class Version:
    """One version of a module's file; `code` is None where only the loader can execute it."""
    def __init__(self, stat, code, path=None):
        # Where a later edit might not show, nothing equals the stat: look at what the file says
        self.stat = () if not stat or code and time.time_ns() - max(stat[:2]) < 50_000_000 else stat
        self.code, self.path, self.left, self.targets = code, path, (), None  # left: older names

    @cached_property
    def facts(self):
        code = self.code or compile("", "", "exec")
        if not self.code:
            with suppress(Exception), open(self.path or "", "rb") as file:
                code = compile(file.read(), self.path, "exec", dont_inherit=True)
        return _facts(code)


def _stat(path):
    """Return what os.stat() says of a file, for comparing with != only; None if there is none."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError, TypeError):  # there is none, or no such name
        return None


def _note_what_runs():
    """Have the import system tell what it executes."""
    def exec_module(self, module):  # what Python's own does, without a frame more
        path = getattr(self, "path", None)
        stat = _stat(path)  # before the file is read
        _tell(path, stat)
        code = self.get_code(module.__name__)
        if path:
            _runs[path] = Version(stat, None if _executes_itself(self) else code, path)
        _bootstrap._call_with_frames_removed(exec, code, module.__dict__)

    def module_from_spec(spec):  # of loaders that execute by themselves only the stat is to be had
        _kept.cache_clear()
        path = _path_of(spec)
        if path and _executes_itself(spec.loader):
            _runs[path] = Version(_stat(path), None, path)
            _tell(path, _runs[path].stat)
        return inner(spec)
    inner = _bootstrap.module_from_spec
    # Python takes the frames of the import system out of tracebacks: this has to pass for one
    filename = _Loader.exec_module.__code__.co_filename
    exec_module.__code__ = exec_module.__code__.replace(co_filename=filename)
    _Loader.exec_module, _bootstrap.module_from_spec = exec_module, module_from_spec


def _executes_itself(loader):
    """Return whether a loader has an exec_module() of its own, which nothing can stand for."""
    return getattr(type(loader), "exec_module", _Loader.exec_module) is not _Loader.exec_module


def _running(name):
    """Return the Version that a loaded module runs, at first what its file says; None without."""
    path = _path_of(_spec_of(name))
    if path and path not in _runs:
        stat, code = _stat(path), None
        with suppress(Exception):  # a loader's, or the file is of no use
            code = _code_of(_spec_of(name), stat)
        _runs[path] = Version(stat, code, path)
        _late.append(_runs[path])
    return _runs.get(path)


def _read(name, spec, stat):
    """Return the Version that a module's file holds now: the one that runs if it was not saved."""
    path, runs = _path_of(spec), _running(name)
    stat = stat or _stat(path)
    if runs and runs.stat == stat:
        return runs
    version = Version(stat, _code_of(spec, stat), path)
    if runs and runs.code == version.code and sys.version_info > (3, 11):
        version.code = runs.code  # functions hold it; before 3.11, == leaves the lines out
    return version


def _code_of(spec, stat):
    """Return a module's code as its file is now; None where only the loader can execute it."""
    if hasattr(spec.loader, "get_code") and not _executes_itself(spec.loader):
        _drop_bytecode(spec.origin, stat)
        return spec.loader.get_code(spec.name)


def _drop_bytecode(path, stat=None):
    """Remove bytecode that may be of an older source: it knows that by size and whole seconds."""
    with suppress(Exception):  # there is none, or it cannot be removed
        cached = importlib.util.cache_from_source(path)
        if not stat or os.stat(cached).st_mtime_ns - max(stat[:2]) < 50_000_000:
            os.unlink(cached)


_LAZY_BITS = 2 if sys.version_info >= (3, 15) else 0  # PEP 810 keeps flags in IMPORT_NAME
_IN_FUNCTION = 1  # CO_OPTIMIZED: set for functions, not for modules and class bodies
_LINES = "co_linetable" if hasattr(CodeType, "co_linetable") else "co_lnotab"  # 3.10
_IMPORT, _CONST, _STORE, _GLOBAL, _LOAD, _WIDE = map(opcode.opmap.get, (
    "IMPORT_NAME LOAD_CONST STORE_NAME STORE_GLOBAL LOAD_NAME EXTENDED_ARG".split()))
_IMPORTS, _GLOBALS, _STORES, _LOADS = [bytes(op in wanted for op in range(256)) for wanted in (
    {_IMPORT}, {_GLOBAL}, {_STORE, _GLOBAL}, {_LOAD})]
_LOOKING = set("globals locals vars dir".split())
_GIVEN = {f"__{it}__" for it in "name doc package loader spec file cached path builtins".split()}


def _codes_in(code):
    return [const for const in code.co_consts if type(const) is CodeType]


def _with_codes(change, consts):
    """Return the constants of code, with what is made of the code objects among them."""
    return tuple([change(each) if type(each) is CodeType else each for each in consts])


def _facts(code):
    """Return the Facts of a module's code; what is bound is of the module's own statements."""
    def names_of(table):  # of the instructions in the table
        return map(names.__getitem__, compress(args, ops.translate(table)))
    imports, sets, todo, stars, lazy = [], set(), [code], False, "__lazy_modules__" in code.co_names
    for each in todo:  # to which the loop adds
        consts, raw = each.co_consts, each.co_code
        for const in consts:
            if type(const) is CodeType:
                todo.append(const)
        if each is not code and _IMPORT not in raw and _GLOBAL not in raw:
            continue
        if "TYPE_CHECKING" in each.co_names:
            import dis
            start, raw = 0, bytearray(raw)
            for step in dis.get_instructions(each):
                if start and step.opname.endswith("IF_FALSE"):
                    raw[start:step.argval] = bytes(step.argval - start)
                if step.opname not in ("TO_BOOL", "EXTENDED_ARG"):
                    start = step.argval == "TYPE_CHECKING" and step.offset + 2
        # Instructions are words of two bytes, opcode and argument; EXTENDED_ARG has the upper byte
        # of the next one.  An import loads level and names, then it loads and stores each of these
        names, ops, args, high, wide = each.co_names, raw[::2], raw[1::2], 0, []
        for op, arg in zip(ops, args) if _WIDE in ops else ():
            wide.append(high | arg)
            high = wide.pop() << 8 if op == _WIDE else 0
        ops, args = ops.replace(b"%c" % _WIDE, b""), wide or args
        for at in compress(range(len(ops)), ops.translate(_IMPORTS)):
            level = consts[args[at - 2]] if ops[at - 2] == _CONST else args[at - 2]
            wanted = ops[at - 1] == _CONST and consts[args[at - 1]] or ()
            base = names[args[at] >> _LAZY_BITS], level
            bound = map(names.__getitem__, args[at + 2::2]) if each is code else ()
            stars |= "*" in wanted
            pairs = [*zip(wanted, wanted if "*" in wanted else bound)]
            imports.append((base, wanted, each.co_flags & _IN_FUNCTION, pairs))
            lazy |= args[at] & _LAZY_BITS >> 1
        sets.update(names_of(_GLOBALS) if _GLOBAL in ops else ())
        if each is code:
            binds = Counter(names_of(_STORES))
            looks = _LOOKING.intersection(names) and _LOOKING.intersection(names_of(_LOADS))
    shown = not looks and not stars and sets.union(binds) - _GIVEN
    return Facts(imports, binds, sets, shown, looks, lazy)


_is_known = False  # whether instructions are encoded in a way that this file knows
with suppress(Exception):
    _is_known = _facts(compile("from .a import b", "", "exec")).imports[0][3] == [("b", "b")]


def _without_lines(code):
    """Return code without what tells where it stands in the file."""
    consts, raw = list(code.co_consts), bytearray(code.co_code)
    if code.co_names[3:4] == ("__firstlineno__",):  # of a class, from Python 3.13 on
        at = raw.index(b"%c\3" % _STORE) - 1
        if raw[at - 1] == _CONST:
            consts[raw[at]] = None
        raw[at] = 0
    return code.replace(co_consts=_with_codes(_without_lines, consts), co_code=bytes(raw),
                        co_firstlineno=1, **{_LINES: b""})


def _outline(code):
    """Return what code executes at once: itself, less the bodies of the functions in it."""
    if code.co_flags & _IN_FUNCTION and code.co_name[0] != "<":
        return code.co_name, code.co_freevars, code.co_flags & _KINDS
    return _without_lines(code.replace(co_consts=_with_codes(_outline, code.co_consts)))


# -- C. what changed, and who imports it ---------------------------------------------------------
# Guarantees that a look at files of which none was saved costs one stat each, and that a broken
# file holds up only what needs its new version.  Relies on the facts of the code that runs.
_importers, _noted = defaultdict(set), {}  # {name: names of who imports it}, {name: Version}
_resolve = lru_cache(None)(_bootstrap._resolve_name)
_kept = lru_cache(8)(lambda *scope: [[], {}])  # [ids of what is loaded, {name: path}]
_ahead, _seen = {}, {}  # {name: Version that the last look has read}, {path: stat of what runs}


def _on_the_way(name):
    """Return whether a module is being imported, or will be when it is used."""
    lazy = type(sys.modules.get(name)) is importlib.util._LazyModule
    return lazy or getattr(_spec_of(name), "_initializing", False)


def _paths(scope):
    """Return {name: path} of the modules in scope, kept as long as the same ones are loaded."""
    kept, loaded = _kept(scope.include, scope.exclude, scope.top), [*map(id, sys.modules.values())]
    if loaded != kept[0]:
        modules = list(sys.modules)
        paths = {name: _path_of(_spec_of(name)) for name in modules if name in scope}
        kept[:] = not any(map(_on_the_way, modules)) and loaded, paths  # else it comes in yet
    return kept[1]


def _changed(scope):
    """Return {name: stat} of the modules in scope whose files say something else than what runs."""
    _ahead.clear()
    paths = _paths(scope)
    seen = map(_seen.get, paths.values(), paths)  # or the name, which no stat is equal to
    saved = compress(paths, map(ne, seen, map(_stat, paths.values())))
    return {name: stat for name in saved if (stat := _differs(name))}


def _differs(name):
    """Return the stat of a file that says something else than what runs; take over new layout."""
    spec, runs = _spec_of(name), _running(name)
    stat = _stat(_path_of(spec))
    if not stat:  # gone, maybe for a moment: no change, unless it is elsewhere now
        return runs and _stat(_path_of(_find_spec(name)))
    if not stat[2] and time.time_ns() - stat[0] < 1_000_000_000:
        return None  # an editor has emptied it, and not written yet
    try:
        version = _ahead[name] = _read(name, spec, stat)
    except Exception as error:  # locked, for a moment; or broken: the reload says so
        return not isinstance(error, OSError) and stat
    if version is not runs:
        return not _let_follow(runs, version, _without_lines) and stat
    _seen[spec.origin] = stat


def _find_spec(name):
    """Ask the finders for a module's spec, whatever sys.modules says; None if there is none."""
    sys.path_importer_cache.clear()
    _kept.cache_clear()  # it may be of another file now
    return _bootstrap._find_spec(name, _namespace_of(name.rpartition(".")[0]).get("__path__"))


def _absolute(name, level, namespace):
    """Return the absolute name of what an import statement in a module names."""
    try:
        return _resolve(name, namespace.get("__package__") or "", level) if level else name
    except (ImportError, ValueError, AttributeError):  # beyond the top level; no text
        return "." + name  # which nothing has


def _real_name(name):
    """Return the name that a loaded module has itself: sys.modules may hold it under others."""
    real = getattr(_spec_of(name), "name", name)
    return real if sys.modules.get(real) is sys.modules.get(name) else name


def _targets(name, version, late=False):
    """Return {target: None} of what a version imports, loaded or not; `late`: in functions, too."""
    if not version or version.targets:
        return version.targets[late] if version else {}
    if not _is_known:
        raise ReloadError(f"deepreload {__version__} does not know the bytecode of this Python: "
                          "copy a newer one; nothing was reloaded")
    facts, namespace, eager, others = version.facts, _namespace_of(name), {}, {}
    for base, names, is_late, _ in facts.imports:
        base = _absolute(*base, namespace)
        found = others if is_late and "__getattr__" not in facts.binds else eager  # PEP 562
        above = filterfalse(_parents(name).__contains__, _parents(base))
        space = _namespace_of(base)
        names = names if "__path__" in space or not space else ()  # else these are no modules
        for target in (*above, base, *map(f"{base}.".__add__, names)):
            found[_real_name(target)] = None
    eager.update({_dict_of(value).get("__name__"): None for value in map(namespace.get, facts.binds)
                  if type(value) is ModuleType})  # by import_module()
    every = {**eager, **others} if others else eager
    for found in eager, every:
        found.pop(name, None)
    if version is _running(name):  # else what names are bound to is of another version
        version.targets = eager, every
    return every if late else eager


def _note_importers(paths):
    """Bring _importers up to date, by those of the modules that run another version now."""
    changed = map(is_not, map(_runs.get, paths.values()), map(_noted.get, paths))
    for name in compress(paths, changed):
        version = _runs.get(paths[name])
        for target in _targets(name, _noted.get(name)):  # if interrupted, it is done again
            _importers[target].discard(name)
        for target in _targets(name, version):
            _importers[target].add(name)
        _noted[name] = version


def _order(names, edges):
    """Return the names and all that edges lead to, leaves first."""
    order, met, stack = {}, set(), list(names)[::-1]
    while stack:
        name = stack[-1]
        if name in met:
            order.setdefault(stack.pop())
        else:
            met.add(name)
            stack += reversed([each for each in edges(name) if each not in met])
    return list(order)


def _starts(sources):
    """Return the names in the order in which to start them, import statements going first."""
    imported = {each for name in sources for each in _targets(name, sources[name].version)}
    loaded = list(filter(sources.__contains__, list(sys.modules)))
    # Of the others, which are in cycles: what has finished last has begun its cycle
    return [name for name in loaded if name not in imported] + loaded[::-1]


def _source(name, version=None):
    """Return the Source of a module to execute, without a spec if its file is gone, or raise."""
    path = _path_of(_spec_of(name))
    try:
        stat = _stat(path)
        spec = _find_spec(name) if path and not stat else _spec_of(name)
        return Source(name, spec, spec and (version or _read(name, spec, stat)))
    except Exception as error:
        raise _failure(error, name, path) from error


def _to_reload_deeply(root, scope):
    """Return {name: Source} of what deep_reload() executes."""
    def below(name):
        source = sources[name] = _source(name)
        return filter(own.__contains__, _targets(name, source.version, True))
    if root not in scope:
        raise ImportError(f"{root!r} is excluded: take it out of exclude to reload it", name=root)
    paths, sources = _paths(scope), {}
    own = paths.keys() - scope.above
    _order([name for name in paths if (name + ".").startswith(root + ".")], below)
    if not sources[root].spec:
        raise _failure(FileNotFoundError("it is gone"), root, paths[root])
    return sources


def _reload_what_works(scope, changed):
    """Reload what changed; leave out what fails, until a save that may help, and try the rest."""
    def is_held_back(name):  # it has failed, and no file that is concerned was saved since
        tried, files = _held_back.get(name, (None, {}))
        return tried == changed[name] and files == {path: _stat(path) for path in files}
    global _held_back
    if all(map(is_held_back, changed)):
        return []
    told, names, todo, left, paths = None, [], {*changed}, {}, _paths(scope)
    while todo:
        try:  # what is left out runs its last good version if something that it imports changed
            names = Batch(scope).execute(lambda: {
                name: _source(name, _ahead.get(name)) for name in _order(
                    todo, lambda name: filter(paths.__contains__, _importers[name]))
                if name not in left or _ahead[name].code})
            break
        except ReloadError as error:
            name, cause = error.name, error.__cause__ or error
            # Where an installed package refuses what it knows already, functions follow their code
            if (name in todo and name in _ahead and "-packages" in ["", *_trim(cause)[0][1]][-1]
                    and _let_follow(_running(name), _ahead[name], _outline)):
                _log().warning(error.msg.replace("nothing was reloaded", "its functions follow"))
                todo.remove(name)
                continue
            below = _order([name], lambda name: _targets(name, _runs.get(paths.get(name))))
            blamed = {name} & todo or todo.intersection(below) or todo
            blamed = _held_back.keys() & blamed or blamed  # what has failed before, if any has
            told = told or not all(map(is_held_back, blamed)) and error  # else it was said
            files = _concerned(cause, *map(paths.get, blamed))
            for name in blamed:
                left[name], _ahead[name] = (changed[name], files), _running(name)
            todo -= blamed
    _held_back = left
    names = [*filterfalse(left.__contains__, names)]
    if told:
        told.reloaded = names
        told.msg = told.msg.replace("nothing was reloaded", f"held back: {', '.join(sorted(left))}")
        told.args = (told.msg,)  # PyPy shows these
        raise told.with_traceback(None)  # its cause has the user's
    return names


# -- N. errors: what failed, where, and which files are worth another look -----------------------
# Guarantees that tracebacks begin in the user's code, and that a save which may help is noticed.
_OURS = _stat.__code__.co_filename, "<frozen", "<builtin>/frozen"  # these are the import system's


def _failure(error, name, path):
    """Return the ReloadError for an exception: which module, which file and line, what was done."""
    line, what = _trim(error)[0][1].get(path), "<no text>"
    with suppress(Exception):
        what = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        path, line, what = error.filename, error.lineno, error.msg
    place = f" in {path}" + f", line {line}" * bool(line) if path else ""
    return ReloadError(f"{name}: {type(error).__name__}{place}: {what}; nothing was reloaded",
                       name=name, path=path)


def _listing(names):
    return ", ".join(names[:8]) + f" and {len(names) - 8} more" * (len(names) > 8)


def _trim(error):
    """Leave only frames of the user's in tracebacks; return [(error, {file: line})], causes too."""
    errors, found = [error], {}
    for each in errors:  # to which the loop adds
        if each is None or id(each) in found:
            continue
        steps, trace = [], each.__traceback__
        while trace:
            if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
                steps.append(trace)
            trace = trace.tb_next
        each.__traceback__ = None
        for step in steps[::-1]:
            step.tb_next, each.__traceback__ = each.__traceback__, step
        found[id(each)] = each, {step.tb_frame.f_code.co_filename: step.tb_lineno for step in steps}
        errors += each.__cause__, each.__context__
    return list(found.values())


def _user_traceback(error):
    """Return the traceback of an exception as text, as it is in the user's code."""
    import traceback
    error = isinstance(error, ReloadError) and error.__cause__ or error
    _trim(error)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _concerned(error, *paths):
    """Return {path: stat} of the files whose save, or appearance, is worth another try."""
    for each, lines in _trim(error):
        paths += tuple(lines)
        if isinstance(each, (SyntaxError, OSError)):
            paths += (each.filename,)
        if isinstance(each, ImportError):  # cannot import name 'b' from 'a'; no module named 'a.b'
            missing = ".".join(re.findall(r"'([\w.]+)'", str(each.msg))[1::-1]) or "no name"
            places = [os.path.join(folder, *missing.split(".")) for folder in sys.path]
            paths += (each.path, *places, *map("{}.py".format, places))
    return {path: _stat(path) for path in paths if type(path) is str and path[:1] != "<"}


# -- D. batch: one reload, all or nothing ---------------------------------------------------------
# Guarantees that a failure, or an interrupt at any line, leaves all as it was: each step is logged
# before it is taken.  While a batch runs, its thread's imports execute first what is pending.
class Pair:
    """An object that was made anew, the one to use from now on, and the one of before."""
    __slots__ = "new", "kept", "old"

    def __init__(self, new, kept, old=None):
        self.new, self.kept, self.old = new, kept, old


class Batch:
    """One reload: executes Sources in place, and keeps a log that undoes it all."""
    def __init__(self, scope):
        self.scope, self.modules, self.log = scope, dict(sys.modules), []
        self.asked = set()  # names of modules that this thread has imported meanwhile
        self.joins = _paths(scope).keys() - scope.above if scope.top else ()  # if imported
        self.paths = _paths(_Scope(scope.include, (), scope.top))  # of all whose names follow
        self.views, self.failed = {}, {}  # in the order of starting; {name: exception}
        self.finished = {}  # {name: whether importing from it is safe}, in the order of finishing
        self.pairs, self.claimed = {}, {}  # {id(new): Pair}; {id(old): True} of what stays
        # Classes with other bases or names; lru_caches; [(Version that has run, that runs now)]
        self.reshaped, self.caches, self.versions = [], [], []
        self.lazy = getattr(sys, "get_lazy_imports", str)() == "all"  # Python 3.15
        self.committed = self.drops = False  # the latter: whether classes have gone
        self.thread, self.collects = threading.get_ident(), gc.isenabled()
        self.originals = builtins.__import__, _bootstrap._gcd_import, builtins.__build_class__

    def execute(self, plan):
        """Reload what `plan()` returns, or undo it all; return the names in order of finishing."""
        global _batch
        try:
            with closing(self), closing(self):  # if one is interrupted
                gc.disable()  # what the reload makes stays among the young objects until the commit
                _note_importers(self.paths)
                self.sources = plan()
                _adopt_code()
                _batch = self
                for name in filter(self.sources.__contains__, reversed(self.modules)):
                    _call_hook(name)
                builtins.__import__ = self.import_statement
                _bootstrap._gcd_import = self.import_module
                sys.path_importer_cache.clear()
                for name in _starts(self.sources):
                    if name not in self.failed:  # an import statement has caught that
                        self.enter(name)
                for name, error in self.failed.items():  # which an importer has caught
                    if not self.scope.top:
                        raise error  # reload_changed() goes on without it
                    self.forget(name)  # a new process has no such module
                _replace_leftovers(self)
                _rename_elsewhere(self)
                self.log.append((_restore_namespace, _runs, dict(_runs)))
                for view in self.views.values():
                    view.commit()
                if self.reshaped:
                    _clear_caches(self.reshaped)
                self.committed = True
            return self.names
        except BaseException as error:
            name = next((name for name in self.failed if self.failed[name] is error), None)
            self.failed.clear()
            if not name or isinstance(error, (ReloadError, KeyboardInterrupt, GeneratorExit)):
                raise
            raise _failure(error, name, _path_of(self.sources[name].spec)) from error

    def close(self):
        """Leave nothing of the reload behind in the interpreter."""
        global _batch
        if not self.thread:
            return
        builtins.__import__, _bootstrap._gcd_import, builtins.__build_class__ = self.originals
        if not self.committed:
            self.undo()
        come = [name for name in filter(self.asked.__contains__, list(sys.modules))
                if name not in self.modules and name in self.scope]
        self.names = [*come, *self.finished]
        for cached in self.caches if self.committed else ():
            _CACHED.cache_clear(cached)
        if not self.committed:
            for name in come:
                self.forget(name)
            sys.modules.update(self.modules)
            _replace_leftovers(self)
        self.views.clear()  # else it were garbage in cycles
        self.log.clear()
        _follow_code(self.versions if self.committed else [pair[::-1] for pair in self.versions])
        if self.drops or not self.committed:
            gc.collect()  # else classes are met in __subclasses__()
        if self.collects:
            gc.enable()
        _batch = self.thread = None

    def import_statement(self, name, globals=None, locals=None, fromlist=(), level=0):
        if threading.get_ident() == self.thread:
            base = _absolute(name, level, globals or {})
            if base not in self.finished:
                self.enter(base)
            if fromlist and self.finished.get(base) and base in sys.modules:
                return sys.modules[base]  # as Python does, when nothing is left to do
            parent, _, child = base.rpartition(".")
            if parent in self.views and base in sys.modules:  # its code may have deleted the name
                self.views[parent].live.setdefault(child, sys.modules[base])
            names, space = fromlist or (), _namespace_of(base)
            if "*" in names and base in self.views:
                self.views[base].drop_hidden()
                names = _exported(space)
            for child in names if "__path__" in space else ():
                self.enter(f"{base}.{child}")
        return self.originals[0](name, globals, locals, fromlist, level)

    def import_module(self, name, package=None, level=0):
        if threading.get_ident() == self.thread:
            self.enter(_absolute(name, level, {"__package__": package}))
        return self.originals[1](name, package, level)

    def enter(self, name, planned=False):
        """Execute a module if it is pending, its packages first, and if it must, its imports."""
        if name in self.views:
            return
        name = _real_name(name)
        for parent in _parents(name):
            self.enter(parent, planned)  # its own modules may be in the plan
        self.asked.add(name)
        if name in self.joins and name not in self.sources:
            self.sources[name] = _source(name)
            _call_hook(name)
        if name in self.views or name not in self.sources:
            return
        source = self.sources[name]
        if not source.spec:  # its file is gone: the import system says so
            return self.forget(name)
        depth = len(self.views) - len(self.finished)  # 60 take 480 frames of Python
        if not planned and (depth >= 60 or self.lazy or source.version.facts.lazy):
            for each in _order([name], lambda each: _targets(each, self.sources[each].version)
                               if each in self.sources and each not in self.views else ())[:-1]:
                self.enter(each, planned=True)
            if name in self.views:  # the others have imported it
                return
        steps, build_class = len(self.log), builtins.__build_class__
        self.log.append((self.leave, name, len(self.claimed)))
        try:
            view = self.views[name] = View(self, source)
            view.execute()
        except BaseException as error:
            self.failed[name] = error
            self.undo(steps)
            raise
        finally:
            builtins.__build_class__ = build_class
        self.failed.pop(name, None)
        self.finished[name] = not view.hidden and "__path__" not in view.live

    def leave(self, name, claims):
        """Let a module be pending again, and give up all claims but the first so many."""
        self.finished.pop(name, None)
        self.views.pop(name, None)
        while len(self.claimed) > claims:
            self.claimed.popitem()

    def do(self, function, *args, old):
        """Call a function that sets its last argument; the log says to set the old value again."""
        self.log.append((function, *args[:-1], old))
        function(*args)

    def pair(self, old, new, kept):
        """Note that `kept`, which is one of the two, is to be used for both from now on."""
        pair = Pair(new, kept, old)
        self.log.append((setattr, pair, "kept", old))  # it stays, as registries may hold the new
        self.pairs[id(new)], self.claimed[id(old)] = pair, True

    def forget(self, name):
        self.sources.pop(name, None)
        parent, _, child = name.rpartition(".")
        module = sys.modules.get(name, self)
        for space, key in ((_namespace_of(parent), child), (sys.modules, name)):
            if space.get(key) is module:
                self.log.append((setitem, space, key, module))
                del space[key]

    def undo(self, steps=0):
        """Undo all but so many steps of the log."""
        while len(self.log) > steps:
            function, *args = self.log[-1]
            try:
                function(*args)
            except Exception as error:  # a record with the error itself would hold all frames
                _log().error(f"could not undo a step: {function} raised {type(error).__name__}")
            self.log.pop()


def _call_hook(name):
    try:
        _namespace_of(name).get("__unload__", int)()
    except Exception:
        _log().exception("%s.__unload__() failed", name)


def _log():
    import logging
    return logging.getLogger("deepreload")


def _restore_namespace(namespace, saved):
    """Give a dict its old entries back, and no others; threads always find those that stay."""
    namespace.update(saved)
    for name in namespace.keys() - saved:
        namespace.pop(name, None)


# -- E. view: the namespace that a module's code sees ---------------------------------------------
# Guarantees that other threads find every name at any moment, while the code finds what a new
# process would give it.  Relies on LOAD_NAME and STORE_NAME asking the mapping that exec() gets.
_set_class_of = vars(object)["__class__"].__set__  # of proxies, too; TypeError if Python refuses


class _Reloading(ModuleType):
    """What a module is while it is reloaded: its thread does not see what is hidden."""
    def __getattribute__(self, name):
        batch = _batch
        if batch and threading.get_ident() == batch.thread:
            view = batch.views.get(_dict_of(self).get("__name__"))
            if view is not None and view.hides(name):
                if name in view:
                    return view[name]
                raise AttributeError(f"module {view.name!r} has no {name!r} yet")
        return ModuleType.__getattribute__(self, name)


class View(dict):
    """What the code of a module sees: all but what the old code has bound, and it has not yet."""
    def __init__(self, batch, source):
        """Hide the old names from this thread, and give the module what an import starts with."""
        self.batch, self.source, self.name = batch, source, source.name
        self.code, self.facts = source.version.code, source.version.facts
        self.module = sys.modules[source.name]
        self.live = live = _dict_of(self.module)
        self.old = old = dict(live)
        self.unbound, self.waiting = self.facts.binds.keys() - old, []  # see take()
        runs = _running(source.name) or Version(None, None)
        classes = [value for value in old.values() if issubclass(type(value), type)]
        self.same = runs.code is self.code and all(map(_is_plain, classes))
        batch.versions.append((runs, source.version))
        batch.log.append((_restore_namespace, live, old))
        if type(self.module) is ModuleType:
            batch.do(_set_class_of, self.module, _Reloading, old=ModuleType)
        _namespace_of("typing").get("_overload_registry", {}).pop(self.name, None)
        _bootstrap._init_module_attrs(source.spec, self.module, override=True)
        live["__doc__"] = None
        if source.spec.submodule_search_locations is None:
            live.pop("__path__", None)
        live.pop("__annotations__", None)
        bound = runs.facts.bound
        bound = old.keys() - _GIVEN if bound is False or self.facts.looks else bound
        hidden = self.hidden = bound.union(runs.left).intersection(old) - self.facts.sets
        for name, value in old.items() if "__path__" in old else ():
            child = f"{self.name}.{name}"
            if value is sys.modules.get(child, self):
                (hidden.add if child in batch.sources else hidden.discard)(name)

    def execute(self):
        """Execute the code; then pair what was bound several times, or past the view."""
        live, space = self.live, self
        if self.batch.lazy or self.facts.lazy or self.facts.looks or not self.code:
            self.drop_hidden()  # it goes past the view, or wants globals() to be locals() (PEP 810)
            space, self.unbound = live, set()
        self.functions = defaultdict(set)  # {name: names that what is so called may lead to}
        codes = _codes_in(self.code) if self.unbound else []
        for each in codes:  # to which the loop adds
            codes += _codes_in(each)
            self.functions[each.co_name] |= _names_in(each)
        if not self.code:
            self.source.spec.loader.exec_module(self.module)
        else:
            builtins.__build_class__ = self.build_class if self.same else self.batch.originals[2]
            exec(self.code, live, space)
        self.go_on(self.unbound)
        for name, old in self.old.items():
            value = live.get(name, old)
            if old is not value:
                live[name] = _keep(self.batch, old, value)
        if not self.hidden:
            self.drop_hidden()  # which shows the module to this thread as it is
        parent, _, child = self.name.rpartition(".")
        package = self.batch.views.get(parent)
        if package is not None:  # other threads find what it hides: a function of this name, say
            space = package if package.hides(child) else package.live
            dict.__setitem__(space, child, sys.modules.get(self.name))

    def build_class(self, body, name, *bases, **kwargs):
        """Carry out a class statement, if nothing but `type` has a say in it, by make_class()."""
        if not kwargs and all(map(_is_plain, bases)):
            kwargs["metaclass"] = self.make_class  # any callable will do
        return self.batch.originals[2](body, name, *bases, **kwargs)

    def make_class(self, name, bases, namespace):
        """Make a class, or return the one that is there if its statement makes the same again."""
        namespace.setdefault("__doc__", None)  # as type() does
        place, batch = (namespace["__module__"], namespace["__qualname__"]), self.batch
        old = self.old.get(place[1])
        before = dict(_vars_of_class(old)) if _is_plain(old) else {}
        names = before.keys() & namespace
        values, others = [*map(before.get, names)], [*map(namespace.get, names)]
        if not (_place_of(old) == place and id(old) not in batch.claimed
                and self.facts.binds.get(name) == 1 and _identical(bases or (object,), _bases(old))
                and before.keys() ^ namespace.keys() <= _BY_TYPE
                and _INERT.issuperset(map(type, others))
                and [*map(_codes_of, values)] == [*map(_codes_of, others)]):  # none is wrapped
            return type(name, bases, namespace)
        batch.claimed[id(old)] = True
        batch.log.append((_set_attributes, old, before))  # a decorator may set some
        namespace.get("__classcell__", CellType()).cell_contents = old  # at once, for super()
        for each, value, kept in zip(names, values, _keep_parts(batch, values, others)):
            if kept is not value:
                _set_attribute(old, each, kept)
        return old

    def take(self, function, state, called=()):
        """Give a function its new code and state, when all names are bound that it leads to."""
        names = self.unbound and _order(_names_in(state[0][3]), self.functions.__getitem__)
        if self.unbound.isdisjoint(names) or function.__name__ in called:
            was = _state_of(function), dict(function.__dict__)
            self.batch.do(_set_state, function, state, old=was)
        else:  # other threads might call it, and not find them
            self.waiting.append((function, state))

    def go_on(self, names=frozenset(), called=()):
        """Note that names are bound now, or functions called, for the functions that wait."""
        self.unbound -= names
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            self.take(*each, called)

    def hides(self, name):
        """Return whether a name is hidden still, and not set past the view meanwhile."""
        return name in self.hidden and self.live.get(name) is self.old[name]

    def drop_hidden(self):
        """Let the module be what a new process has now, and this thread see all of it."""
        for name in filter(self.hides, self.hidden):
            if name in self:
                self.live[name] = self[name]
            elif _is_class(self.live.pop(name, None)):
                self.batch.drops = True
        self.hidden = set()
        if type(self.module) is _Reloading:
            _set_class_of(self.module, ModuleType)

    def commit(self):
        """Drop what the new code has not bound; or next time, if running frames read some of it."""
        path, version = _path_of(self.source.spec), self.source.version
        version.left = ()
        for frame in _frames() if self.hidden else ():
            if frame.f_globals is self.live and self.hidden & _names_in(frame.f_code):
                version.left, self.hidden = self.hidden, set()
        self.drop_hidden()
        if path:
            _runs[path] = version
            _tell(path, version.stat)

    def __missing__(self, name):
        if "NameError" in self.code.co_names and name in self.facts.binds:  # `try: cache`
            self.hidden.discard(name)
        if self.waiting:  # the module's own code may call it now
            self.go_on(called=_order([name], self.functions.__getitem__))
        if not self.hides(name):
            raise KeyError(name)  # the live namespace is asked next
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise NameError(f"name {name!r} is not defined")

    def __setitem__(self, name, value):
        old = self.old.get(name, value)
        if old is not value and type(value) not in _PLAIN and self.facts.binds.get(name) == 1:
            holders = next(map(_refcount, (value,)))  # the statement, this frame, the tuple, map()
            value = _keep(self.batch, old, value, alone=holders == 4)
        # While functions wait, reading their names has to come to __missing__: it may be a call
        self.pop(name, None) if self.waiting else dict.__setitem__(self, name, value)
        self.live[name] = value
        self.hidden.discard(name)
        if name in self.unbound:
            self.go_on({name})

    def __delitem__(self, name):
        self.pop(name, None)
        del self.live[name]


def _exported(namespace):
    """Return the names that a star import takes from a module."""
    return namespace.get("__all__", [name for name in list(namespace) if name[:1] != "_"])


def _names_in(code):
    """Return the names that code uses, and that the functions in it do."""
    return set(code.co_names).union(*map(_names_in, _codes_in(code)))


def _frames():
    for frame in sys._current_frames().values():
        while frame:
            yield frame
            frame = frame.f_back


# -- F. keep: old objects stay, brought up to date ------------------------------------------------
# Guarantees that functions, classes and enum members that the module has made keep their identity.
# Matches by __module__ and __qualname__; calls nothing of the user's: no ==, getattr, isinstance.
_DESCRIPTORS = {types.MemberDescriptorType, types.GetSetDescriptorType}
_PLAIN = {int, str, float, bool, type(None), tuple, list, dict, set, frozenset, *_DESCRIPTORS}
_PARTS = {property: attrgetter("fget", "fset", "fdel", "__doc__"),
          **dict.fromkeys([classmethod, staticmethod], lambda method: (method.__func__,)),
          MethodType: attrgetter("__func__", "__self__"),
          getattr(types, "GenericAlias", None): attrgetter("__origin__", "__args__")}
_INERT = {*_PLAIN, *_PARTS, FunctionType, CellType}  # know no class, nor have __set_name__()
_BY_TYPE = {"__qualname__", "__classcell__", "__dict__", "__weakref__"}  # taken, and given
_STATE = "__doc__ __name__ __qualname__ __code__ __defaults__ __kwdefaults__".split()
_STATE += ["__type_params__"] * hasattr(FunctionType, "__type_params__")  # 3.12
_STATE += ["__annotate__" if "__annotate__" in vars(FunctionType) else "__annotations__"]  # 3.14
_state_of = attrgetter(*_STATE)
_set_bases = vars(type)["__bases__"].__set__
_refcount = getattr(sys, "getrefcount", id)  # PyPy has none
_CALL = (lambda *args, __new__, **kwargs: __new__(*args, **kwargs)).__code__
_KINDS = _IN_FUNCTION | 0x2A0  # the latter: generators, coroutines, asynchronous generators


def _place_of(obj):
    """Return module and qualified name of a class, or of a function, which is told by brackets."""
    if type(obj) is FunctionType:
        return obj.__module__, obj.__qualname__, "()"
    return (_vars_of_class(obj).get("__module__"), _qualname(obj)) if _is_class(obj) else (None,)


def _is_plain(cls):
    """Return whether it is a class of `type`, and subclasses of it call no __init_subclass__()."""
    hook = type(cls) is type and type.__getattribute__(cls, "__init_subclass__")
    return type(hook) is types.BuiltinFunctionType


def _codes_of(value):
    """Return the code of a function, or those in what is made of functions; None of others."""
    kind = type(value)
    if kind in _PARTS:
        return [*map(_codes_of, _PARTS[kind](value))]
    return value.__code__ if kind is FunctionType else None


def _all_kept(objects, pairs):
    """Return the objects as a tuple, those in pairs as what is to be used for them."""
    return tuple([pairs[id(obj)].kept if id(obj) in pairs else obj for obj in objects])


def _identical(one, other):
    return len(one) == len(other) and all(map(is_, one, other))


def _keep(batch, old, new, alone=False):
    """Return what to use for a new object: the old one, brought up to date, if it is a version.
    `alone`: nobody else holds the new one, who would have to be given the old one in its place.
    """
    kind, is_function = type(new), type(new) is FunctionType
    alone = alone and not weakref.getweakrefcount(new)
    if alone and is_function and id(old) not in batch.claimed and _is_same(old, new):
        batch.claimed[id(old)] = True
        return old
    if new is old or kind in _PLAIN:
        return new
    if id(new) in batch.pairs:
        return batch.pairs[id(new)].kept
    if type(old) is _CACHED:
        batch.caches.append(old)
    for cell in is_function and new.__closure__ or ():
        pair = batch.pairs.get(id(_content(cell)))
        if pair:  # super() is used at once
            cell.cell_contents = pair.kept
    if is_function or _is_class(new):
        place = _place_of(new)  # a version is what the same statement has made before
        if (type(place[0]) is str and place == _place_of(old) and place[0] in batch.views
                and id(old) not in batch.claimed):
            return (_keep_function if is_function else _keep_class)(batch, old, new, alone)
        return new
    if type(old) is not kind or id(old) in batch.claimed:
        return new
    if kind in _PARTS:
        before = _PARTS[kind](old)
        kept = _keep_parts(batch, before, _PARTS[kind](new), alone)
        return old if _identical(kept, before) else kind(*kept)
    if kind is _CACHED:  # it goes on with the old function
        kept = _keep(batch, old.__wrapped__, new.__wrapped__)
        stays = kept is old.__wrapped__ and old.cache_info()[2] == new.cache_info()[2]
    else:  # a sentinel, without any state, is compared with `is`
        own = all(_place_of(cls)[0] in batch.views for cls in _mro(kind)[:-1])
        stays = own and not any(_attributes(each) or any(_members(each)) for each in (old, new))
    if stays:
        batch.pair(old, new, old)
    return old if stays else new


def _is_same(old, new):
    """Return whether two functions, or what belongs to them, differ in nothing that matters."""
    kind = type(new)
    if old is new or type(old) is not kind:
        return old is new
    if kind is FunctionType:
        # Less what is empty, these are parts of the same kinds, as the code says which there are
        one = [*filter(None, gc.get_referents(old))]
        other = [*filter(None, gc.get_referents(new))]
        return _identical(one, other) or len(one) == len(other) and all(map(_is_same, one, other))
    if kind is dict:
        return _identical([*old, *old.values()], [*new, *new.values()])
    return kind is tuple and _identical(old, new)


def _keep_parts(batch, before, after, alone=True):
    """Return what to keep of an object's parts: `after` are the new ones, held by it only."""
    holders = [*map(_refcount, after)]  # 3 if alone: the object, `after`, and map()
    return [new if new is old else _keep(batch, old, new, alone and held == 3)
            for old, new, held in zip(before, after, holders)]


def _keep_function(batch, old, new, alone):
    """Give an old function the code and the state of the new one."""
    state, gets = [*_state_of(new)], dict(new.__dict__)
    stays = (old.__globals__ is new.__globals__  # wrappers of two modules may have one name
             and old.__code__.co_freevars == new.__code__.co_freevars)
    batch.claimed[id(old)] = True
    if not (stays and alone):
        batch.pair(old, new, old if stays else new)
    if stays:
        for name, value in gets.items():
            gets[name] = _keep(batch, old.__dict__.get(name), value)
        # What functools.singledispatch knows from modules that are not executed again
        for cls, function in old.__dict__.get("registry", {}).items() if "register" in gets else ():
            if _place_of(function)[0] not in batch.sources:
                new.register(cls, function)
    else:  # the old one only calls the new one, which no constant of it holds
        code = _CALL.replace(co_freevars=old.__code__.co_freevars)
        state[3:6] = code, None, {"__new__": new}
        gets["__wrapped__"] = new
    batch.views[new.__module__].take(old, (state, gets))
    for mine, theirs in zip(old.__closure__, new.__closure__) if stays and new.__closure__ else ():
        before, after = _content(mine), _content(theirs)
        if _MISSING is not before is not after is not _MISSING:
            batch.do(setattr, mine, "cell_contents", _keep(batch, before, after), old=before)
    return old if stays else new


def _set_state(function, state):
    """Set what a function is; no code meets too few defaults in another thread that calls it."""
    for name, value in zip(_STATE[4:6], state[0][4:6]):
        if len(value or ()) > len(getattr(function, name) or ()):
            setattr(function, name, value)
    for name, value in zip(_STATE, state[0]):
        setattr(function, name, value)
    _restore_namespace(function.__dict__, state[1])


def _content(cell):
    with suppress(ValueError):  # it is empty
        return cell.cell_contents
    return _MISSING


def _keep_class(batch, old, new, _):
    """Give an old class what the new one has, or let the new one take over, where it must."""
    before, after, kind = dict(_vars_of_class(old)), _vars_of_class(new), type(new)
    bases = _all_kept(_bases(new), batch.pairs)
    same_shape = before.keys() == after.keys() and _identical(bases, _bases(old)) and (
        before.get("__abstractmethods__") == after.get("__abstractmethods__"))
    slots, others = [{name for name, value in names.items() if type(value) in _DESCRIPTORS}
                     for names in (before, after)]
    # A framework's metaclass, or an attribute in C, may keep records of the class
    own = type(old) is kind and (kind is type or "_member_map_" in after or _place_of(kind)[0]
                                 in {"abc", "typing", "typing_extensions"})
    records = [value for value in after.values() if type(value) not in _INERT
               and not _is_class(value) and _attributes(value) is None]
    becomes = own and slots == others and id(new) not in map(id, gc.get_referents(*records))
    if not same_shape:
        batch.reshaped.append(old)
        try:
            if becomes:
                batch.do(_set_bases, old, bases, old=_bases(old))
        except TypeError:
            becomes = False
    with suppress(KeyError, TypeError):  # it is none of ctypes, whose objects have their own memory
        size_of = sys.modules["_ctypes"].sizeof
        if size_of(old) != size_of(new):
            return new
    batch.pair(old, new, old if becomes else new)
    batch.log.append((_set_attributes, old, before))
    if not becomes:
        return _hand_on(batch, old, new)
    if "_member_map_" in after:
        _keep_members(batch, old, before, after)
    if not same_shape:
        _set_attributes(old, {**after, **before})  # first what is new, as methods may read it
    kept = {name: _keep(batch, before.get(name), value) for name, value in after.items()}
    _set_attributes(old, kept)
    with suppress(TypeError):  # of another layout
        if _bases(new) != (object,):
            _set_bases(new, (old,))  # out of its bases' __subclasses__(); super() in it goes on
    return old


def _set_attributes(cls, wanted):
    """Make a class have just these attributes, past metaclasses that refuse, one by one."""
    current = dict(_vars_of_class(cls))
    for name in {**wanted, **current}:
        value = wanted.get(name, _MISSING)
        if (current.get(name, _MISSING) is not value and type(value) not in _DESCRIPTORS
                and name not in {"__class__", "_abc_impl", "__classdictcell__"}):
            _set_attribute(cls, name, value)


def _set_attribute(obj, name, value):
    """Set or delete an attribute of a class or function, past what classes make of that."""
    kind = type if _is_class(obj) else object
    kind.__delattr__(obj, name) if value is _MISSING else kind.__setattr__(obj, name, value)


def _keep_members(batch, old, before, after):
    """Keep enum members by name, as far as what they are (an int, a str) lets them change."""
    members, plain = before["_member_map_"], after["_member_type_"]
    for name, member in after["_member_map_"].items():
        kept = members.get(name, member)
        same = plain is object or plain in {int, str} and kept._value_ == member._value_
        kept = kept if same and id(kept) not in batch.claimed else member
        if id(member) not in batch.pairs:  # else an alias
            batch.do(_restore_namespace, kept.__dict__, {**member.__dict__}, old={**kept.__dict__})
            _set_class_of(kept, old)
            batch.pair(kept, member, kept)
    for value, member in before["_value2member_map_"].items():
        if member._name_ not in members:  # flags together
            after["_value2member_map_"].setdefault(value, member)
    for value in after.values():
        _patch(value, batch.pairs, batch.do)


# -- G. functions follow their code, whoever holds them -------------------------------------------
# Guarantees that no function goes on running the code of an earlier version of its module: one in a
# C structure, a closure, a bound method.  A reference count tells whether to look for any.
def _follow_code(versions):
    """Let functions that run code of the first of two Versions run its successor in the second."""
    pairs = [(old.code, new.code) for old, new in versions
             if old.code and new.code and old.code is not new.code]
    modules = len(pairs)
    for pair in pairs:  # to which the loop adds, by name, and order in that name
        new = defaultdict(list)
        for code in _codes_in(pair[1]):
            new[code.co_name].append(code)
        pairs += [(old, new[old.co_name].pop(0)) for old in _codes_in(pair[0]) if new[old.co_name]]
    pairs = [pair for pair in pairs[modules:] if _refcount(pair[0]) > 3]  # 3: two, and this call
    successors = {id(old): new for old, new in pairs if old.co_freevars == new.co_freevars
                  and not (old.co_flags ^ new.co_flags) & _KINDS}
    for function in pairs and gc.get_referrers(*[old for old, _ in pairs]):
        code = type(function) is FunctionType and successors.get(id(function.__code__))
        if code:
            function.__code__ = code


def _adopt_code():
    """Let Versions that were read later than executed have the very code that functions hold."""
    def made_of_held(code):
        consts = _with_codes(made_of_held, code.co_consts)
        return held.get((code.co_filename, code)) or code.replace(co_consts=consts)
    files, held = {version.path for version in _late if version.code}, {}
    for function in files and gc.get_objects():
        code = type(function) is FunctionType and function.__code__
        if type(code) is CodeType and code.co_filename in files:  # PyPy has others, too
            function.__code__ = held.setdefault((code.co_filename, code), code)
    for version in _late:
        version.code = version.code and made_of_held(version.code)
    _late.clear()


def _let_follow(runs, version, outline):
    """If two Versions have the same outline, let functions follow the new code; return whether."""
    if not runs.code or not version.code or outline(runs.code) != outline(version.code):
        return False
    _adopt_code()
    _follow_code([(runs, version)])
    version.left, _runs[version.path] = runs.left, version
    _tell(version.path, version.stat)
    return True


# -- H. where a class cannot become the new one, the old one stands for it -------------------------
# Guarantees that live instances are accepted, also by what goes on making some of the old class: a
# route of FastAPI, say.  Relies on `__class__`, which can be set (I), and which isinstance() reads.
def _hand_on(batch, old, new):
    """Let an old class, and its instances until their next use, pass for the new one's."""
    def newest_of(cls):  # after any number of reloads
        while "__replaced_by__" in _vars_of_class(cls):
            cls = _vars_of_class(cls)["__replaced_by__"].cell_contents
        return cls

    class Replaced(type):
        def __instancecheck__(self, obj):
            newest = newest_of(self)
            return super().__instancecheck__(obj) if newest is self else isinstance(obj, newest)

    def __getattribute__(self, name):
        newest = newest_of(type(self))
        if name == "__class__":  # isinstance() wants another than type()
            return newest
        if not _batch:  # else it might have to go back
            with suppress(TypeError):  # of another layout
                _set_class_of(self, newest)
        return get(self, name)
    kind, get = type(old), type.__getattribute__(old, "__getattribute__")
    if type.__getattribute__(old, "__new__") is object.__new__:  # C code trusts its own layout
        type.__setattr__(old, "__replaced_by__", CellType(new))  # which follows, as all cells do
        type.__setattr__(old, "__getattribute__", __getattribute__)
        if kind is not type:
            _set_bases(Replaced, (kind,))  # a class statement calls __init_subclass__()
            batch.do(_set_class_of, old, Replaced, old=kind)
    return new


# -- I. leftovers: versions that are not the ones to use, wherever they are held ------------------
# Guarantees that registries which decorators, metaclasses and __init_subclass__ fill hold what the
# program uses, and that holders follow where a class was made anew.  Relies on gc to find them.
def _replace_leftovers(batch):
    """Put what is kept in the place of its other version, with what that was given meanwhile."""
    pairs = [pair for pair in batch.pairs.values() if pair.kept is not pair.new]
    replaced = {id(pair.old): Pair(pair.old, pair.new) for pair in batch.pairs.values()
                if pair.kept is pair.new and _is_class(pair.new)}
    batch.pairs.clear()
    if replaced:
        if sys.implementation.name == "cpython":  # what was given by who had the old one only
            _gain(batch, replaced.values(), set(map(id, gc.get_objects(generation=0))))
        _replace(batch, replaced, deep=False)  # what was computed for the old stays its own
    held = {}  # {id(new): Pair} of what somebody else holds, and of the weak references to that
    for pair in pairs:
        for reference in weakref.getweakrefs(pair.new):
            if reference.__callback__ or not _is_class(pair.new):  # else one of its base's
                other = weakref.ref.__new__(type(reference), pair.kept, reference.__callback__)
                for member, value in _members(reference):  # the key of a WeakValueDictionary's
                    member.__set__(other, value)
                held[id(reference)] = Pair(reference, other)
                held[id(pair.new)] = Pair(pair.new, pair.kept)  # lest it goes from there
        with suppress(TypeError):  # an enum member that is an int, say
            pair.new = weakref.ref(pair.new)
    if pairs:
        gc.collect(0)  # most are garbage, in cycles that the young objects make
    for pair in pairs:
        pair.new = pair.new() if type(pair.new) is weakref.ref else pair.new
        if pair.new is not None:
            held[id(pair.new)] = pair
    _gain(batch, held.values() if batch.views else ())  # else all was undone
    for variable, value in contextvars.copy_context().items():
        if id(value) in held:
            batch.do(variable.set, held[id(value)].kept, old=value)
    found = held
    for _ in range(8):  # as deep as holders are nested that cannot be changed
        found = found and _replace(batch, {**held, **found}, found)


def _gain(batch, pairs, among=()):
    """Give what is kept the attributes that only its other version has, or those `among` some."""
    for pair in pairs:
        space = _vars_of_class if _is_class(pair.new) else _attributes
        had, gained = space(pair.kept) or (), dict(space(pair.new) or ())
        for name in gained.keys() - had:
            if name[:2] != "__" and (not among or id(gained[name]) in among):
                batch.do(_set_attribute, pair.kept, name, gained[name], old=_MISSING)


def _replace(batch, pairs, found=None, deep=True):
    """Patch what holds the versions, or those found; return {id: Pair} of what is made anew."""
    remade, others = {}, tuple([pair.new for pair in (found or pairs).values()])
    holders = [holder for holder in gc.get_referrers(*others)  # 3.13 finds the tuple
               if holder is not others and holder is not batch.log and type(holder) is not Pair]
    for holder in sorted(holders, key=lambda each: type(each) is not CellType):  # first super()
        try:
            other = _patch(holder, pairs, batch.do, deep)
            if other is not holder:
                remade[id(holder)] = Pair(holder, other)
        except TypeError:  # Python refuses another class, or other bases
            _warn_once(_place_of(holder if _is_class(holder) else type(holder)))
    return remade


def _members(obj):
    """Yield (descriptor, value) of the slots of an object that are not empty."""
    for own in map(_vars_of_class, _mro(type(obj))):
        for member in list(own.values()) if "__slots__" in own else ():
            if type(member) is types.MemberDescriptorType:
                with suppress(AttributeError):
                    yield member, member.__get__(obj)


def _attributes(obj):
    """Return the dict of an object's own attributes, past a property of that name; or None."""
    for own in map(_vars_of_class, _mro(type(obj))):
        if type(own.get("__dict__")) is types.GetSetDescriptorType:
            found = own["__dict__"].__get__(obj)
            return found if type(found) is dict else None


def _set_keys(kind, holder, keys):
    """Give a dict other keys: each is taken out and put in, as other threads look for others."""
    for (old, value), key in zip(list(kind.items(holder)), keys):
        kind.pop(holder, old, None)
        kind.__setitem__(holder, key, value)


# How to set, and get, the parts of what can be changed as a whole only
_CHANGEABLE = {
    set: (set.__init__, set.__iter__), type: (_set_bases, _bases),
    OrderedDict: (partial(_set_keys, OrderedDict), OrderedDict.keys),
    dict: (partial(_set_keys, dict), dict.keys),
    FunctionType: (vars(FunctionType)["__defaults__"].__set__, lambda f: f.__defaults__ or ()),
    BaseException: (BaseException.args.__set__, BaseException.args.__get__),
    partial: (partial.__setstate__, lambda f: f.__reduce__()[2])}


def _patch(holder, pairs, do, deep=True):
    """Replace what is paired in one object; return it, or what has to stand for it, if `deep`."""
    kind = type(holder)
    for base in tuple, frozenset:
        if issubclass(kind, base):
            other = base.__new__(kind, _all_kept(base.__iter__(holder), pairs))
            if _attributes(holder):
                _attributes(other).update(_attributes(holder))
            return other
    if kind in _PARTS:
        return kind(*_all_kept(_PARTS[kind](holder), pairs))
    if kind is getattr(types, "UnionType", 0):  # 3.10
        return reduce(or_, _all_kept(holder.__args__, pairs))
    for base, (set_parts, parts_of) in _CHANGEABLE.items():
        if issubclass(kind, base) and id(holder) not in pairs and (deep or base is type):
            parts = tuple(parts_of(holder))
            kept = _all_kept(parts, pairs)
            if not _identical(kept, parts):
                do(set_parts, holder, kept, old=parts)
    for function, *args, value in _held_by(holder, kind):
        if id(value) in pairs:
            do(function, *args, pairs[id(value)].kept, old=value)
    return holder


def _held_by(holder, kind):
    """Yield (function, *arguments, value): the function sets a value where that is held."""
    if kind is CellType:
        yield setattr, holder, "cell_contents", _content(holder)
    for base in (list, deque):
        for index, item in enumerate(list(base.__iter__(holder)) if issubclass(kind, base) else ()):
            yield base.__setitem__, holder, index, item
    for member, value in _members(holder):
        yield member.__set__, holder, value
    namespace = holder if issubclass(kind, dict) else _attributes(holder) or {}
    setter = dict.__setitem__, namespace
    if {"__module__", "__doc__"} <= dict.keys(namespace):
        for owner in filter(_is_class, gc.get_referrers(namespace)):
            setter = _set_attribute, owner  # as Python caches its dict; 3.12 crashes otherwise
    for key, value in list(dict.items(namespace)):
        yield (*setter, key, value)
    yield _set_class_of, holder, kind


def _clear_caches(reshaped):
    """Clear what abc and singledispatch remember of classes whose shape has changed."""
    abc = sys.modules["abc"]
    for cls in gc.get_objects():
        if issubclass(type(cls), abc.ABCMeta):
            abc.ABCMeta._abc_caches_clear(cls)
    for cls in reshaped:  # to which the loop adds
        if issubclass(type(cls), abc.ABCMeta):
            getattr(abc, "update_abstractmethods", id)(cls)  # 3.10
        reshaped += type.__subclasses__(cls)
    for function in gc.get_referrers(*_codes_in(singledispatch.__code__)):
        if type(function) is FunctionType:
            function.__dict__.get("_clear_cache", int)()


# -- J. names elsewhere: what others have imported by name ----------------------------------------
# Guarantees that `from conf import RATE` follows in the script, in a notebook's cells, and in
# modules that are not executed again.  Relies on their code for which name came from where.
_cells = []  # Versions of a notebook's cells
_warn_once = lru_cache(None)(lambda place: _log().warning(
    "%s.%s: a new layout: objects stay with the old class", *place))


def _statements_of(names):
    """Return [(name, Version)] of modules, of a notebook's cells, and of the running script."""
    path = _namespace_of("__main__").get("__file__") or ""  # at a prompt
    main = [*_cells, _runs.setdefault(path, Version(_stat(path), None, path))]
    return [(name, _running(name)) for name in names] + [("__main__", each) for each in main]


def _rename_elsewhere(batch):
    """Bind anew what the script, modules not executed again and lazy ones have imported by name."""
    others = {each for name in batch.views for each in _importers[name]
              if each not in batch.views or batch.lazy or batch.views[each].facts.lazy}
    for name, version in _statements_of(others & batch.paths.keys()):
        namespace = _namespace_of(name)
        for base, *_, pairs in version.facts.imports if version else ():  # it may have gone
            view = batch.views.get(_absolute(*base, namespace))
            if view is None:
                continue
            exported = _exported(view.live) if ("*", "*") in pairs else ()
            for attribute, bound in [*pairs, *zip(exported, exported)]:
                old, new = view.old.get(attribute, _MISSING), view.live.get(attribute, _MISSING)
                if namespace.get(bound, _MISSING) is old is not new is not _MISSING:
                    batch.do(setitem, namespace, bound, new, old=old)


# -- K. unloading ----------------------------------------------------------------------------------
# Guarantees that modules go dependents first, all or none, and that the report tells what is left.
# Relies on gc; calls and compares nothing of the program's, as `type(x) in (...)` would.
class Unloaded(namedtuple("Unloaded", "names alive")):
    """What `deep_unload` did; true if all was freed, else `alive` says who holds what."""
    names: tuple[str, ...]  # what was unloaded, in order
    alive: Mapping[str, tuple[str, ...]]  # {name: (who holds something of it, ...)}

    def __bool__(self):
        return not self.alive

    def __str__(self):
        text = f"unloaded {len(self.names)}: {_listing(self.names)}"
        unknown = "something that was not found: look at atexit, signal handlers, compiled code"
        for name, holders in self.alive.items():
            text += f"\n{name} is still held by {', '.join(holders) or unknown}"
        return text


def deep_unload(module: Module, *, include: Names = (), exclude: Names = (),
                force: bool = False) -> Unloaded:
    """Forget a module, its submodules and what in scope only they needed, dependents first.
    Arguments are as in `deep_reload`; `force` goes on if others import one of them at top level.
    Return what went and who holds something of it; raise TypeError or ImportError before any goes.
    """
    name = module = _named(module)  # from here on nothing in this frame holds it
    with _lock:
        scope = _Scope(include, exclude, name)
        for each in _to_unload(name, scope, force):
            _call_hook(each)
        paths = _to_unload(name, scope, force=True)  # hooks may import
        modules = list(map(sys.modules.pop, paths))  # in one step: no interrupt comes between
        for (each, path), module in zip(paths.items(), modules):
            parent, _, child = each.rpartition(".")
            if _namespace_of(parent).get(child) is module:
                del _namespace_of(parent)[child]
            for known in _runs, _seen:  # in PyPy code holds its module
                known.pop(path, None)
            _drop_bytecode(path)
        del modules, module
        _note_importers(paths)  # of which nothing runs any more
        for clear in [_ahead.clear, *_namespace_of("typing").get("_cleanups", ())]:
            clear()  # Optional[C] and the like are cached with their classes
        gc.collect()
        left, objects = {}, gc.get_objects()  # kept, as an id lasts as long as its object
        for obj in objects:  # a namespace lives on in functions, a class on its own
            owner = obj.get("__name__") if type(obj) is dict else _place_of(obj)[0]
            if type(owner) is str and owner in paths:
                left[id(obj)] = owner
        found = left and _holders(left, _beginnings(objects))
        return Unloaded(tuple(paths), {each: tuple(found[each]) for each in paths
                                       if each in left.values()})


def _to_unload(root, scope, force):
    """Return {name: path}, dependents first; raise ImportError if a module outside imports one."""
    names, imports = _paths(_Scope(scope.include, (), root)), defaultdict(set)
    for name, version in _statements_of(names):
        imports[name].update(_targets(name, version, True), _parents(name))
    own = _paths(scope).keys() - scope.above
    inside = sorted(name for name in own if _matches(name, (root,)))
    below = _order(inside, lambda name: sorted(imports[name] & own))
    used = _order(imports.keys() - below, lambda name: imports[name].difference(inside))
    gone = {name: names[name] for name in reversed(below) if name not in used}
    outside = [name for name in names.keys() - gone if _targets(name, _running(name)).keys() & gone]
    if _batch or outside and not force:
        reason = "modules are being reloaded: do it afterwards" if _batch else (
            f"imported by {_listing(sorted(outside))}; unload these first, or pass force=True")
        raise ImportError(f"{root!r} cannot be unloaded: {reason}", name=root)
    return gone


def _holders(wanted, starts):
    """Return {name: {way: None}} of who holds {id: name}, from (words, object) on."""
    found, queue = defaultdict(dict), []
    passed_by = threading._active, *_frames(), *map(_namespace_of, list(sys.modules))
    above = dict.fromkeys(map(id, passed_by))
    for words, obj in starts:
        above[id(obj)] = words  # else {id: its holder}
        queue.append(obj)
    for holder in islice(queue, 2_000_000):  # to which the loop adds
        for part in gc.get_referents(holder):
            name = wanted.get(id(part))
            if name and len(found[name]) < 20:
                found[name][_way_to(part, holder, above, wanted)] = None
            if id(part) not in above:
                above[id(part)] = holder
                queue.append(part)
    return found


def _way_to(part, holder, above, wanted):
    """Return the way to a part of a holder, or to what is wanted itself above it."""
    way = ""
    while type(holder) is not str:
        kind, items, link = type(holder), _attributes(holder) or {}, ".__dict__"
        if type(part) is not dict or part is not items and not _is_class(holder):
            if kind is list or kind is tuple or issubclass(kind, dict):
                items, link = holder if issubclass(kind, dict) else dict(enumerate(holder)), ""
            keys = [key for key, value in list(dict.items(items))
                    if value is part and (type(key) is str or type(key) is int)]
            link = f"{link}[{keys[0]!r}]" if keys else ""  # else there are no words for it
        way = link + way if link and id(holder) not in wanted else ""
        part, holder = holder, above[id(holder)]
    way *= " " not in holder  # else no expression that could go on
    way = re.sub(r"__dict__\['(\w+)'\]|\.__dict__$", r"\1", holder + way)[:300]
    return re.sub(r"^[.\w]+\.loggerDict\[(.+?)\]", r"logging.getLogger(\1)", way)


def _beginnings(objects):
    """Yield (words, object) of where ways begin: an expression, or words with a space."""
    def where(frame):
        return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}, line {frame.f_lineno}"
    for name in list(sys.modules):
        yield f"{name}.__dict__", _namespace_of(name)
    for obj in objects:
        if type(obj) is types.CoroutineType and obj.cr_frame and not obj.cr_running:
            yield f"asyncio task in {where(obj.cr_frame)}", obj
    for ident, frame in sys._current_frames().items():
        thread = threading._active.get(ident)
        name = getattr(thread, "_name", ident)
        if issubclass(type(thread), threading.Timer):
            yield f"pending threading.Timer in {name}", thread
        while frame:
            if frame.f_code.co_filename not in (__file__, threading.__file__):
                held = [frame.f_globals]
                if frame.f_code.co_flags & _IN_FUNCTION:  # f_locals is Python's own
                    held += frame.f_locals.values()
                yield f"frame of {name} in {where(frame)}", held
            frame = frame.f_back


# -- L. watch: the automatic mode, and notebooks ---------------------------------------------------
# Guarantees that the next save is seen, and that a forked child waits for nothing of its parent's.
def watch(interval: float = 0.5, *, include: Names = (), exclude: Names = (),
          on_reload: Callable[[list[str]], object] | None = None,
          on_error: Callable[[BaseException], object] | None = None) -> Watcher:
    """Call `reload_changed` again and again in a daemon thread; return its `Watcher`.
    `interval` is the time between two looks, in seconds; `include` and `exclude` are as for
    `deep_reload`.  `on_reload(names)` is called after each reload, `on_error(error)` for each that
    failed; without it, that is logged.  Raise TypeError for other arguments.
    """
    if not (interval > 0 and callable(on_reload or print) and callable(on_error or print)):
        raise TypeError("interval takes seconds greater than 0, on_reload and on_error functions")
    watcher = Watcher(interval, include, exclude, on_reload, on_error)
    watcher._look()  # from here on: what was not known of what runs is what is on disk now
    watcher.start()
    return watcher


class Watcher(threading.Thread):
    """The automatic mode at work: `stop()` ends it; as a context manager it ends with the block."""
    def __init__(self, interval, include, exclude, on_reload=None, on_error=None):
        super().__init__(name="deepreload", daemon=True)
        self._interval, self._stopped = min(interval, threading.TIMEOUT_MAX), threading.Event()
        self._scope, self._on_reload, self._on_error = _Scope(include, exclude), on_reload, on_error

    def stop(self) -> None:
        """Stop watching; a reload under way is finished first."""
        if self.is_alive():  # in a forked child it is not, and may have left a lock
            self._stopped.set()
            if self is not threading.current_thread():
                self.join()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def run(self) -> None:
        before = found = {}
        while not self._stopped.wait(self._interval if found == before else 0.05):
            try:
                before, found = found, self._look()
                if found and found == before:  # a checkout comes as one
                    self._reload(found)
                    before = found = {}
            except BaseException as error:  # whatever it is: the next save must be seen
                _log().error("%s", error, exc_info=error.__cause__ or error)

    def _look(self):
        with _lock:
            return _changed(self._scope)

    def _reload(self, changed):
        try:
            names = reload_changed(include=self._scope.include, exclude=self._scope.exclude)
        except BaseException as error:
            if not self._on_error:
                raise
            return self._on_error(error)
        if names and self._on_reload:
            self._on_reload(names)


def load_ipython_extension(shell):
    """`%load_ext deepreload`: every cell begins with a `reload_changed()`."""
    def set_scope(line):
        """Set what the cells reload: include=NAME,NAME exclude=NAME; without words, the default."""
        scope = {option: each.split(",") for option, each in re.findall(r"([^\s=]+)=?(\S*)", line)}
        _Scope(**scope)  # raises TypeError for other options
        _before_cell.scope = scope
    _before_cell.shell, _before_cell.scope = shell, {}
    for cell in shell.user_ns.get("In", ()):
        _note_cell(cell)
    shell.register_magic_function(set_scope, magic_name="deepreload")
    shell.events.register("pre_run_cell", _before_cell)
    print("deepreload: your own modules are reloaded when you have saved them, before each cell")


def unload_ipython_extension(shell):
    """`%unload_ext deepreload`."""
    shell.events.unregister("pre_run_cell", _before_cell)


def _before_cell(info):
    try:
        reload_changed(**_before_cell.scope)
    except (Exception, SystemExit) as error:
        print(f"{_user_traceback(error)}deepreload: {error}", file=sys.stderr)
    _note_cell(info.raw_cell)


def _note_cell(cell):
    """Keep the code of a cell: it may have imported something by name."""
    with suppress(Exception):  # an unfinished cell
        cell = _before_cell.shell.transform_cell(cell)
        _cells.append(Version(None, compile(cell, "<cell>", "exec", 0x2000)))  # it may await


# -- M. the command line ---------------------------------------------------------------------------
# Guarantees that every run is a new process, in which all is as Python has it, but for a Watcher.
# It tells its parent the stats of the files it executes, or fails to: so that sees what is saved.
def main():
    """Do what the command line says; return the exit status."""
    import argparse
    parser = argparse.ArgumentParser(
        "deepreload", usage="python -m deepreload [options] (script.py | -m module) [args]",
        description="Run a script, swap in what is saved, run it again on a save after its end.",
        allow_abbrev=False)
    add = parser.add_argument
    flag = partial(add, action="store_true")
    names = partial(add, action="append", default=[], metavar="NAME")
    flag("--once", help="leave when the script ends, with its status")
    add("--interval", type=float, default=0.5, help="seconds between two looks (0.5)")
    names("--include", help="reload these modules too: a name or glob")
    names("--exclude", help="leave these modules alone")
    names("--restart", help="start again if these are saved; __main__ is the script")
    flag("--quiet", help="say only what fails")
    flag("--graph", help="import the script, and print what imports what")
    add("--version", action="version", version=f"deepreload {__version__}")
    flag("-m", help="run a module, as python -m does")
    add("argv", nargs=argparse.PARSER, metavar="script", help="script and arguments")
    parser.parse_args(namespace=_options)
    if not _options.interval > 0:
        parser.error("--interval takes a number of seconds greater than 0")
    return _run() if _options.once or _options.graph else _supervise()


def _say(text, failed=False):
    if failed or not _options.quiet:  # in one piece, as the script writes, too
        print(f"deepreload: {text}\n", end="", file=sys.__stderr__, flush=True)


def _supervise():
    """Run the program, and again on each save after its end; return its status after a signal."""
    def note(number, frame):
        if status is not None:  # the program has ended
            raise SystemExit(status)
        signals.append(number)
        if number == signal.SIGTERM or not any(map(os.isatty, range(3))):
            timer = threading.Timer(delays[number], child.send_signal, [number])
            timer.daemon = True
            timer.start()
    import ast
    import signal
    import subprocess
    import tempfile
    status, stats, signals = 0, {}, []
    delays = {signal.SIGINT: 3, signal.SIGTERM: 0.5}  # the program may have got it, too
    for number in delays:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: for the child, too
            signal.signal(number, note)
    for option in vars(_options):
        if "--" + option in _options.argv:
            _say(f"--{option} goes to {_options.argv[0]}: options for deepreload come first")
    with tempfile.TemporaryDirectory() as folder:
        told = os.path.join(folder, "told")
        start = (f"import sys; sys.path[:] = {sys.path!a}; import {__name__} as it; "
                 f"it._options.told = {told!a}; sys.exit(it.main())")
        command = [sys.executable, *subprocess._args_from_interpreter_flags(),
                   *["-u"] * getattr(sys.stdout, "write_through", False), "-c", start, "--once"]
        while True:
            status = None
            with open(told, "w+") as file:
                child = subprocess.Popen([*command, *sys.argv[1:]], close_fds=False)
                status = 128 - child.returncode if child.wait() < 0 else child.returncode
                stats.update(map(ast.literal_eval, file))
            if signals or not stats:
                return status
            stats = _wait_for_save(stats, status)


def _wait_for_save(stats, status):
    """Wait until a file of the program is saved, or new beside what -m runs; return the stats."""
    def look():
        paths = chain(stats, *map(glob.glob, beside))
        return {path: _stat(path) or stats.get(path) for path in paths}
    import glob
    beside = {os.path.dirname(path) + "/*.py" for path in stats} if _options.m else ()
    now = stats = {**look(), **stats}
    _say(f"{_options.argv[0]} ended with status {status}; it runs again on the next save "
         "(Ctrl-C leaves)", failed=status)
    while now == stats:
        time.sleep(_options.interval)
        now = look()
    return now


def _tell(path, stat):
    """Tell of a file that is executed, or fails; the parent at once, as who is killed cannot."""
    _seen.pop(path, None)
    if path and _options.told and not _is_foreign(path):
        _drop_bytecode(path, stat)  # an earlier run's: it knows its source by whole seconds only
        with suppress(OSError), open(_options.told, "a") as file:  # a daemon may outlive the parent
            print(ascii((path, stat)), file=file)


def _run():
    """Run the program here, or show its graph; return the status."""
    runner = None
    try:
        runner = _Runner()
        if _options.graph:
            name = re.sub(r"\.py$", "", os.path.basename(_options.argv[0]))
            _say(f"importing {name} to see what it imports")
            __import__(name)
            graph = import_graph(include=_options.include + [name], exclude=_options.exclude)
            for name in graph:
                print(f"{name}:", *graph[name])
        else:
            runner.start()
            exec(runner.version.code, _namespace_of("__main__"))
        return 0
    except SystemExit:
        if not runner:  # there is nothing to run, nor to wait for
            open(_options.told or os.devnull, "w").close()
        raise
    except BaseException as error:
        for path in _concerned(error).keys() - _runs:  # what runs may have been saved since
            _tell(path, _stat(path))
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1


class _Runner(Watcher):
    """Sets `__main__`, sys.argv and sys.path as Python does; swaps in what is saved meanwhile."""
    def __init__(self):
        import runpy
        super().__init__(_options.interval, _options.include, _options.exclude)
        name, spec, path = _options.argv[0], None, os.path.abspath(_options.argv[0])
        if not getattr(sys.flags, "safe_path", sys.flags.isolated):  # Python 3.11
            sys.path[0] = os.getcwd() if _options.m else os.path.dirname(os.path.realpath(name))
        sys.argv[:] = _options.argv
        if _options.m:
            spec = runpy._get_module_details(name, SystemExit)[1]
            sys.argv[0] = path = spec.origin
        elif not os.path.isfile(path):
            sys.exit(f"deepreload: there is no file {path}")
        for word in _options.include + _options.exclude + _options.restart:
            if word.isidentifier() and word not in sys.modules and not _find_spec(word):
                _say(f"there is no module {word!r}")
        loader = spec.loader if spec else SourceFileLoader("__main__", path)
        self.path, self.stat = path, _stat(path)
        self.read = lambda stat: Version(
            stat, compile(loader.get_data(path), path, "exec", dont_inherit=True), path)
        _tell(path, self.stat)
        self.version = _runs[path] = self.read(self.stat)
        module = sys.modules["__main__"] = ModuleType("__main__")
        vars(module).update(__builtins__=builtins, __file__=path, __loader__=loader,
                            __spec__=spec, __package__=spec and spec.parent)

    def _look(self):
        changed, stat = super()._look(), _stat(self.path)
        return changed if stat in (None, self.stat) else {**changed, "__main__": stat}

    def _reload(self, changed):
        """Reload what changed; the script last, as what it imports may be among that."""
        names = [name for name in changed if _matches(name, _options.restart)]
        if names:
            _say(f"{_listing(names)} saved: the program starts again")
            self._stopped.set()
            return os.kill(os.getpid(), 15)  # SIGTERM
        try:
            names = reload_changed(include=_options.include, exclude=_options.exclude)
            if "__main__" in changed and self.swap(changed["__main__"]):
                names.append("__main__")
        except BaseException as error:
            _say(f"the old code goes on\n{_user_traceback(error)}{error}", failed=True)
            names += getattr(error, "reloaded", ())
        if names:
            _say(f"reloaded {_listing(names)}")

    def swap(self, stat):
        """Let the script's functions follow their code, if nothing but their bodies has changed."""
        self.stat = stat  # if it cannot be compiled, that is said once
        version = self.read(stat)
        if not _let_follow(self.version, version, _outline):
            return _say("changes outside function bodies wait for a new start (--restart __main__)")
        self.version = version
        return True


if __name__ == "__main__":  # what runs must be the module that others import, and not this one
    sys.exit(importlib.import_module(__spec__.name if __spec__ else "deepreload").main())
if hasattr(os, "register_at_fork"):  # the threads that may hold the lock are not in the child
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.RLock()))
_note_what_runs()
with suppress(Exception):  # what runs is what the files say now
    import_graph()
_adopt_code()
