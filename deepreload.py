# SPDX-License-Identifier: MIT
#
# Copyright (c) 2026 the deepreload authors
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
# documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
# rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
# persons to whom the Software is furnished to do so, subject to the following conditions: the above copyright notice and
# this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED
# "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
# MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
# HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
# ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""Reload and unload modules deeply: the module, all it imports, and what the program holds of them.

    deep_reload(pkg)                    execute pkg and what it imports again, leaves first
    reload_changed()                    execute what changed on disk and what imports it
    python -m deepreload script.py      run a script and swap in every module that is saved

After a reload the modules hold what a new process importing the same files would give them; the module objects,
functions, classes and enum members that the program holds stay the same objects and run the new code.  A module that
fails to parse, to import or to run undoes the whole reload.

What it will not do: execute the standard library, installed packages, extension modules or ``__main__`` again unless
they are named; undo what module bodies do outside the reloaded modules (files, sockets, lists in other modules); change
the frames that are running; put a class whose slots, layout or metaclass changed behind the old class object; follow a
definition that moves to another module.
"""

import atexit
import builtins
import collections.abc
import functools
import gc
import importlib.machinery
import importlib.util
import opcode
import os
import re
import sys
import threading
import time
import types
import weakref
from _abc import _get_dump
from importlib import _bootstrap
from itertools import chain, compress
from operator import attrgetter, is_, itemgetter

__version__ = "1.0"
__all__ = ["deep_reload", "deep_unload", "reload_changed", "is_changed", "watch", "import_graph", "reload_order",
           "ReloadError"]

# The data, in the order in which a reload makes it:
#   Facts     what a code object says of its module: imports in order, names it binds (from its bytecode or its source)
#   _seen     {path: Seen}: the code that was last executed from each file, what the file was then, and the names that
#             importlib.reload() has left of older code
#   Source    what a module's file says now: spec, code, facts
#   _Table    what is known of the modules in a scope as long as the same ones are loaded: stamps of files, edges, plans
#   Edges     the imports of one module of them: of which code, while it held which modules, {name: late}
#   Plan      {name: Source} of the modules to execute; their import statements say in which order
#   Batch     one reload under way: the plan, what is not executed yet, and the log that undoes everything
#   View      the namespace that one module's code sees while the batch executes it
Import = collections.namedtuple("Import", "name level names late")
Facts = collections.namedtuple("Facts", "imports froms imported binds globals inspects dynamic")
Seen = collections.namedtuple("Seen", "signature settled code facts left", defaults=(frozenset(),))
Source = collections.namedtuple("Source", "name spec path signature code facts")
Edges = collections.namedtuple("Edges", "code modules edges")

_MISSING = object()
_lock = threading.RLock()
_UNKNOWN = Seen(None, False, None, None)
_NO_EDGES = Edges(_MISSING, None, {})
_seen = {}
_batch = None
_grown = 0  # blocks of memory that reloads have left allocated since they last collected all garbage
_compiled = None  # {path: signature} of the files that a run of the command line has compiled, failed imports included


class ReloadError(ImportError):
    """A reload that was undone: every module, class and function is as before the call.

    `name` is the module that failed, `path` its file, `__cause__` the original exception.
    """


# -- reloading ----------------------------------------------------------------------------------------------------------

def deep_reload(module, *, include=(), exclude=()):
    """Execute `module` and all it imports again, leaves first, as a new process would.

    `module` is a loaded module or its dotted name; of a package all loaded submodules are executed again too.
    `include` and `exclude` are names or globs (one or several; a name covers its submodules, `exclude` wins): modules
    outside the scope to reload as well, and modules to leave alone.  Return the module, the same object as before.
    Raise TypeError or ImportError for what cannot be reloaded, ReloadError if a module fails: then nothing has changed.
    """
    name = _named(module)
    with _lock:
        if _batch is not None:  # called by a module that is being reloaded: an import like any other
            _batch.enter(name)
        else:
            Batch(lambda: _plan_deep(name, include, exclude), joins=True).execute()
        return sys.modules[name]


def reload_order(module, *, include=(), exclude=()):
    """Return the names that `deep_reload` with these arguments would execute, in the order in which they would finish."""
    name = _named(module)
    with _lock:
        return _plan_deep(name, include, exclude).order()


def import_graph(*, include=(), exclude=()):
    """Return {name: [names it imports]} of the loaded modules in scope, each list in the order of the imports."""
    with _lock:
        plan = Plan(_Scope(include, exclude))
        names = plan.scope.loaded()
        return {name: [t for t in plan.imports(plan.load(name)) if t in names and t != name] for name in names}


def _named(module):
    """The name in sys.modules of what the caller asked for, or the error that says what to do."""
    if not isinstance(module, (str, types.ModuleType)):
        raise TypeError(f"expected a module or its dotted name, not {type(module).__name__}")
    name = module if isinstance(module, str) else getattr(_spec_of(module), "name", None) or _dict_of(module).get("__name__") or "?"
    if not name:
        raise TypeError("expected a module or its dotted name, not an empty string")
    found = sys.modules.get(name)
    if found is None:
        raise ImportError(f"module {name!r} is not loaded: import it first", name=name)
    if isinstance(module, types.ModuleType) and found is not module:
        raise ImportError(f"this module {name!r} is not in sys.modules any more: import it again and pass that one", name=name)
    reason = _fixed(name, found)
    if reason:
        raise ImportError(f"{name!r} {reason}", name=name)
    return name


def _fixed(name, module):
    """Why this entry of sys.modules is never executed again, or None."""
    if name in ("__main__", "__mp_main__"):
        return "is the running script: put what you want to reload into a module"
    if module is sys.modules.get(__name__) or name == __name__:
        return "is the reloader itself: restart the process to change it"
    if not issubclass(type(module), types.ModuleType):
        return f"is a {type(module).__name__} in sys.modules, not a module: reload the module that put it there"
    spec = _spec_of(module)
    if spec is None:
        return "has no __spec__: it was not imported from a file, make it anew instead"
    if type(module) is importlib.util._LazyModule:
        return "is not loaded yet: use it first"
    loader = spec.loader
    if loader in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter):
        return "is compiled into the interpreter: it can be neither executed again nor unloaded"
    if isinstance(loader, importlib.machinery.ExtensionFileLoader):
        return "is an extension module, which can be neither initialised twice nor unloaded: restart the process to change it"
    if loader is not None and not (hasattr(loader, "exec_module") or hasattr(loader, "get_code")):
        return "has a loader without exec_module(), which cannot execute it again"
    if name in _USED:
        return "is what the reloader itself runs on: restart the process to change it"
    if spec.name != name:
        return f"is another name of {spec.name!r}: use that one"
    if getattr(spec, "_initializing", False) and _batch is None:
        return "is being imported: wait until that is done"
    return None


_USED = {value.__name__ for value in list(globals().values()) if type(value) is types.ModuleType}
_dict_of = types.ModuleType.__dict__["__dict__"].__get__


def _namespace_of(name):
    """The namespace of a loaded module; {} for anything else that sys.modules holds."""
    module = sys.modules.get(name)
    return _dict_of(module) if issubclass(type(module), types.ModuleType) else {}


@functools.lru_cache(None)
def _parents(name):
    """The packages above name, outermost first."""
    parts = name.split(".")
    return tuple(".".join(parts[:i]) for i in range(1, len(parts)))


def _plan_deep(name, include, exclude):
    scope = _Scope(include, exclude, name)
    if name not in scope:
        raise ImportError(f"{name!r} is excluded: take it out of exclude to reload it", name=name)
    known = scope.table().plans.get(name)
    if known is not None and known.holds():
        return known.copy()
    plan = Plan(scope, skip=_parents(name))
    plan.gather([name] + [each for each in list(sys.modules) if each.startswith(name + ".") and each in scope])
    source = plan.sources[name]
    if source.spec is None:
        raise ReloadError(f"{name}: its file {source.path} is gone; nothing was reloaded", name=name, path=source.path)
    plan.visit_late()
    if all(map(_runs, plan.sources.values())):  # what runs anew may import something else
        plan.table.plans[name] = plan.copy()
    return plan


class _Scope:
    """The modules that may be executed again: the user's own, what is included, and the package of the named one."""

    def __init__(self, include=(), exclude=(), named=None):
        self.include, self.exclude = _patterns("include", include), _patterns("exclude", exclude)
        self.top = named and named.partition(".")[0]

    def __contains__(self, name):
        module = sys.modules.get(name)
        return module is not None and not _fixed(name, module) and self.covers(name, _dict_of(module)["__spec__"])

    def covers(self, name, spec):
        if _matches(name, self.exclude):
            return False
        return name.partition(".")[0] == self.top or _matches(name, self.include) or _is_own(spec)

    def loaded(self):
        """The names of the loaded modules in scope, in the order of sys.modules."""
        return self.table().names

    def table(self):
        modules = list(sys.modules.values())
        key = tuple(sys.modules), tuple(map(id, modules)), list(map(type, modules)).count(importlib.util._LazyModule)
        table = _tables.get((self.include, self.exclude, self.top))
        if table is None or table.key != key:
            if len(_tables) > 8:
                _tables.clear()
            table = _tables[self.include, self.exclude, self.top] = _Table(key, [name for name in key[0] if name in self])
            if any(getattr(_spec_of(module), "_initializing", False) for module in list(sys.modules.values())):
                table.key = None  # what another thread is importing comes into scope without a change of sys.modules
        return table


class _Table:
    """What is known of the modules in a scope, as long as the same modules are loaded."""

    def __init__(self, key, names):
        self.key, self.names = key, {name: _file_of(_spec_of(sys.modules.get(name))) for name in names}
        self.parents = {name.rpartition(".")[0] for name in list(sys.modules)}
        self.stamps = {}  # {path: what os.stat said of it when nothing there had changed}
        self.edges, self.linked = {}, {}  # {name: Edges of the code that runs}, those in dependents: {name: {target: late}}
        self.dependents = collections.defaultdict(dict)  # {target: {importer: late}}, brought up to date when it is asked for
        self.plans = {}  # {name: the last plan for a deep reload of it}
        modules = [module for module in list(sys.modules.values()) if issubclass(type(module), types.ModuleType)]
        self.alive = [weakref.ref(module, self.outlive) for module in modules]

    def outlive(self, reference):
        self.key = None  # another module may come to the same name and the same address

    @functools.cached_property
    def at(self):
        """{path of a file or folder: [names of the modules that a change there may concern]}"""
        at = {}
        for name, path in self.names.items():
            spec, places = _spec_of(sys.modules[name]), ()
            if not _opaque(spec):
                places = path, os.path.dirname(path)  # a package may appear beside a module of its name
            elif path is None:
                places = [folder for folder in spec.submodule_search_locations or () if isinstance(folder, str)]
            for place in places:
                at.setdefault(place, []).append(name)
        return at

    def link(self, name, edges):
        """Say who imports whom anew for the imports of one module."""
        for target in self.linked.get(name, ()):
            self.dependents[target].pop(name, None)
        for target, late in edges.items():
            self.dependents[target][name] = late
        self.linked[name] = edges


_tables = {}


def _patterns(option, value):
    patterns = (value,) if isinstance(value, str) else tuple(value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{option} takes names or globs, not {type(pattern).__name__}")
    return patterns


def _matches(name, patterns):
    if not patterns:
        return False
    from fnmatch import fnmatchcase
    return any(fnmatchcase(part, pattern) for part in (*_parents(name), name) for pattern in patterns)


_STDLIB = os.path.normcase(os.path.dirname(os.__file__)) + os.sep
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


def _is_own(spec):
    """Whether a spec is of the user's own source: not of the standard library, not of an installed package."""
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return bool(places) and all(isinstance(p, str) and not _in_stdlib(p) and not _INSTALLED.search(p + os.sep) for p in places)


def _in_stdlib(path):
    return isinstance(path, str) and os.path.normcase(path).startswith(_STDLIB) and not _INSTALLED.search(path + os.sep)


# -- reading modules ----------------------------------------------------------------------------------------------------

def _signature(path):
    """What os.stat says of a file, for comparing with != only; None for no file."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError, TypeError):
        return None


def _file_of(spec):
    return spec.origin if spec is not None and spec.has_location else None


_stamp = attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino")


def _settled(signature):
    """Whether a later edit would show in the signature: the clock of the file system has moved on since the last one.

    The kernel's clock ticks every few milliseconds; a time of whole seconds is that of a coarse file system (FAT, HFS+).
    """
    newest = max(signature[:2])
    return time.time_ns() - newest > (50_000_000 if newest % 1_000_000_000 else 2_000_000_000)


def _note_executions():
    """Hear of the code of every module that is executed.

    Nothing else tells, after a file was edited, what is running: which names were its own, and whether it changed at all.
    """
    get_code = importlib.machinery.SourceFileLoader.get_code
    if not hasattr(get_code, "deepreload_notes"):
        importlib.machinery.SourceFileLoader.get_code = get_code = _noting(get_code)
    get_code.deepreload_notes[__name__] = _note  # each copy of this file in a process has an entry, however often it is executed


def _noting(get_code):
    """What stands in the place of SourceFileLoader.get_code."""
    executes, notes = importlib.machinery.SourceFileLoader.exec_module.__code__, {}

    def noting_get_code(self, fullname):
        caller = sys._getframe(1)
        inner = caller.f_code.co_name == "get_code"  # of a subclass, which may make other code of it
        if (caller.f_back if inner else caller).f_code is not executes:
            return get_code(self, fullname)
        code, signature, before = None, None, _signature(self.path)  # before the file is read
        try:
            code = get_code(self, fullname)
            signature = before
        finally:
            for note in list(notes.values()):
                note(self, fullname, signature, None if inner else code)
        return code

    # its frame must pass for one of the import system's, which Python takes out of tracebacks
    noting_get_code.__code__ = noting_get_code.__code__.replace(co_filename=executes.co_filename)
    noting_get_code.deepreload_notes = notes
    return noting_get_code


def _note(loader, name, signature, code):
    """Keep the code that is about to be executed as `name`, if it is known, and what its file was."""
    path, facts = loader.path, None
    if _compiled is not None:
        _compiled[path] = signature or _signature(path)
    before = _seen.get(path, _UNKNOWN)
    if signature is None or before.signature not in (None, signature) and _runs_as_another(path, name):
        return
    if code is not None and not _knows_bytecode() and not _in_stdlib(path):
        facts = _read_source(path)  # later the file may be another
    left = before.left.union(_facts(before.code, path).binds) if name in sys.modules and before.code not in (None, code) else ()
    _seen[path] = Seen(signature, _settled(signature), code, facts, frozenset(left))


def _runs_as_another(path, name):
    """Whether a module of another name runs this file as it was before: it has changed until that is reloaded, too."""
    return any(other != name and getattr(_spec_of(module), "origin", None) == path for other, module in list(sys.modules.items()))


def _load(name, spec):
    """Find and compile what a module's file says now; a Source without spec is a module whose file is gone."""
    path = _file_of(spec)
    signature = _signature(path)
    if signature and spec is _spec_of(sys.modules.get(name)):
        _running(name, spec, signature)  # which may be what the file says
    found = _spec_now(name, spec, path, signature)
    if found is None:
        return Source(name, None, path, None, None, _NO_FACTS)
    if found is not spec:
        spec, path = found, _file_of(found)
        signature = _signature(path)
    code = _code_of(name, spec, path, signature)
    return Source(name, spec, path, signature, code, _facts(code, path))


def _spec_now(name, spec, path, signature):
    """The spec itself, or what the finders say if its file is gone or has become a package; None if they find nothing."""
    if path is None:
        folders = spec.submodule_search_locations or ()  # of a namespace package
        moved = any(os.path.isfile(os.path.join(folder, "__init__.py")) for folder in folders if isinstance(folder, str))
    else:
        moved = (signature is None or _became_package(path)) and not _opaque(spec)
    return _find_spec(name) if moved else spec


def _opaque(spec):
    """A module that is not a file of its own: from a zip archive, made by an importer of its own, a namespace package."""
    return not spec.has_location or not hasattr(spec.loader, "get_filename") or not hasattr(spec.loader, "path_stats")


def _became_package(path):
    return path.endswith(".py") and not path.endswith("__init__.py") and os.access(path[:-3] + os.sep + "__init__.py", os.F_OK)


def _find_spec(name, path=_MISSING):
    """Ask the finders for a module's spec, whatever sys.modules says; None if there is none."""
    if path is _MISSING:
        parent = name.rpartition(".")[0]
        path = _dict_of(sys.modules[parent]).get("__path__", ()) if parent else None
    return _bootstrap._find_spec(name, path)


def _code_of(name, spec, path, signature):
    """The module's code as its file is now: what runs already, the bytecode where it cannot lie, or compiled from source."""
    loader = spec.loader
    if loader is None or not hasattr(loader, "get_code") or _executes_itself(loader):
        return None
    seen = _seen.get(path, _UNKNOWN)
    if seen.code is not None and seen.settled and seen.signature == signature is not None:
        return seen.code
    if hasattr(loader, "archive"):  # a zip archive is read by the directory that it had at first
        sys.modules["zipimport"]._zip_directory_cache.pop(loader.archive, None)
        loader = type(loader)(os.path.join(loader.archive, loader.prefix))
    if getattr(type(loader), "get_code", None) is not importlib.machinery.SourceFileLoader.get_code or _bytecode_is_sound(spec, signature):
        return loader.get_code(name)
    return loader.source_to_code(loader.get_data(path), path)


def _executes_itself(loader):
    """Whether a loader has an exec_module of its own, which only itself can stand for."""
    return getattr(type(loader), "exec_module", None) not in (None, importlib.machinery.SourceFileLoader.exec_module)


def _drop_bytecode(specs):
    """Remove the bytecode files with which the next import might run old code."""
    for spec in specs:
        signature = _signature(_file_of(spec))
        if signature and spec.cached and not _bytecode_is_sound(spec, signature):
            try:
                os.unlink(spec.cached)
            except OSError:
                pass


def _bytecode_is_sound(spec, signature):
    """A .pyc knows its source by size and whole seconds only: trust one that is younger than the last change of the source."""
    written = _signature(spec.cached) if spec.cached and signature else None
    return bool(written) and written[0] - max(signature[:2]) > 50_000_000 and _settled(signature)


# -- what a code object says --------------------------------------------------------------------------------------------

_NO_FACTS = Facts((), (), frozenset(), {}, {}, frozenset(), None)
_IMPORT_NAME, _IMPORT_FROM, _STORE_NAME, _STORE_GLOBAL, _DELETE_NAME, _LOAD_NAME, _LOAD_CONST, _LOAD_SMALL_INT, _EXTENDED_ARG = (
    opcode.opmap.get(name, 256) for name in ("IMPORT_NAME", "IMPORT_FROM", "STORE_NAME", "STORE_GLOBAL", "DELETE_NAME", "LOAD_NAME",
                                             "LOAD_CONST", "LOAD_SMALL_INT", "EXTENDED_ARG"))  # 256 is in no code
_AT_TOP, _NESTED, _IMPORTS = (  # for bytes.translate(): 1 for the instructions to look at
    bytes(op in wanted for op in range(256))
    for wanted in ((_STORE_NAME, _STORE_GLOBAL, _DELETE_NAME), (_STORE_GLOBAL,), (_IMPORT_NAME, _IMPORT_FROM)))
_NAME_SHIFT = 2 if sys.version_info >= (3, 15) else 0  # PEP 810 keeps flags in the low bits of IMPORT_NAME's argument
_PROBE = "import a.b\nfrom . import c as d\nfrom ..e import *\ndef f():\n import g\n global h\n h = 1\nclass k:\n from l import m"
_PROBE_SAYS = ((("a.b", 0, (), False), ("", 1, ("c",), False), ("e", 2, ("*",), False), ("l", 0, ("m",), False), ("g", 0, (), True)),
               (("", 1, "c", "d"), ("e", 2, "*", "*")))
_IN_FUNCTION = 1  # CO_OPTIMIZED: set for functions, not for modules and class bodies


def _facts(code, path=None):
    """What code says; of the code that a file runs, this is read once.

    It is read from the bytecode; where this Python has another one than is known here, from the source.
    """
    if code is None:
        return _NO_FACTS
    seen = _seen.get(path, _UNKNOWN)
    if seen.code is code and seen.facts is not None:
        return seen.facts
    facts = _read_code(code) if _knows_bytecode() else _read_source(path or code.co_filename)
    if seen.code is code:
        _seen[path] = Seen(seen.signature, seen.settled, code, facts, seen.left)
    return facts


def _knows_bytecode(known=[]):
    """Whether instructions are encoded as this file thinks, tried once on a probe whose facts are known."""
    if not known:
        try:
            facts = _read_code(compile(_PROBE, "", "exec"))
            known.append((facts.imports, facts.froms) == _PROBE_SAYS and {*"adfhk"} <= set(facts.binds))
        except (LookupError, ValueError):
            known.append(False)
    return known[0]


def _read_code(code):
    """The facts of a module's code and of all code inside it."""
    imports, froms, binds, set_globally, inside = [], [], {}, {}, [(code, False)]
    _scan(code, code.co_code, False, imports, binds, set_globally, froms)
    for outer, late in inside:  # to which the loop adds
        for inner in outer.co_consts:
            if type(inner) is types.CodeType:
                within, raw = late or inner.co_flags & _IN_FUNCTION != 0, inner.co_code
                inside.append((inner, within))
                if _IMPORT_NAME in raw or _STORE_GLOBAL in raw:  # or an argument that looks like one, which the scan passes over
                    _scan(inner, raw, within, imports, binds, set_globally)
    none = _TELLING.isdisjoint(chain.from_iterable([each.co_names for each, _ in inside]))
    telling = () if none else [each for each, _ in inside if not _TELLING.isdisjoint(each.co_names)]
    at_once = [each for each in telling if each is code or each.co_name.endswith(("comp>", "genexpr>"))]
    inspects = _INSPECTORS.intersection(chain.from_iterable([each.co_names for each in at_once]))
    imports.sort(key=_late)
    return Facts(tuple(imports), tuple(froms), frozenset(map(_bound, froms)), binds, set_globally, inspects, _dynamic(code, telling))


def _dynamic(code, telling):
    """((text, late), ...) of the strings that may be names for import_module(); None if no code names that."""
    importers = [each for each in telling if not _IMPORTERS.isdisjoint(each.co_names)]
    if not importers:
        return None
    in_functions = {(const, True) for each in importers for const in _dotted(each.co_consts)}
    late = False if code in importers else _AT_RUN_TIME
    return tuple((const, late) for const in _dotted(code.co_consts)) + tuple(sorted(in_functions))


_bound = itemgetter(3)
_late = attrgetter("late")
_IMPORTERS = {"import_module", "__import__"}
_AT_RUN_TIME = 0.5  # for `late`: between what is executed with the module and (True) with its functions
_INSPECTORS = {"globals", "locals", "vars", "dir", "exec", "setattr"}  # what can bind names unseen, or look at them
_LOOKS = {"globals", "locals", "vars", "dir"}
_TELLING = _IMPORTERS | _INSPECTORS


def _dotted(constants):
    """The strings among constants, and in the tuples among them, that may be names of modules."""
    flat = [const for each in constants for const in (each if type(each) is tuple else (each,))]
    return [const for const in flat if type(const) is str and const.replace(".", "a").isidentifier()]


def _scan(code, raw, late, imports, binds, set_globally, froms=None):
    """Collect what one code object imports and binds; `froms` is for the module's own code only."""
    ops, args, names, consts = _instructions(code, raw)
    top = froms is not None
    for arg in compress(args, ops.translate(_NESTED)) if _STORE_GLOBAL in ops else ():
        if top or names[arg] not in binds:
            set_globally[names[arg]] = top  # past the view: by the module itself, or by functions only
    for arg in compress(args, ops.translate(_AT_TOP if top else _NESTED)):
        binds[names[arg]] = binds.get(names[arg], 0) + 1
    for index in compress(range(len(ops)), ops.translate(_IMPORTS)) if _IMPORT_NAME in ops else ():
        if ops[index] == _IMPORT_NAME:
            name, level = names[args[index] >> _NAME_SHIFT], _constant(ops, args, consts, index - 2)
            fromlist = _constant(ops, args, consts, index - 1) or ()
            imports.append(Import(name, level, fromlist, late))
            if top and fromlist == ("*",):
                froms.append((name, level, "*", "*"))
        elif top and fromlist:  # else it is `import a.b as c`
            froms.append((name, level, names[args[index]], names[args[index + 1]]))


def _instructions(code, raw):
    """The opcodes of code, their arguments, and the names and constants that these count, without the EXTENDED_ARG prefixes."""
    if "TYPE_CHECKING" in code.co_names:
        return _disassembled(code)
    ops, args = raw[::2], raw[1::2]
    if _EXTENDED_ARG in ops:
        plain, high = [], 0
        for op, arg in zip(ops, args):
            arg |= high
            high = arg << 8 if op == _EXTENDED_ARG else 0
            if op != _EXTENDED_ARG:
                plain.append((op, arg))
        ops, args = bytes([op for op, arg in plain]), [arg for op, arg in plain]
    return ops, args, code.co_names, code.co_consts


def _disassembled(code):
    """The same by `dis`, which knows where jumps go, without what stands under `if TYPE_CHECKING:`: it is not executed."""
    import dis
    skipped, found = set(), [i for i in dis.get_instructions(code) if i.opname not in ("TO_BOOL", "EXTENDED_ARG", "CACHE")]
    for load, jump in zip(found, found[1:]):
        if load.argval == "TYPE_CHECKING" and load.opname.startswith("LOAD") and jump.opname.endswith("IF_FALSE"):
            skipped.update(range(load.offset, jump.argval))
    found = [i for i in found if i.offset not in skipped]
    ops = bytes([i.opcode if i.argval in code.co_names else _LOAD_CONST for i in found])  # no others are asked for
    args = [index << _NAME_SHIFT if op == _IMPORT_NAME else index for index, op in enumerate(ops)]
    values = [i.argval for i in found]
    return ops, args, values, values


def _constant(ops, args, consts, index):
    """The constant that an instruction loads."""
    if ops[index] == _LOAD_CONST:
        return consts[args[index]]
    if ops[index] == _LOAD_SMALL_INT:
        return args[index]
    raise LookupError(f"instruction {ops[index]} before an import")


def _read_unbound(code, names, never):
    """Those of the names that code inside a module's reads as globals before the module has bound them: class bodies and
    comprehensions, which are executed at once, any of them; functions those that it never binds."""
    if not _may_read(code, names, never):
        return set()
    import dis
    found, unbound, reads = set(), set(names), _READS if code.co_name != "<module>" else ()
    for instruction in dis.get_instructions(code):
        value = instruction.argval
        if type(value) is types.CodeType:
            found |= _read_unbound(value, unbound if _at_once(value) else never, never)
        elif instruction.opname in reads:
            found |= {value} & unbound
        elif instruction.opname == "STORE_NAME":
            unbound.discard(value)
    return found


def _may_read(code, names, never):
    """Whether one of the names stands in code where it matters: this is much faster to find out."""
    if code.co_name != "<module>" and not names.isdisjoint(code.co_names):
        return True
    inside = [(c, names if _at_once(c) else never) for c in code.co_consts if type(c) is types.CodeType]
    return any([wanted and _may_read(c, wanted, never) for c, wanted in inside])


def _at_once(code):
    return not code.co_flags & _IN_FUNCTION or code.co_name.endswith("comp>")


_READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")


def _guarded(source):
    """The names that a module's code reads in `try: x` with `except NameError:`: these survive a reload."""
    if source.code is None or "NameError" not in source.code.co_names:
        return frozenset()
    import ast
    try:
        nodes = list(ast.walk(ast.parse(source.spec.loader.get_source(source.spec.name))))
    except (AttributeError, OSError, SyntaxError, TypeError, ValueError):
        return frozenset()
    guards = [n for n in nodes if isinstance(n, ast.Try) and any("NameError" in ast.dump(h.type) for h in n.handlers if h.type)]
    return {n.value.id for guard in guards for n in guard.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Name)}


def _read_source(path):
    """The facts from a source file, for a Python whose bytecode this file does not know."""
    import ast
    try:
        with open(path, "rb") as file:
            scopes = [(ast.parse(file.read()), False)]
    except (OSError, SyntaxError, ValueError):
        return _NO_FACTS
    facts = Facts([], [], (), {}, {}, set(), set())
    for scope, late in scopes:
        scopes += _read_scope(scope, late, facts)
    facts.imports.sort(key=_late)
    dynamic = None if _IMPORTERS.isdisjoint(facts.dynamic) else tuple((text, _AT_RUN_TIME) for text in _dotted(sorted(facts.dynamic)))
    return facts._replace(imports=tuple(facts.imports), imported=frozenset(map(_bound, facts.froms)), dynamic=dynamic)


def _read_scope(scope, late, facts):
    """Add what a module, class or function does itself to the facts; return [(scope, late)] of those inside it."""
    import ast
    top, nodes = type(scope) is ast.Module, list(_nodes_of(scope))
    declared = {name for node in nodes if type(node) is ast.Global for name in node.names}
    for node in nodes:
        if type(node) in (ast.Import, ast.ImportFrom):
            _read_import(node, top, late, facts)
        elif type(node) in (ast.Name, ast.Attribute):
            name = {getattr(node, "id", getattr(node, "attr", None))}
            facts.dynamic.update(name & _IMPORTERS)
            facts.inspects.update(name & _INSPECTORS if top else ())
        elif type(node) is ast.Constant and type(node.value) is str:
            facts.dynamic.add(node.value)
    bound = [name for node in nodes for name in _names_bound(node) if top or name in declared]
    for name in declared.intersection([*bound, *facts.binds]):
        facts.globals.setdefault(name, top or name in facts.binds)
    for name in bound:
        facts.binds[name] = facts.binds.get(name, 0) + 1
    functions = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda
    return [(node, late or isinstance(node, functions)) for node in nodes if isinstance(node, (*functions, ast.ClassDef))]


def _nodes_of(scope):
    """Yield what stands in a module, class or function, in the order of the source, but not what is in scopes of their own
    or under `if TYPE_CHECKING:`, where it is not executed."""
    import ast
    stack = list(ast.iter_child_nodes(scope))[::-1]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ast.If) and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING":
            stack += node.orelse[::-1]
        elif isinstance(node, ast.comprehension):  # its variables are its own
            stack += [*node.ifs, node.iter]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            stack += list(ast.iter_child_nodes(node))[::-1]


def _read_import(node, top, late, facts):
    import ast
    if type(node) is ast.Import:
        facts.imports.extend(Import(alias.name, 0, (), late) for alias in node.names)
        return
    module, level, names = node.module or "", node.level, [(alias.name, alias.asname or alias.name) for alias in node.names]
    facts.imports.append(Import(module, level, tuple(name for name, bound in names), late))
    facts.froms.extend((module, level, *pair) for pair in names if top)


def _names_bound(node):
    """The names that a node of a syntax tree binds."""
    import ast
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*"]
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return [node.id]
    name = None if isinstance(node, ast.alias) else getattr(node, "name", None)  # of a function, class, except clause, pattern
    return [name] if isinstance(name, str) else []


# -- the plan -----------------------------------------------------------------------------------------------------------

class Plan:
    """The modules to execute: `sources` in the order in which they are started, unless an import statement comes before;
    `finished` are those of them that have been visited, in the order in which a fresh import would finish them."""

    def __init__(self, scope, skip=()):
        self.scope, self.table, self.skip = scope, scope.table(), set(skip)
        self.sources, self.finished, self.late, self.read, self.passed = {}, [], [], {}, {}
        self.holding, self.dependents = {}, None  # {name: the modules that a module held}

    def copy(self):
        """This plan as it was made, whatever a reload adds to it."""
        other = Plan(self.scope, self.skip)
        other.sources, other.passed, other.holding = dict(self.sources), self.passed, self.holding
        return other

    def holds(self):
        """Whether this plan would be made again: the files are what runs, and the modules hold the same modules."""
        sources = self.sources.values()
        paths = [source.path for source in sources]
        seen = [_seen.get(path, _UNKNOWN) for path in paths]
        return all([each.code is not None and each.code is source.code and each.settled for each, source in zip(seen, sources)]) \
            and _stamps(paths) == [each.signature for each in seen] and not any(map(_became_package, paths)) \
            and all([_signature(source.path) == source.signature for source in filter(None, self.passed.values())]) \
            and all([held == _modules_in(name) for name, held in self.holding.items()])

    def gather(self, names):
        """Add modules that are to be executed anyway, and what else they import; of their imports of each other only cycles matter."""
        self.sources.update([(name, self.load(name)) for name in names])
        plain = {name for name in names if name not in self.table.parents and not _is_package(self.sources[name])}
        inside, outside, afterwards = {name: [] for name in names}, {}, {}
        for source in list(self.sources.values()):
            self.holding[source.name] = modules = _modules_in(source.name)
            for target, late, _ in self.targets(source, modules, plain) if source.spec is not None else ():
                if not late:
                    inside[source.name].append(target)
                if late or target not in inside and (target in sys.modules or not _runs(source)):
                    (afterwards if late else outside)[target] = None
        self.late += afterwards
        for target in outside:
            self.visit(target)
        finished = dict.fromkeys([*filter(self.sources.__contains__, list(sys.modules)), *self.sources])
        starts = self.starts(self.sources, finished, lambda name: inside[name] if name in inside else self.at_once(name), names[0])
        self.sources = {name: self.sources[name] for name in starts}

    def visit(self, root):
        """Walk what root imports, depth first, with a stack of its own: chains may be thousands of modules long."""
        stack = self.start(root)
        while stack:
            below = next(filter(None, map(self.start, stack[-1][1])), None)
            if below:
                stack += below
            else:
                self.finished.append(stack.pop()[0])

    def start(self, name):
        """[(name, iterator over what its own code imports)], or [] for what has been met already or is not executed."""
        source = None if name in self.sources or name in self.skip else self.load(name)
        if source is None:
            return []
        self.sources[name] = source
        targets, runs = [], _runs(source)
        for target, late in self.edges(source).items():
            if late:
                self.late.append(target)
            elif not runs or target in sys.modules:  # what has run without importing it will do so again
                targets.append(target)
        return [(name, iter(targets))]

    def order(self, names=None, skip=None):
        """The names in the order in which they, and what they import, would finish; by default all that are to be executed."""
        other = Plan(self.scope, self.skip if skip is None else skip)
        other.read = self.read
        for name in self.sources if names is None else names:
            for each in (*_parents(name), name):
                if each in self.sources:
                    other.visit(each)
        return other.finished

    def below(self, root, wanted):
        """What root imports of the names in `wanted`, directly or not, and root, leaves first."""
        names = self.order([root], sys.modules.keys() - wanted)
        return self.starts(names, names, self.at_once)

    def at_once(self, name):
        """What a module's own code imports."""
        return [target for target, late in self.edges(self.load(name)).items() if not late]

    def starts(self, names, finished, targets, named=None):
        """The names in the order in which to start them, if imports have finished them as `finished` says: of a cycle first what the
        script's imports come to first, or else what is named, or else what finished last, as there the import came in."""
        place = {name: index for index, name in enumerate(finished)}
        back = [name for name, here in place.items()
                if any([place.get(each, -1) > here for each in (*targets(name), name.rpartition(".")[0])])]
        if not back:
            return list(names)
        edges = {name: [each for each in (*targets(name), *_parents(name)) if each in place] for name in place}
        users = {name: [] for name in place}
        for name, found in edges.items():
            for each in found:
                users[each].append(name)
        script, entries = self.from_script(edges), {}
        for name in back:
            if name not in entries:
                cycle = _reach([name], edges.get).keys() & _reach([name], users.get).keys()
                last = named if named in cycle else max(cycle, key=place.get)
                entries.update(dict.fromkeys(cycle, min(cycle & script.keys(), key=script.get, default=last)))
        return list(dict.fromkeys(each for name in names for each in (entries.get(name, name), name)))

    def from_script(self, edges):
        """{name: place} of the modules in scope, in the order in which the script's imports would start them."""
        def below(name):
            targets = edges[name] if name in edges else [target for target, late in _running_edges(self, name).items() if not late]
            return [each for target in targets for each in (*_parents(target), target) if each in self.table.names]
        roots = [each for name in _imports_of_main() for each in (*_parents(name), name) if each in self.table.names]
        return {name: place for place, name in enumerate(_reach(roots, below))}

    def visit_late(self):
        """Walk what functions import: last, each with its parents before it.

        What nobody has imported yet is not executed; but what it imports may be loaded.
        """
        for target in self.late:  # to which each visit adds
            for name in (*_parents(target), target):
                if name in self.sources:
                    continue
                if name in sys.modules:
                    self.visit(name)
                elif name not in self.passed:
                    self.passed[name] = source = self.load(name)
                    self.late += self.edges(source) if source is not None else ()

    def load(self, name):
        """The Source of a module in scope, loaded or new; None for all others."""
        if name not in self.read:
            self.read[name], module = None, sys.modules.get(name)
            try:
                spec = self.spec_of(name, module)
                self.read[name] = _load(name, spec) if spec is not None else None
            except Exception as error:
                if module is not None:  # whether a new one is imported at all, and in a try statement, its importer decides
                    raise _failure(error, name, (), getattr(_spec_of(module), "origin", None)) from error
        return self.read[name]

    def spec_of(self, name, module):
        """The spec of a module in scope, loaded or to be found; None for all others."""
        if module is not None:
            return _dict_of(module)["__spec__"] if name in self.table.names or name in self.scope else None
        parent = name.rpartition(".")[0]
        above = self.load(parent) if parent else None
        if name in sys.modules or name in sys.builtin_module_names or parent and not _is_package(above):
            return None
        spec = _find_spec(name, above and above.spec.submodule_search_locations)
        new = spec is not None and self.scope.covers(name, spec) and not isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)
        return spec if new else None

    def edges(self, source):
        """{name: late} of all that a module imports: what its code says, and what it holds that its code does not name.

        `late` is false for what the module's own code imports, true for its functions, _AT_RUN_TIME for what is seen only there.
        """
        if source.spec is None:
            return {}
        modules, known = _modules_in(source.name), self.table.edges.get(source.name)
        self.holding[source.name] = modules
        if known is not None and known.code is source.code and known.modules == modules:
            return known.edges
        edges = {}
        for target, late, _ in self.targets(source, modules):
            if late < edges.get(target, 2):
                edges.pop(target, None)  # its place is where it is imported
                edges[target] = late
        if source.name in self.table.names and _runs(source):
            self.table.edges[source.name] = Edges(source.code, modules, edges)
        return edges

    def imports(self, source):
        """{name: late} of what a module itself imports, in order, without the packages that this brings in."""
        found = {}
        for name, late, named in self.targets(source, _modules_in(source.name)) if source.spec else ():
            if named:
                found.setdefault(name, late)
        return found

    def targets(self, source, modules, plain=()):
        """Yield (name, late, named) of what a module imports; `named` is false for the packages that this brings in: those of the
        modules in `plain`, which are no packages themselves, are left out."""
        own = (*_parents(source.name), source.name)  # these packages are there already
        package = source.name if _is_package(source) else source.name.rpartition(".")[0]
        for imported, level, names, late in source.facts.imports:
            base = _absolute(imported, level, package)
            if base in plain:
                yield base, late, True
                continue
            for name in _parents(base):
                if not names or name not in own:
                    yield name, late, not names
            submodules = self.submodules(base, names) if names else ()
            yield base, late, names in ((), ("*",)) or len(submodules) < len(names)
            for name in submodules:
                yield name, late, True
            if not names and base in self.table.names and base in self.table.parents and source.code is not None:
                for name in [f"{base}.{attribute}" for attribute in source.code.co_names]:  # which somebody else has imported
                    if name in sys.modules:
                        yield name, _AT_RUN_TIME, False
        for text, late in source.facts.dynamic or ():
            name = _absolute(text.lstrip("."), len(text) - len(text.lstrip(".")), package)
            if name in sys.modules:
                yield name, late, True
        for name in self.held(source, modules):
            yield name, _AT_RUN_TIME, True

    def submodules(self, base, names):
        """Those of the names imported from base that are submodules, loaded or to be found."""
        if names == ("*",):
            exported = _dict_of(sys.modules[base]).get("__all__") if base in self.scope else ()
            names = [n for n in exported if isinstance(n, str)] if isinstance(exported, (list, tuple)) else ()
        above = self.load(base) if names else None
        if not _is_package(above) and base not in self.table.parents:
            return []
        binds = above.facts.binds if _is_package(above) else names  # a name that it binds is no submodule unless it is loaded
        return [f"{base}.{name}" for name in names
                if f"{base}.{name}" in sys.modules or name not in binds and self.load(f"{base}.{name}")]

    def held(self, source, modules):
        """Yield the modules that a module's own code has bound without an import statement that names them, and plug-ins."""
        for name, _ in modules:
            value = _namespace_of(source.name).get(name)
            target = _dict_of(value).get("__name__") if type(value) is types.ModuleType else None
            found = type(target) is str and sys.modules.get(target) is value
            if found and target != f"{source.name}.{name}" and name in source.facts.binds:
                yield target
        if source.facts.dynamic is not None and _is_package(source):
            yield from [name for name in list(sys.modules) if name.rpartition(".")[0] == source.name]


def _is_package(source):
    return source is not None and source.spec is not None and source.spec.submodule_search_locations is not None


def _modules_in(name):
    """[(name, id)] of the modules that a loaded module's namespace holds."""
    namespace, kind = _namespace_of(name).copy(), types.ModuleType
    return [(name, id(value)) for name, value in namespace.items() if type(value) is kind]


def _runs(source):
    seen = _seen.get(source.path)
    return seen is not None and seen.code is source.code


@functools.lru_cache(None)
def _absolute(name, level, package):
    if not level:
        return name
    base = package.rsplit(".", level - 1)
    if len(base) < level:  # beyond the top-level package: a name that nothing has
        return "." * level + name
    return base[0] + "." + name if name else base[0]


def _spec_of(module):
    """The spec of an entry of sys.modules, or None; a module may have put anything in its place."""
    spec = _dict_of(module).get("__spec__") if issubclass(type(module), types.ModuleType) else None
    return spec if issubclass(type(spec), importlib.machinery.ModuleSpec) else None


def _failure(error, name, undone, path=None):
    """The ReloadError for an exception: which module, which file and line, what had been tried."""
    line = None
    if isinstance(error, SyntaxError) and error.filename:
        path, line, what = error.filename, error.lineno, error.msg
    else:
        what, places = _text(error), _places(error.__traceback__)
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


def _places(trace):
    """The (file, line) of a traceback, from the outermost on, without our own and the import system's."""
    import traceback
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    return [place for place in places if place[0] != __file__ and not place[0].startswith(_IMPORT_SYSTEM)]


_IMPORT_SYSTEM = "<frozen", "<builtin>/frozen"  # the files of the import system, in CPython and in PyPy


def _described(error):
    """The error to show for what came out of a reload: as it is, or as a ReloadError would say it (SystemExit and the like)."""
    if isinstance(error, (ReloadError, KeyboardInterrupt)):
        return error
    places = _places(error.__traceback__)
    names = [name for name, module in list(sys.modules.items()) if places and _namespace_of(name).get("__file__") == places[-1][0]]
    return _failure(error, names[0] if names else "?", (), places[-1][0] if places else None)


def _listing(names, most=8):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# -- one reload ---------------------------------------------------------------------------------------------------------

_DEEPEST = 100  # what imports nested deeper than this want is executed leaves first, or deeper than there is room for:
_FRAMES = 10  # each level takes six to eight, and those of functions that import
_SPEC_NAMES = ("__spec__", "__loader__", "__package__", "__file__", "__cached__", "__path__")
_MODULE_NAMES = {*_SPEC_NAMES, "__name__", "__doc__", "__builtins__"}
_COMPILED = ("__annotations__", "__annotate__", "__conditional_annotations__")  # made anew by the code, not by name
_FROZEN_BY_PROGRAM = 5000  # a bare interpreter has up to a few hundred objects frozen
_freeze, _unfreeze, _freeze_count = [getattr(gc, name, int) for name in ("freeze", "unfreeze", "get_freeze_count")]  # int: PyPy has none
_allocated = getattr(sys, "getallocatedblocks", int)


class Batch:
    """One reload: makes a plan, executes its modules in place, and keeps a log that undoes it all."""

    def __init__(self, make_plan, joins=False):
        self.make_plan, self.plan, self.joins, self.log = make_plan, None, joins, []
        self.pending, self.views, self.finished, self.stack = {}, {}, [], []
        self.failed, self.gone, self.pairs, self.claimed, self.replaced = {}, {}, {}, set(), []
        self.collects, self.bound, self.left_classes = False, set(), False
        self.undecorated, self.nested = (), {}
        self.error, self.at, self.caches = None, ("?", None), []
        self.thread, self.opened, self.started, self.committed = threading.get_ident(), False, False, False

    def execute(self):
        """Run and commit, or undo; return the names executed.  Twice closed, lest an interrupt in the first leaves a rest."""
        try:
            try:
                try:
                    self.open()
                    self.run()
                    self.commit()
                finally:
                    self.close()
            finally:
                self.close()
        except Exception as error:
            if self.committed or not self.started or isinstance(error, ReloadError):
                raise
            raise _failure(error, self.at[0], self.finished, self.at[1]) from error
        return self.finished

    def open(self):
        self.collects, self.opened = gc.isenabled(), True
        gc.disable()  # the commit collects once
        self.plan = self.make_plan()
        self.pending = dict(self.plan.sources)
        self.start()

    def start(self):
        """Call the hooks of the modules, and take over the import statements."""
        global _batch
        self.new, self.count = set(), len(sys.modules)
        self.modules, self.lists = dict(sys.modules), [(lst, list(lst)) for lst in (sys.meta_path, sys.path_hooks, sys.path)]
        self.frozen, self.blocks = _freeze_count(), _allocated()
        _invalidate_finders()
        self.import_, self.gcd_import, self.build_class = builtins.__import__, _bootstrap._gcd_import, builtins.__build_class__
        self.deepest = min(_DEEPEST, (sys.getrecursionlimit() - _depth()) // _FRAMES)
        self.restated = _Restated(self)
        self.restating = functools.partial(self.build_class, metaclass=self.restated) if getrefcount else self.build_class
        self.started, _batch = True, self
        hooks = [name for name in self.plan.sources if "__unload__" in _namespace_of(name)]
        for name in self.plan.order()[::-1] if hooks else ():
            _call_hook(name)
        _freeze()  # from here on gc.get_objects() are the objects that the reload makes
        builtins.__import__, _bootstrap._gcd_import = self.hooked_import, self.hooked_gcd_import
        self.lend(builtins.__import__, self.import_)
        self.lend(self.restating, self.build_class)

    def close(self):
        """Leave nothing of the reload behind in the interpreter."""
        if not self.opened:
            return
        if _batch is self:
            self.end()
        if self.collects:
            gc.enable()
        self.opened = False

    def end(self):
        """Undo what was not committed, and give the import statements back."""
        global _batch
        self.unhook()
        if self.committed:
            for cached in self.caches:
                type(cached).cache_clear(cached)
            _clear_lines(source.path for source in self.plan.sources.values())
        else:
            builtins.__import__ = self.import_
            self.roll_back()
            for source in self.plan.sources.values():
                if source.spec is not None:
                    source.spec._initializing = False  # an interrupt may have come before run_module got to it
        for view in self.views.values():
            view.show()
        self.views, self.pairs, self.replaced = {}, {}, []
        self.error = view = None  # a view knows an old namespace, an error our frames
        self.collect()
        _batch = None

    def collect(self):
        """Collect what nobody is to meet any more, and all when reloads have left much: freezing resets what Python counts."""
        global _grown
        if not self.committed:
            gc.collect()  # the new versions of classes must not be met in __subclasses__()
        _unfreeze()
        _grown = max(0, _grown + _allocated() - self.blocks)
        if self.left_classes or _grown > _allocated() / 4:
            gc.collect()
            _grown = 0
        if self.frozen > _FROZEN_BY_PROGRAM:
            _freeze()

    def unhook(self):
        """Give the import and class statements back."""
        if builtins.__import__ == self.hooked_import:  # a module may have put its own there
            builtins.__import__ = self.import_
        _bootstrap._gcd_import = self.gcd_import
        self.build_by(self.build_class)
        self.restated = self.restating = None  # which hold the batch

    def lend(self, ours, original):
        """Pair a function of ours in builtins with Python's: a module may hold what it finds there."""
        self.pairs[id(ours)] = ours, original

    def run(self):
        for name in list(self.plan.sources):
            if name in self.pending and name in self.modules:
                self.enter(name)  # modules that are new come in by the import statements that want them

    # Imports while the batch runs: the reloading thread's import statements execute first what is still pending.

    def hooked_import(self, name, globals=None, locals=None, fromlist=(), level=0):
        if _batch is self and threading.get_ident() == self.thread and type(name) is str:
            base = _absolute(name, level, self.package(globals) or "") if level else name
            if base not in self.views or self.failed:
                self.imported(base)
            view = self.views.get(base) if fromlist else None
            if fromlist and "__path__" in (_namespace_of(base) if view is None else view.live):
                for child in fromlist:
                    self.imported_from(base, child)
            elif view is not None:
                if "*" in fromlist:
                    view.drop_stale()
                if sys.modules.get(base) is view.module:  # all that the import system would find out
                    return view.module
            builder = self.build_by(self.build_class)
            try:
                return self.import_(name, globals, locals, fromlist, level)
            finally:
                self.build_by(builder)
                if len(sys.modules) != self.count:
                    self.note_new()
        return self.import_(name, globals, locals, fromlist, level)

    def note_new(self):
        """Add the modules in scope that an import statement has brought in to those executed."""
        self.count = len(sys.modules)
        for name, module in list(sys.modules.items()):
            if name not in self.modules and name not in self.new and name in self.plan.scope:
                self.new.add(name)
                self.finished.append(name)

    def hooked_gcd_import(self, name, package=None, level=0):
        if _batch is self and threading.get_ident() == self.thread and type(name) is str:
            self.imported(_absolute(name, level, package or ""))
        return self.gcd_import(name, package, level)

    def build_by(self, builder):
        """Let class statements be carried out by a function; return the one before.  What a module has put there stays."""
        before = builtins.__build_class__
        if before is not builder and getattr(before, "func", before) is self.build_class:
            builtins.__build_class__ = builder
        return before

    @staticmethod
    def package(globals):
        package = globals.get("__package__")
        if package is None:
            spec = globals.get("__spec__")
            package = spec.parent if spec is not None else globals.get("__name__", "")
        return package

    def imported(self, base):
        for name in (*_parents(base), base):
            if name not in self.views and name not in self.bound:
                self.enter(name)
                if self.is_gone(name):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
                if name in self.modules and name not in self.views:  # its package is executed again, itself it is not
                    self.bound.add(name)
                    self.bind_child(name, sys.modules.get(name, self.modules[name]))

    def imported_from(self, base, child):
        view = self.views.get(base)
        if child == "*":
            if view is not None:
                view.drop_stale()
            exported = _namespace_of(base).get("__all__", ())
            for name in exported if isinstance(exported, (list, tuple)) else ():
                self.imported_from(base, name)
            return
        name = f"{base}.{child}"
        if name in sys.modules and (view is None or not view.has(child) or view.live[child] is sys.modules[name]):
            self.enter(name)
            if self.is_gone(name):
                raise ImportError(f"cannot import name {child!r} from {base!r}", name=base)

    def lose_submodules(self, package):
        """What is a package no more has no submodules in a fresh process."""
        for name in [name for name in list(sys.modules) if name.startswith(package + ".") and name in self.plan.scope]:
            self.pending.pop(name, None)
            self.gone[name] = sys.modules[name]

    def is_gone(self, name):
        """Whether a module has lost its file, and nothing else has come to its name meanwhile."""
        return name in self.gone and sys.modules.get(name) is self.gone[name]

    def enter(self, name, nested=False):
        """Execute a module that is still pending, its parents before it; where imports nest deep, what it imports first."""
        if name in self.gone:
            return
        over = len(self.stack) - self.deepest
        if over >= 0 and not over & over - 1 and name in self.pending and not nested:  # 0, 1, 2, 4...: cycles may go deeper all the same
            for below in self.plan.below(name, self.pending.keys()):
                self.enter(below, nested=True)
        if name in self.failed:
            self.pending[name] = self.failed.pop(name)
        elif name not in self.pending:
            joins = self.joins and name in self.modules and name not in self.views and name not in self.plan.skip
            source = self.plan.load(name) if joins else None
            if source is None:
                return
            self.plan.sources[name] = self.pending[name] = source  # only the execution shows that it is imported
        for parent in _parents(name):
            if parent in self.pending and parent not in self.plan.skip:
                self.enter(parent)
        source = self.pending.pop(name, None)
        if source is not None and source.spec is None:
            self.gone[name] = self.modules.get(name)
        elif source is not None and name in self.modules:
            self.run_module(source)

    def run_module(self, source):
        name, module = source.name, self.modules[source.name]
        self.views[name] = view = View(self, source)
        self.stack.append(name)
        spec, builder = source.spec, builtins.__build_class__
        maker = self.restated.makers.pop(self.thread, None)  # of the class whose body imports this
        try:
            view.prepare()
            spec._initializing = True
            self.build_by(self.restating)
            view.execute()
            view.finish()
        except BaseException as error:
            if self.error is not error:
                self.error, self.at = error, (name, source.path)
            self.failed[name] = source
            self.forget_run(view)
            raise
        finally:
            spec._initializing = False
            self.build_by(builder)
            self.restated.makers[self.thread] = maker
            self.stack.pop()
        self.bind_child(name, sys.modules.get(name, module))  # the module may have put something else in its place
        self.finished.append(name)

    def forget_run(self, view):
        """A failed import may be caught, and tried again: that starts anew."""
        view.show()
        _restore_namespace(view.live, view.old)
        for new, kept in list(self.pairs.values()):
            if _module_of(kept) == view.name:
                self.claimed.discard(id(kept))
                del self.pairs[id(new)]
        self.views.pop(view.name, None)

    def bind_child(self, name, module):
        """An import ends by binding the submodule in its package, over whatever the package has bound so far."""
        parent, _, child = name.rpartition(".")
        view = self.views.get(parent)
        if view is not None:
            view.bind_child(child, module)

    def commit(self):
        """Pair, replace and rename what is left, each step in the log; then forget the log."""
        self.unhook()
        for name in self.failed:  # an import statement has caught it: a fresh process has no such module
            self.gone[name] = self.modules[name]
        self.replace_leftovers()
        self.follow()
        self.update_closures()
        self.rename_elsewhere()
        for view in [view for view in self.views.values() if not view.fresh]:
            view.drop_stale()
        for name, module in self.gone.items():
            self.forget(name, module)
        for source in self.plan.sources.values():
            if source.path and source.code is not None and source.name not in self.gone:
                self.note(source)
        if any(view.old.get("__spec__") is not view.source.spec for name, view in self.views.items() if name != "__main__"):
            _tables.clear()
        self.committed = True
        self.log.clear()

    def note(self, source):
        """Remember what the module of a file runs from now on."""
        seen, signature = _seen.get(source.path, _UNKNOWN), source.signature
        if not (seen.code is source.code and seen.settled and seen.signature == signature):
            now = Seen(signature, signature is not None and _settled(signature), source.code, source.facts)
            self.do(_restore_item, _seen, source.path, now, old=_seen.get(source.path, _MISSING))

    def forget(self, name, module):
        if sys.modules.get(name) is module:
            del sys.modules[name]  # which a roll-back restores, whatever the log says
        parent, _, child = name.rpartition(".")
        namespace = _namespace_of(parent)
        if namespace.get(child) is module:
            self.do(_restore_item, namespace, child, _MISSING, old=module)

    def roll_back(self):
        while self.log:
            undo, *args = self.log[-1]
            try:
                try:
                    undo(*args)
                except Exception:
                    undo(*args)
            except Exception:
                _log().exception("could not undo %s", undo.__name__)
            self.log.pop()
        for lst, saved in self.lists:
            if lst != saved:
                lst[:] = saved
        self.drop_new_modules()
        _restore_namespace(sys.modules, self.modules, others=True)

    def drop_new_modules(self):
        """Forget what the reload has imported, but for packages with compiled parts: initialising these again would fail.

        What is still being imported is another thread's, whose import would fail.
        """
        new = [name for name in list(sys.modules) if name not in self.modules]
        specs = {name: _spec_of(sys.modules.get(name)) for name in new}
        stays = {name.partition(".")[0] for name, spec in specs.items() if getattr(spec, "_initializing", False)
                 or isinstance(getattr(spec, "loader", None), importlib.machinery.ExtensionFileLoader)}
        for name in [name for name in new if name.partition(".")[0] not in stays]:
            module = sys.modules.pop(name, None)
            parent, _, child = name.rpartition(".")
            if module is not None and _namespace_of(parent).get(child) is module:
                _namespace_of(parent).pop(child, None)

    # What the commit does, each step in the log

    def do(self, function, *args, old):
        """Call a function that sets its last argument; the log says to call it with the old value instead."""
        self.log.append((function, *args[:-1], old))
        function(*args)

    def pair(self, new, kept):
        self.pairs[id(new)] = new, kept
        self.claimed.add(id(kept))

    def replace_leftovers(self):
        """Replace the new versions of kept objects wherever something else holds them; most are garbage by now.

        First in the objects made since the freeze; if that does not free them, all their holders are asked for.
        """
        leftovers, plain = [], []
        leftovers += _alive(self.watched(leftovers, plain))
        plain.append((lambda: 0, None))  # held by this list alone
        counts = list(map(getrefcount or id, map(itemgetter(0), plain)))
        leftovers += [_Pair(*pair) for pair, count in zip(plain, counts) if count > counts[-1]]
        plain.clear()
        if leftovers:
            watched = [(weakref.ref(new), kept) for new, kept in leftovers if _is_class(new) or _is_function(new) or type(new) in _LENT]
            _Replacer(leftovers).replace_in(gc.get_objects())
            leftovers.clear()
            leftovers += _alive(watched)
        if leftovers:
            self.left_classes = True
            _unfreeze()
            _Replacer(leftovers).replace(_referrers([new for new, kept in leftovers]))

    def watched(self, leftovers, plain):
        """End the pairs and return [(weak reference to the new version, kept)]; what is sure to be held is a leftover at once.

        Functions without closures are `plain`: a count tells, which is much faster.  A cell may hold one of the classes.
        """
        pairs, watched, self.pairs = [pair for pair in self.pairs.values() if pair[0] is not pair[1]], [], {}
        function, weak = getrefcount and types.FunctionType, weakref.getweakrefcount
        for pair in pairs:
            new, kept = pair
            if (not new.__closure__ if type(new) is function else type(new) in _LENT) and not weak(new):
                plain.append(pair)
                continue
            known = _weak_references(new)
            leftovers += [_Pair(reference, _alike(reference, kept)) for reference in known]
            try:
                (leftovers if known else watched).append(_Pair(new if known else weakref.ref(new), kept))
            except TypeError:  # a member that is an int, say
                leftovers.append(_Pair(new, kept))
        return watched

    def follow(self):
        """Where a new class has taken over, let instances and subclasses follow."""
        self.left_classes |= bool(self.replaced)
        if self.replaced:
            _unfreeze()
        for old, new, reason in self.replaced:
            stuck = 0
            for obj in gc.get_objects():
                if type(obj) is old:
                    try:
                        self.do(_set_class_of, obj, new, old=old)
                    except TypeError:
                        stuck += 1
            for sub in type.__subclasses__(old):
                try:
                    self.do(_set_bases, sub, tuple([new if base is old else base for base in _bases(sub)]), old=_bases(sub))
                except TypeError:
                    stuck += 1
            _log().warning("%s.%s: %s: a new class takes its place%s", new.__module__, new.__qualname__, reason,
                           f"; {stuck} of its instances and subclasses keep the old one" if stuck else "")

    def update_closures(self):
        """Give functions that a changed function has made its new code; only the collector knows where they are."""
        if self.nested:
            _unfreeze()
        for function in gc.get_referrers(*[old for old, new in self.nested.values()]) if self.nested else ():
            if _is_function(function):
                old, new = self.nested.get(id(function.__code__), (None, None))
                if old is not None:
                    self.do(_set_code, function, new, old=old)

    def rename_elsewhere(self):
        """Bind anew what modules that are not executed again have imported by name."""
        taken = {id(old): (old, new) for old, new, reason in self.replaced}
        self.tails = {name.rpartition(".")[2] for name in self.views} | {""}
        main = _namespace_of("__main__")
        facts = _facts_of_main(main)
        names = self.importers() if not taken else _Scope(named=next(iter(self.views), None)).loaded()
        others = [name for name in names if name not in self.views]
        self.rename_in(main, facts, taken if facts else {**taken, **self.changed_objects(others)})
        for name in others:  # no module any more, if another thread's import of it has failed meanwhile
            self.rename_in(_namespace_of(name), _running_source(name).facts, taken)

    def importers(self):
        """The modules that may have names of those executed: what imports them, and what is outside the scope."""
        inside, executed, dependents = self.plan.table.names, self.views.keys(), self.plan.dependents
        if dependents is None:  # of a deep reload, which has asked nobody: mostly there are few others
            importers = [name for name in inside if name not in executed and name in sys.modules
                         and not executed.isdisjoint(_running_edges(self.plan, name))]
        else:
            importers = {importer for name in executed for importer in dependents.get(name, ()) if importer in sys.modules}
        return [*importers, *[name for name in _Scope(named=next(iter(self.views), None)).loaded() if name not in inside]]

    def changed_objects(self, importers):
        """{id(old): (old, new)} of the objects that are no longer what a name meant, nor what any name means where the script
        may have it from: not in its importers, which may hold what is old."""
        changed = {}
        for view in self.views.values():
            for name, value in view.old.items():
                new = view.live.get(name, value)
                if new is not value and type(value) not in _CONSTANTS and not name.startswith("__"):
                    changed[id(value)] = value, new
        for name in sys.modules.keys() - {"__main__", *importers} if changed else ():
            for value in list(_namespace_of(name).values()):
                changed.pop(id(value), None)
        return changed

    def rename_in(self, namespace, facts, objects):
        package = self.package(namespace) or "" if namespace else ""
        for module, level, attribute, bound in facts.froms if facts else ():
            if module.rpartition(".")[2] in self.tails:
                self.rename(namespace, bound, self.views.get(_absolute(module, level, package)), attribute)
        for item in facts.imports if facts else ():
            view = item.names == ("*",) and self.views.get(_absolute(item.name, item.level, package))
            for name in () if view is None or view is False else view.old:
                self.rename(namespace, name, view, name)
        for name, value in list(namespace.items()) if objects else ():
            if id(value) in objects:
                self.do(_restore_item, namespace, name, objects[id(value)][1], old=value)

    def rename(self, namespace, bound, view, attribute):
        if view is None or attribute not in view.old or not view.has(attribute):
            return
        old, new = view.old[attribute], view.live[attribute]
        if namespace.get(bound, _MISSING) is old and new is not old:
            self.do(_restore_item, namespace, bound, new, old=old)


getrefcount = getattr(sys, "getrefcount", None)


class _Pair(collections.namedtuple("_Pair", "new kept")):
    """What to replace by what; of a kind that a _Replacer never changes."""

    __slots__ = ()


def _alive(watched):
    """The pairs, of those of weak references, whose object something holds that is not garbage itself."""
    if watched:
        gc.collect()
    return [_Pair(ref(), kept) for ref, kept in watched if ref() is not None]


def _weak_references(obj):
    """The weak references to an object that somebody may hold: the one in its bases' __subclasses__() is Python's own."""
    found, own = weakref.getweakrefs(obj), len(_bases(obj)) if _is_class(obj) else 0
    counts = list(map(getrefcount, found)) if getrefcount else [0] * len(found)
    return [w for w, count in zip(found, counts) if w.__callback__ or not own or count > own + 2]  # found, and the question


def _alike(reference, kept):
    """A weak reference of the same kind, with the same callback, to the kept object."""
    other = weakref.ref.__new__(type(reference), kept, reference.__callback__)
    for member, value in _members(reference):  # the key of a WeakValueDictionary's
        member.__set__(other, value)
    if hasattr(other, "__dict__"):
        other.__dict__.update(reference.__dict__)
    return other


_LENT = {types.MethodType, functools.partial} if getrefcount else set()  # what Batch.lend() pairs
_CONSTANTS = (int, float, complex, str, bytes, bool, type(None), tuple, frozenset, type(...), types.ModuleType)


def _set_bases(cls, bases):
    bases = tuple(dict.fromkeys(bases))  # a kept class and its new version may have been among them
    if not _identical(_bases(cls), bases):
        type.__setattr__(cls, "__bases__", bases)


def _identical(one, other):
    return len(one) == len(other) and all(map(is_, one, other))


def _facts_of_main(namespace):
    """What the running script's source imports; None in an interactive session, where there is no source."""
    if "__file__" not in namespace:
        return None
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_globals is namespace and frame.f_code.co_name == "<module>" and not frame.f_code.co_filename.startswith("<"):
                return _facts(frame.f_code, frame.f_code.co_filename)
            frame = frame.f_back
    path = namespace.get("__file__")
    try:
        if path in _seen and _seen[path].code is not None:
            return _facts(_seen[path].code, path)
        with open(path, "rb") as file:
            return _facts(compile(file.read(), path, "exec", dont_inherit=True), path)
    except (OSError, TypeError, ValueError, SyntaxError):
        return None


def _restore_item(mapping, key, value):
    if value is _MISSING:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _restore_namespace(namespace, saved, others=False):
    """Give a namespace its old entries back, in their old order, and take all others away, or leave them behind these."""
    for name, value in saved.items():
        if namespace.get(name, _MISSING) is not value:
            namespace[name] = value
    new = [name for name in list(namespace) if name not in saved]
    for name in () if others else new:
        namespace.pop(name, None)
    names = [*saved, *new] if others else list(saved)
    if names != list(namespace):
        for name in names:  # one by one: other threads find all others
            namespace[name] = namespace.pop(name)


def _call_hook(name):
    hook = _namespace_of(name).get("__unload__")
    if hook is not None:
        try:
            hook()
        except Exception:
            _log().exception("%s.__unload__() failed", name)


def _depth():
    """How many calls are under way in this thread."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def _invalidate_finders():
    """Let the path finders look at the folders again (importlib's own function would import importlib.metadata)."""
    for finder in list(sys.path_importer_cache.values()):
        if hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


def _log():
    import logging
    return logging.getLogger("deepreload")


def _clear_lines(paths):
    linecache = sys.modules.get("linecache")
    for path in paths if linecache else ():
        linecache.cache.pop(path, None)


class _Restated:
    """Stands for the metaclasses in modules' code: brings the old class up to date where nobody would see a difference.

    Anything else is made by the metaclass, called by C code: it may look at the frames above it.
    """

    def __init__(self, batch):
        self.batch, self.makers = batch, {}  # {thread: what its statement calls}: other threads may meet it, too

    @property
    def __call__(self):
        return self.makers.pop(threading.get_ident())

    def __prepare__(self, name, bases, **keywords):
        batch = self.batch
        batch.build_by(batch.build_class)  # for the statements inside
        old = self.old_class(sys._getframe(1), name, bases) if _batch is batch and not keywords else None
        if old is None:
            maker, namespace, _ = types.prepare_class(name, bases, keywords)
        else:
            maker, namespace = functools.partial(self.restate, batch, old), {}
        self.makers[threading.get_ident()] = maker
        return namespace

    def old_class(self, frame, name, bases):
        """The class that a statement in a frame may be about: nobody but Python itself sees such a class being made."""
        batch, view = self.batch, self.batch.views.get(frame.f_globals.get("__name__"))
        if view is None or frame.f_code is not view.source.code or threading.get_ident() != batch.thread:
            return None
        old = view.old_named(name, None)
        if type(old) is type and _identical(_bases(old), bases or (object,)) \
                and id(old) not in batch.claimed and id(old) not in batch.pairs \
                and _vars_of_class(old).get("__module__") == view.name and _qualname(old) == _name_of(old) == name \
                and not view.imports(name) and _WITHOUT_SET_NAME.issuperset(map(type, _vars_of_class(old).values())) \
                and not any(["__init_subclass__" in _vars_of_class(cls) for cls in _mro(old)[1:-1]]):
            return old
        return None

    @staticmethod  # not to hold itself
    def restate(batch, old, name, bases, namespace):
        """Give the old class what the statement says if these are the same attributes, each of the same kind; slots may be more."""
        before, after = dict(_vars_of_class(old)), {**namespace, "__doc__": namespace.get("__doc__")}
        batch.build_by(batch.restating)
        qualname, cell = after.pop("__qualname__", None), after.pop("__classcell__", None)
        made = {key: before.pop(key) for key in ("__dict__", "__weakref__") if key in before}
        if qualname != name or "__slots__" in after or list(before) != list(after) \
                or list(map(type, before.values())) != list(map(type, after.values())):
            return type(name, bases, namespace)
        if cell is not None:  # of super(), in the methods that are new
            cell.cell_contents = old
        batch.pairs[id(old)] = old, old  # not claimed: a decorator may yet make another class of it
        _keep_attributes(batch, old, {**made, **after}, old)
        return old


class _Reloading(types.ModuleType):
    """What a module is while it is reloaded: the reloading thread does not see the old names that are not bound anew yet."""

    def __getattribute__(self, name):
        batch = _batch
        if batch is not None and threading.get_ident() == batch.thread:
            view = batch.views.get(_dict_of(self).get("__name__"))
            if view is not None and view.module is self and name != "__dict__" and view.is_stale(name):
                if name in view.children:
                    return view.children[name]
                if view.has("__getattr__"):
                    return view.live["__getattr__"](name)
                raise AttributeError(f"partially initialized module {view.name!r} has no attribute {name!r}")
        return types.ModuleType.__getattribute__(self, name)


class View(collections.abc.MutableMapping):
    """The namespace in which a module's code is executed: the live one, less the old names that it has not bound again.

    Other threads go on finding the old names, in the module and through its functions; the code finds what a fresh process
    would give it.  Names guarded by `try: x` / `except NameError:` are let through.
    """

    __slots__ = ("batch", "source", "name", "module", "facts", "live", "kind", "old", "bound", "again", "children", "fresh", "ended",
                 "origins", "guarded")

    def __init__(self, batch, source):
        self.batch, self.source, self.name, self.module = batch, source, source.name, batch.modules[source.name]
        self.facts, self.live, self.kind = source.facts, _dict_of(self.module), type(self.module)
        self.old, self.bound, self.again, self.children = dict(self.live), set(), {}, {}
        self.fresh = self.ended = False  # nothing of the old code is left; the code has run to its end
        self.origins, self.guarded = None, _guarded(source)

    def prepare(self):
        """Hide the old names from the reloading thread, and give the module the attributes with which an import starts."""
        self.batch.log.append((_restore_namespace, self.live, self.old))
        if self.name == "__main__":  # definitions of the running script: all else stays
            self.fresh, self.origins = True, ((), _NO_FACTS)
            return
        if self.kind is types.ModuleType or self.kind.__module__ == self.name:
            self.batch.do(_set_class_of, self.module, _Reloading, old=self.kind)
        for name, by_module in self.facts.globals.items():
            if not by_module and self.is_stale(name):  # bound by a function, if at all, which may bind the same object again
                del self.live[name]
                self.bound.add(name)
        for name in self.misleading():
            del self.live[name]
        for name in _COMPILED:
            self.live.pop(name, None)
        self.set_attributes(self.source.spec, self.source.path)

    def set_attributes(self, spec, path):
        """Do to a module what the import system does to a new one."""
        live, moved, locations = self.live, spec is not self.old.get("__spec__"), spec.submodule_search_locations
        for name in _SPEC_NAMES if moved else ():
            live.pop(name, None)
        live["__doc__"] = None
        _bootstrap._init_module_attrs(spec, self.module, override=True)
        if locations is None:
            live.pop("__path__", None)
            if moved and "__path__" in self.old:
                self.batch.lose_submodules(self.name)
        elif path:
            live["__path__"] = [os.path.dirname(path)] if not _opaque(spec) else list(locations)
            self.batch.do(setattr, spec, "submodule_search_locations", live["__path__"], old=locations)

    def misleading(self):
        """The old names that class bodies and functions, which do not see the view, would find where a fresh process does not:
        the new code binds them no more, or only after the class body that reads them."""
        code, facts = self.source.code, self.facts
        if code is None or _runs(self.source) or facts.inspects or "*" in facts.imported:
            return []
        rest = self.old.keys() - self.bound - _MODULE_NAMES
        was = self.origin()[1].binds
        rest = {name for name in rest if name in was and type(self.old[name]) not in (types.ModuleType, _Reloading) and self.is_stale(name)}
        gone = rest - facts.binds.keys()
        return _read_unbound(code, rest, gone)

    def execute(self):
        source, loader = self.source, self.source.spec.loader
        if source.code is None:
            self.batch.log.append((_restore_item, _seen, source.path, _seen.get(source.path, _MISSING)))
            self.empty()
            if loader is not None and _executes_itself(loader):
                loader.exec_module(self.module)
        elif not source.facts.inspects.isdisjoint(_LOOKS):  # it looks at its own namespace: that must hold nothing old
            self.empty()
            exec(source.code, self.live)
        else:
            exec(source.code, self.live, self)

    def finish(self):
        """Pair what the code bound without the view's knowledge, or more than once."""
        live, old, self.ended = self.live, self.old, True
        rest = old.keys() - self.bound - _MODULE_NAMES
        unseen = [name for name in rest if live.get(name, old[name]) is not old[name]]
        unseen.sort(key=list(live).index if unseen[1:] else None)  # in the order of their binding
        for name in unseen + [name for name in self.again if name in live]:
            live[name] = _keep_bound(self.batch, self, name, live[name])
        self.bound.update(unseen)
        for child, module in self.children.items():
            if self.is_stale(child):
                live[child] = module
            self.bound.add(child)
        if not any(map(self.is_stale, rest)):
            self.fresh = True
            self.show()

    def show(self):
        """Let the reloading thread see all names again; a module with something else in its place stays what it was."""
        if type(self.module) is _Reloading:
            self.module.__class__ = types.ModuleType if sys.modules.get(self.name) is self.module else self.kind

    def bind_child(self, child, module):
        if self.name in self.batch.stack and self.is_stale(child) and self.live.get(child) is not module:
            self.children[child] = module  # the statement that follows will most often bind something else
        else:
            self.bound.add(child)
            self.live[child] = module

    def is_stale(self, name):
        """Whether a name is what the old code left: a fresh process would not have it yet."""
        if self.fresh or name in self.bound or name not in self.old:
            return False
        value = self.old[name]
        if self.live.get(name, _MISSING) is not value:
            return False
        if type(value) in (types.ModuleType, _Reloading):
            child = f"{self.name}.{name}"
            if sys.modules.get(child) is value:  # a package keeps the submodules that are not executed again
                return child in self.batch.plan.sources
        return name not in _MODULE_NAMES and name not in self.guarded and name in self.origin()[0] and not self.facts.globals.get(name)

    def origin(self):
        """The names that the old code has put into the namespace, and the facts of that code; most modules are never asked."""
        if self.origins is None:
            self.origins = _names_of(self.source, self.old)
        return self.origins

    def old_named(self, qualname, default):
        """The old object of that name, unless the name may still be given again."""
        return self.old.get(qualname, default) if self.facts.binds.get(qualname) == 1 or self.ended else default

    def imports(self, name):
        """Whether the old or the new code binds a name by an import."""
        seen = _seen.get(self.source.path)
        was = self.facts if seen is not None and seen.code is self.source.code else self.origin()[1]
        if was is _NO_FACTS or "*" in was.imported or name not in was.binds:
            return _module_of(self.old.get(name)) != self.name
        return name in was.imported and self.brings(was, name, self.old.get(name)) \
            or name in self.facts.imported and self.brings(self.facts, name, self.live.get(name))

    def brings(self, facts, name, value):
        """Whether an import has brought what a name holds; `except ImportError:` may have defined it instead."""
        froms = [item for item in facts.froms if _bound(item) == name]
        held = [_namespace_of(_absolute(*item[:2], self.live.get("__package__") or "")).get(item[2]) for item in froms]
        return len(froms) == facts.binds[name] or any(each is value for each in held)

    def has(self, name):
        """Whether the module has bound the name by now, as far as a fresh process would know."""
        return name in self.live and not self.is_stale(name)

    def empty(self):
        """Start with nothing of the old names, as other threads will notice."""
        self.drop_stale()
        self.fresh = True

    def drop_stale(self):
        for name in () if self.fresh else self.old.keys() - self.bound:
            if self.is_stale(name):
                value = self.live.pop(name, None)
                self.batch.left_classes |= _is_class(value) and _bases(value) != (object,)  # else its bases' __subclasses__() tell of it

    # The mapping that exec() wants, and whoever asks for the locals of the module's frame

    def __getitem__(self, name):
        value = self.live[name]
        if name not in self.bound and self.is_stale(name):
            if name in self.children:
                return self.children[name]
            if hasattr(builtins, name):
                return getattr(builtins, name)
            raise NameError(f"name {name!r} is not defined")
        return value

    def __setitem__(self, name, value):
        if type(value) not in _PLAIN and value is not self.old.get(name):
            value = self.kept(name, value)
        self.bound.add(name)
        self.live[name] = value

    def kept(self, name, value):
        if name in self.batch.undecorated and name in self.old:
            _keep_bound(self.batch, self, name, value)
            return self.old[name]
        if self.facts.binds.get(name) == 1:
            return _keep_bound(self.batch, self, name, value)
        self.again[name] = None  # to be paired in this order
        return value

    def __delitem__(self, name):
        if self.is_stale(name):
            raise NameError(f"name {name!r} is not defined")
        del self.live[name]

    def __iter__(self):
        return iter([name for name in list(self.live) if not self.is_stale(name)])

    def __len__(self):
        return len(list(iter(self)))


_PLAIN = {int, str, float, bool, bytes, type(None), tuple, list, dict, set, frozenset, types.ModuleType, _Reloading,
          types.MemberDescriptorType, types.GetSetDescriptorType}


def _set_class_of(obj, cls):
    """Change an object's class past what the classes themselves make of `__class__`; raise TypeError where Python refuses."""
    if type(obj) is not cls:
        object.__dict__["__class__"].__set__(obj, cls)


def _is_class(obj):
    return issubclass(type(obj), type)  # isinstance() would ask lazy proxies for their __class__


def _is_function(obj):
    return type(obj) is types.FunctionType


def _names_of(source, namespace):
    """The names in an old namespace that the module's own code has put there, and the facts of that code."""
    spec = namespace["__spec__"]
    seen = _running(source.name, spec)
    if seen is None or seen.code is None:  # nothing is known but what each object says of itself
        return {n for n, v in namespace.items() if n in source.facts.binds or _module_of(v) == source.name}, _NO_FACTS
    facts = _facts(seen.code, _file_of(spec))
    facts = facts._replace(binds={**dict.fromkeys(seen.left, 1), **facts.binds}) if seen.left else facts
    if not facts.inspects.isdisjoint(_INSPECTORS - {"dir", "locals"}) or "__getattr__" in facts.binds:
        return set(namespace), facts  # it may have bound names that no statement shows
    if "*" not in facts.imported:
        return facts.binds, facts
    stars = [item for item in facts.imports if item.names == ("*",)]
    package = namespace.get("__package__") or ""
    return set(facts.binds).union(*[_star_names(_absolute(item.name, item.level, package), namespace) for item in stars]), facts


def _star_names(base, namespace):
    """The names in a namespace that a star import from base has put there."""
    batch = _batch
    view = batch and batch.views.get(base)
    theirs = view.old if view is not None else _namespace_of(base)
    return [n for n, v in theirs.items() if n in namespace and namespace[n] is v and not n.startswith("__")]


# -- what people hold ---------------------------------------------------------------------------------------------------
#
# One mechanism pairs: _keep(batch, old, new) gives the object to use where the reload made `new` and the program may hold
# `old`: the old one, brought up to date in place, wherever Python allows.  One carries out: _Replacer puts the kept objects
# into whatever the reload has made with the new ones before they were paired.

_ANNOTATIONS = "__annotate__" if hasattr(types.FunctionType, "__annotate__") else "__annotations__"  # PEP 649: asking would evaluate them
_FUNCTION_STATE = [name for name in ("__defaults__", "__kwdefaults__", "__doc__", "__name__", "__module__", "__type_params__", _ANNOTATIONS)
                   if name in types.FunctionType.__dict__]  # besides the code
_function_state, _annotations = attrgetter(*_FUNCTION_STATE), attrgetter(_ANNOTATIONS)
_vars_of_class = type.__dict__["__dict__"].__get__
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def _keep_bound(batch, view, name, value):
    """The object to bind to a module's name: the old one that value is the new version of, or value."""
    kind, old = type(value), view.old.get(name)
    if value is old or id(value) in batch.claimed:
        return value
    if kind is types.FunctionType:
        if type(old) is kind and _same_function(old, value):
            return _keep_function(batch, old, value)
        if value.__globals__ is view.live:
            old = view.old_named(value.__qualname__, old)
    elif issubclass(kind, type):
        if not _same_class(old, value):
            old = view.old_named(_qualname(value), old)
        twice = id(old) in batch.pairs and name in view.bound
        if not _is_class(old) or twice or view.imports(name) or _qualname(old) != _qualname(value) \
                or _vars_of_class(value).get("__module__") not in (view.name, _vars_of_class(old).get("__module__")):
            return value
        return _keep_class(batch, old, value)
    return _keep(batch, old, value)


# What a class is for Python itself, whatever its metaclass makes of it
_name_of, _qualname, _bases, _mro = (type.__dict__[name].__get__ for name in ("__name__", "__qualname__", "__bases__", "__mro__"))
_set_name = type.__dict__["__name__"].__set__
_sizes = [type.__dict__[name].__get__ for name in ("__basicsize__", "__itemsize__") if name in type.__dict__]  # PyPy has none


def _same(one, other):
    """Whether two values are the same object, or constants that no program tells apart."""
    kind = type(one)
    if one is other or kind is not type(other):
        return one is other
    return kind in (str, int, bytes) and one == other or kind is tuple and len(one) == len(other) and all(map(_same, one, other))


def _same_part(one, other):
    """The same of what a function is made of: its own dicts may hold the same."""
    if type(one) is not dict or type(other) is not dict:
        return _same(one, other)
    return len(one) == len(other) and all(map(is_, one, other)) and all(map(_same, one.values(), other.values()))


def _same_function(old, new):
    """Whether one function is a version of the other: the same name in the same place, and a closure of the same shape."""
    if old.__qualname__ != new.__qualname__ or old.__globals__ is not new.__globals__:
        return False
    was, code = old.__code__, new.__code__
    return (was is code or was.co_name == code.co_name and was.co_freevars == code.co_freevars) \
        and (old.__module__ == new.__module__ or new.__module__ == new.__globals__.get("__name__"))


def _module_of(value):
    """The module in which a class or function was made; None for all else."""
    if _is_class(value):
        return _vars_of_class(value).get("__module__")
    return value.__module__ if _is_function(value) else None


def _same_class(old, new):
    return issubclass(type(old), type) and _qualname(old) == _qualname(new) \
        and _vars_of_class(old).get("__module__") == _vars_of_class(new).get("__module__")


def _keep(batch, old, new):
    """Pair an old object with its new version; return the one to use from now on."""
    kind = type(new)
    if new is old or kind in _PLAIN:
        return new
    if id(new) in batch.pairs:
        return batch.pairs[id(new)][1]
    if kind is types.FunctionType and type(old) is kind and _same_function(old, new):
        return _keep_function(batch, old, new)
    if kind in _ATTRIBUTES and type(old) is kind:
        parts, make = _MADE_OF[kind]
        before, after = parts(old), parts(new)
        kept = [now if now is was else _keep(batch, was, now) for was, now in zip(before, after)]
        return old if all(map(is_, kept, before)) else new if all(map(is_, kept, after)) else make(*kept)
    if issubclass(kind, type):
        return _keep_class(batch, old, new) if _same_class(old, new) else new
    if type(old) is not kind or kind is types.FunctionType:
        return _keep_inner(batch, old, new)
    return _keep_wrapper(batch, old, new)


_MADE_OF = {  # {kind of object that cannot be changed: (what it is made of, how it is made)}
    tuple: (tuple, lambda *items: items),
    frozenset: (tuple, lambda *items: frozenset(items)),
    property: (attrgetter("fget", "fset", "fdel", "__doc__"), property),
    classmethod: (lambda method: (method.__func__,), classmethod),
    staticmethod: (lambda method: (method.__func__,), staticmethod),
    types.MethodType: (attrgetter("__func__", "__self__"), types.MethodType),
}
_ATTRIBUTES = {property, classmethod, staticmethod}
_WITHOUT_SET_NAME = _PLAIN | _ATTRIBUTES | {types.FunctionType}


def _keep_inner(batch, old, new):
    """A decorator came, went or changed: what is inside is still the same function."""
    pairs = [(was, now) for was in _layers(old) for now in (_unwrapped(new), new)]  # two closures may hold what is not theirs alone
    for was, now in pairs + [(was, now) for was in (_unwrapped(old), old) for now in _layers(new)]:
        if (was is not old or now is not new) and _is_function(was) and _is_function(now) and _same_function(was, now):
            if hasattr(type(old), "cache_clear"):
                batch.caches.append(old)
            kept = _keep_function(batch, was, now)
            return kept if now is new else new
    return new


def _layers(obj):
    """What a decorator may have wrapped in an object: `__wrapped__`, what its closure holds, a property's functions; and itself."""
    parts = _MADE_OF[type(obj)][0](obj) if type(obj) in _ATTRIBUTES else (obj,)
    return [*map(_unwrapped, parts), *[_content(cell) for cell in _is_function(obj) and obj.__closure__ or ()], obj]


def _unwrapped(obj):
    for _ in range(100):
        if type(obj) in _PLAIN:
            break
        namespace = getattr(type(obj), "__dictoffset__", 1) and not _is_class(obj) and _namespace(obj) or {}
        if type(obj) in (classmethod, staticmethod):
            obj = obj.__func__
        elif type(obj) is property:
            obj = obj.fget
        elif "__wrapped__" in namespace:
            obj = namespace["__wrapped__"]
        else:
            break
    return obj


def _keep_wrapper(batch, old, new):
    """An object around functions (lru_cache, partial, cached_property, a decorator's instance): pair what it wraps."""
    before, after = _namespace(old), _namespace(new)
    if before is None or after is None:
        return new
    functions = {name: value for name, value in after.items() if _is_function(value)}
    same = [name for name, value in functions.items() if _is_function(before.get(name)) and _same_function(before[name], value)]
    for name in same:
        after[name] = _keep(batch, before[name], after[name])
    if "__wrapped__" not in same or not hasattr(type(old), "cache_clear"):
        return new
    batch.caches.append(old)
    if _parameters(old) != _parameters(new) or after["__wrapped__"] is not before["__wrapped__"]:
        return new
    batch.do(_restore_namespace, before, {**before, **after}, old=dict(before))
    batch.pair(new, old)
    return old


def _namespace(obj):
    """The dict of an object's own attributes, past a property of that name; None if there is none."""
    descriptors = [_vars_of_class(cls).get("__dict__") for cls in _mro(type(obj))]
    own = next((each for each in descriptors if type(each) is types.GetSetDescriptorType), None)
    namespace = own.__get__(obj) if own is not None else None
    return namespace if type(namespace) is dict else None


def _parameters(cached):
    return cached.cache_info().maxsize, getattr(cached, "cache_parameters", dict)().get("typed")


def _keep_function(batch, old, new):
    """Give the old function the new one's code and state."""
    if id(old) in batch.claimed:
        return new
    batch.pairs[id(new)] = new, old
    batch.claimed.add(id(old))
    was, code = old.__code__, new.__code__
    if was is not code:
        if types.CodeType in map(type, code.co_consts):
            _pair_nested(batch, was, code)
        batch.log.append((_set_code, old, was))  # without batch.do(): this is what most of a first reload consists of
        _set_code(old, code)
    if not _same_state(old, new):
        _keep_state(batch, old, new)
    return old


def _same_state(old, new):
    """Whether two functions of the same name are made of the same objects, but for their code; written out, as all are asked."""
    return (old.__doc__ is new.__doc__ or _same(old.__doc__, new.__doc__)) \
        and old.__module__ == new.__module__ and old.__name__ == new.__name__ \
        and (old.__defaults__ is new.__defaults__ or _same(old.__defaults__, new.__defaults__)) \
        and (old.__kwdefaults__ is new.__kwdefaults__ or _same_part(old.__kwdefaults__, new.__kwdefaults__)) \
        and (not (old.__dict__ or new.__dict__) or _same_part(old.__dict__, new.__dict__)) \
        and (not (_annotations(old) or _annotations(new)) or _same_part(_annotations(old), _annotations(new))) \
        and (old.__closure__ is None or _identical(*[list(map(_content, function.__closure__)) for function in (old, new)]))


def _keep_state(batch, old, new):
    had = dict(old.__dict__)
    if "registry" in new.__dict__:
        _keep_dispatch(batch, old, new)
    kept = {name: _keep(batch, had[name], value) if name in had else value for name, value in new.__dict__.items()}
    batch.do(_set_function, old, (_function_state(new), kept), old=(_function_state(old), had))
    for mine, theirs in zip(old.__closure__ or (), new.__closure__ or ()):
        _keep_cell(batch, mine, theirs)


def _keep_dispatch(batch, old, new):
    """What modules that are not reloaded have registered with a functools.singledispatch function stays registered."""
    was, now = old.__dict__.get("registry"), new.__dict__["registry"]
    for cls, function in was.items() if type(was) is type(now) is types.MappingProxyType else ():
        if cls not in now and function.__module__ not in batch.plan.sources:
            new.register(cls, function)


def _set_function(function, state):
    values, attributes = state
    for name, had, value in zip(_FUNCTION_STATE, _function_state(function), values):
        if had is not value:
            setattr(function, name, value)
    _restore_namespace(function.__dict__, attributes)


def _pair_nested(batch, old, new):
    """Pair the code of the functions in a function, by name and order: the program may hold closures made from it."""
    named = {}
    for code in new.co_consts if new is not old else ():
        if type(code) is types.CodeType:
            named.setdefault(code.co_name, []).append(code)
    for code in old.co_consts if named else ():
        if type(code) is types.CodeType and named.get(code.co_name):
            version = named[code.co_name].pop(0)
            held = not code.co_name.endswith(("comp>", "genexpr>"))
            if held and code.co_freevars == version.co_freevars and not _same_code(code, version):
                batch.nested[id(code)] = code, version
            _pair_nested(batch, code, version)


_KIND_OF_FUNCTION = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def _set_code(function, code):
    """Set a function's code; where it becomes a generator, or the like, without the warning of Python 3.13 and later."""
    if not (function.__code__.co_flags ^ code.co_flags) & _KIND_OF_FUNCTION:
        function.__code__ = code
        return
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        function.__code__ = code


def _keep_cell(batch, old, new):
    """Give a kept function's cell the content of the new one's."""
    was, value = _content(old), _content(new)
    if value is not _MISSING and was is not value:
        batch.do(_set_cell, old, _keep(batch, was, value) if type(was) is type(value) else value, old=was)


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
    """Give the old class the new one's attributes and bases; where Python refuses, the new class takes over."""
    if id(old) in batch.claimed or id(new) in batch.pairs:
        return batch.pairs.get(id(new), (new, new))[1]
    if _kept_class(batch, type(new)) is type(old) is not type(new):  # made by the new version of its metaclass
        try:
            _set_class_of(new, type(old))
        except TypeError:  # the metaclass stays changed
            pass
    reason = _move(batch, old, new)
    if reason is not None:
        batch.pair(new, new)
        batch.claimed.add(id(old))
        batch.replaced.append((old, new, reason))
        return new
    batch.pair(new, old)
    before, after = _vars_of_class(old), _vars_of_class(new)
    if "_member_map_" in after and "_member_map_" in before:
        _keep_members(batch, old, new)
    if "_abc_impl" in after or "_abc_registry" in after:
        _keep_registered(batch, old, new)
    batch.do(_set_name, old, _name_of(new), old=_name_of(old))
    _keep_attributes(batch, old, after, new)
    _detach(new, old)
    return old


def _move(batch, old, new):
    """Give the old class the bases of the new one; return the reason why it cannot become the new one, if there is one."""
    bases = tuple([_kept_class(batch, base) for base in _bases(new)])
    if type(old) is type(new) and _identical(bases, _bases(old)) and "__slots__" not in [*_vars_of_class(old), *_vars_of_class(new)]:
        return None
    reason = _refusal(old, new)
    try:
        if reason is None:
            batch.do(_set_bases, old, bases, old=_bases(old))
    except TypeError as error:
        reason = str(error)
    return reason


def _keep_attributes(batch, old, after, new):
    """Give a class the attributes of its new version, the kept ones brought up to date."""
    before, changed = dict(_vars_of_class(old)), {}
    batch.log.append((_set_class, old, before))  # whatever changes: what is executed later may change it, too
    for name, value in after.items():
        was = before.get(name, _MISSING)
        if value is not was:
            kept = _keep(batch, was, value)
            if kept is not was and not _same(was, kept) and type(kept) not in _DESCRIPTORS:
                changed[name] = kept
                if type(kept) is property and hasattr(kept, "__set_name__"):  # from 3.13 on; one made here has not been told its name
                    kept.__set_name__(old, name)
    if changed or len(before) != len(after):
        _point_cell(changed.values(), new, old)
        _set_class(old, {name: changed.get(name, before.get(name)) for name in after})


def _kept_class(batch, cls):
    """The class that is there for a base or metaclass, which may not have been paired yet: its name is bound twice, or an
    attribute of a class's own base holds that class."""
    view = batch.views.get(_vars_of_class(cls).get("__module__")) if id(cls) not in batch.pairs else None
    name = _qualname(cls)
    if view is not None and view.live.get(name) is cls and _same_class(view.old.get(name), cls):
        return _keep_class(batch, view.old[name], cls)
    return batch.pairs.get(id(cls), (cls, cls))[1]


def _detach(new, old):
    """Make the new version of a kept class a subclass of it, in place of its bases' __subclasses__().

    Until it is replaced and collected, whoever got hold of it has a class that the kept methods, with their super(), fit.
    """
    if _bases(new)[0] is not object:
        try:
            type.__setattr__(new, "__bases__", (old,))
        except TypeError:  # its layout differs
            pass


def _refusal(old, new):
    """Why the old class cannot become the new one, or None."""
    return next((f"its {what} changed" for what, of in _SHAPE.items() if of(old) != of(new)), None)


_SHAPE = {
    "metaclass": lambda cls: id(type(cls)),
    "__slots__": lambda cls: {name for name, value in _vars_of_class(cls).items() if type(value) is types.MemberDescriptorType},
    "layout": lambda cls: [*[of(cls) for of in _sizes],
                           *[any([name in _vars_of_class(each) for each in _mro(cls)]) for name in ("__dict__", "__weakref__")]],
}


def _set_class(cls, wanted):
    """Make a class have just these attributes, past metaclasses and frozen dataclasses that refuse."""
    current = _vars_of_class(cls)
    for name, value in wanted.items():
        if current.get(name, _MISSING) is not value and type(value) not in _DESCRIPTORS:
            _set_attribute(cls, name, value)
    for name in [name for name in current if name not in wanted and type(current[name]) not in _DESCRIPTORS]:
        _set_attribute(cls, name, _MISSING)


def _set_attribute(cls, name, value):
    """Set or delete an entry of a class's own namespace."""
    over = [_vars_of_class(meta)[name] for meta in _mro(type(cls)) if name in _vars_of_class(meta)]
    if not over or over[0] is _vars_of_class(type).get(name) or not hasattr(type(over[0]), "__set__"):
        type.__delattr__(cls, name) if value is _MISSING else type.__setattr__(cls, name, value)
        return
    for namespace in gc.get_referents(cls):  # a property of the metaclass stands before the class's own entry
        if type(namespace) is dict and namespace.get("__module__") is _vars_of_class(cls)["__module__"] and name in namespace:
            _restore_item(namespace, name, value)
            type.__setattr__(cls, "__module__", namespace["__module__"])  # lets Python drop what it has cached of the class
            return


def _point_cell(values, new, old):
    """Let the __class__ cell behind super(), which the methods share, hold the kept class."""
    for function in [layer for value in values for layer in _layers(value) if _is_function(layer)]:
        for cell in function.__closure__ or ():
            if _content(cell) is new:
                cell.cell_contents = old


def _keep_members(batch, old, new):
    """Enum members keep their identity by name, as far as what they are (an int, a str) lets them change."""
    mapped = {}
    plain = old._member_type_ is object
    for name, member in new._member_map_.items():
        kept = old._member_map_.get(name)
        if kept is None or not plain and not (type(kept._value_) is type(member._value_) and kept._value_ == member._value_):
            kept = member
        if mapped.get(id(member), (member, member))[1] is member:  # of its names, the first that had a member decides
            mapped[id(member)] = member, kept
    for member, kept in mapped.values():
        namespace, state = kept.__dict__, dict(member.__dict__)
        state.update({k: old for k, v in state.items() if v is new})
        batch.do(_restore_namespace, namespace, state, old=dict(namespace))
        if kept is member:
            _set_class_of(member, old)
        else:
            batch.pair(member, kept)
    for value in list(_vars_of_class(new).values()):
        _Replacer([pair for pair in mapped.values() if pair[0] is not pair[1]]).patch(value)


def _keep_registered(batch, old, new):
    """Classes from modules that are not reloaded stay registered with an abstract base class."""
    for reference in _get_dump(old)[0]:
        cls = reference()
        if cls is not None and cls.__module__ not in batch.plan.sources:
            type(new).register(new, cls)


class _Replacer:
    """Puts kept objects in the place of their new versions in the objects that a reload has made."""

    def __init__(self, pairs):
        self.pairs, self.owners = {id(pair[0]): pair for pair in pairs}, None  # {id(new): _Pair}, {id(namespace): its class}

    def owner(self, namespace):
        """The class whose own namespace this is, if any: Python caches what is in a class, so never write past the class."""
        if self.owners is None:
            classes = [obj for obj in gc.get_objects() if _is_class(obj)]
            self.owners = {id(part): cls for cls in classes for part in gc.get_referents(cls) if type(part) is dict}
        return self.owners.get(id(namespace))

    def find(self, obj):
        pair = self.pairs.get(id(obj))
        return obj if pair is None else pair[1]

    def has(self, objects):
        return not self.pairs.keys().isdisjoint(map(id, objects))

    def replace_in(self, objects):
        """Patch those of the objects that hold or are instances of one to replace."""
        classes = {pair.new for pair in self.pairs.values() if _is_class(pair.new)}
        self.replace([obj for obj in objects if type(obj) in classes or self.has(gc.get_referents(obj))])

    def replace(self, holders):
        """Patch the holders; go on with what holds the holders that cannot be patched themselves (tuples, methods)."""
        for _ in range(8):
            patched = [(holder, self.patch(holder)) for holder in holders]
            rebuilt = [_Pair(holder, other) for holder, other in patched if other is not holder]
            if not rebuilt:
                return
            self.pairs = {id(pair.new): pair for pair in rebuilt}
            holders = _referrers([pair.new for pair in rebuilt])

    def patch(self, holder):
        """Replace in one object; return it, or what has to stand in its place."""
        kind, find = type(holder), self.find
        if kind in _MADE_OF:
            parts, make = _MADE_OF[kind]
            return make(*map(find, parts(holder))) if self.has(parts(holder)) else holder
        for value, setter, *place in _parts(holder):
            if find(value) is not value:
                try:
                    setter(*place, find(value))
                except TypeError:  # the class of an int, bases of another layout: it stays what it is
                    pass
        if kind is set:
            for item in [item for item in holder if find(item) is not item]:
                holder.add(find(item))
                holder.discard(item)
        namespace = holder if issubclass(kind, dict) else _namespace(holder)  # from 3.13 on, not always an object that the collector knows
        if namespace:
            self.patch_dict(namespace)
        return holder

    def patch_dict(self, holder):
        owner = self.owner(holder) if "__module__" in holder and "__doc__" in holder else None
        if owner is not None:
            return self.patch(owner)
        find, moves = self.find, False
        for key, value in list(dict.items(holder)):
            moves = moves or find(key) is not key
            if moves:  # to the end, like all that follow: that keeps their order, and other threads miss at most one for a moment
                dict.update(holder, {find(key): find(dict.pop(holder, key, value))})
            elif find(value) is not value and not (type(value) is weakref.ref and key == id(value())):  # a class's __subclasses__()
                dict.__setitem__(holder, key, find(value))


def _parts(holder):
    """Yield (value, setter, *arguments) for all that an object holds, except by the keys of a dict: setter(*arguments, other)
    would have it hold another value in that place."""
    kind = type(holder)
    yield kind, _set_class_of, holder
    if issubclass(kind, list):
        yield from [(item, list.__setitem__, holder, index) for index, item in enumerate(list.__iter__(holder))]
    elif kind is types.CellType:
        yield _content(holder), _set_cell, holder
    elif kind is types.FunctionType:
        yield holder.__defaults__, setattr, holder, "__defaults__"
    elif kind is functools.partial:
        yield from [(value, _set_in_partial, holder, index) for index, value in enumerate(holder.__reduce__()[2])]
    elif issubclass(kind, type):
        yield _bases(holder), _set_bases, holder
        yield from [(value, _set_attribute, holder, name) for name, value in _vars_of_class(holder).items()]
    else:
        yield from [(value, member.__set__, holder) for member, value in _members(holder)]


def _members(obj):
    """[(descriptor, value)] of the slots of an object that are not empty."""
    classes, found = [cls for cls in _mro(type(obj)) if "__slots__" in _vars_of_class(cls)], []
    for member in [value for cls in classes for value in _vars_of_class(cls).values() if type(value) is types.MemberDescriptorType]:
        try:
            found.append((member, member.__get__(obj)))
        except AttributeError:
            pass
    return found


def _set_in_partial(partial, index, value):
    state = list(partial.__reduce__()[2])
    state[index] = value
    partial.__setstate__(tuple(state))


def _referrers(objects):
    """What holds one of the objects in a list: not the list itself, nor the arguments of this very question, as PyPy has it."""
    holders = []
    for holder in gc.get_referrers(objects, *objects):  # a comprehension's cell would hold the list
        if holder is not objects and not (type(holder) is tuple and holder and holder[0] is objects):
            holders.append(holder)
    return holders


# -- what changed on disk -----------------------------------------------------------------------------------------------

_tried = {}  # {scope: {(function, argument): its answer}} where the last reload failed: another answer is worth another try


def is_changed(module):
    """Whether the file of a loaded module (or its dotted name) differs from what runs; a touch makes no difference.

    Raise TypeError or ImportError as `deep_reload` does.
    """
    name = _named(module)
    with _lock:
        return _is_changed(name, _dict_of(sys.modules[name])["__spec__"])


def reload_changed(*, include=(), exclude=()):
    """Execute again what changed on disk and what imports it; one step of polling.

    `include` and `exclude` are as for `deep_reload`.  Return the names executed, in order; [] if there was nothing to do.
    Raise ReloadError if a module fails: then nothing has changed, and the next save of any file concerned tries again.
    """
    with _lock:
        if _batch is not None:
            return []
        scope = _Scope(include, exclude)
        changed = list(_changes(scope))
        key = scope.include, scope.exclude
        questions = {(_signature, _path_of(name)) for name in changed}.union(_tried.get(key, ()))
        answers = _answers(questions)  # before the reload: a file may be saved while it fails
        if not changed or answers == _tried.get(key):
            return []
        try:
            batch = Batch(lambda: _plan_changed(scope, changed))
            batch.execute()
        except BaseException as error:
            by_user = isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
            if not by_user:  # else nothing is wrong with the files
                _tried[key] = {**_answers(_questions(error)), **answers}
            raise
        _tried.pop(key, None)
        return batch.finished


def _path_of(name):
    return _file_of(_spec_of(sys.modules[name]))


def _changes(scope):
    """{name: signature} of the loaded modules in scope whose files differ from what runs."""
    table = scope.table()
    stamps = dict(zip(table.at, _stamps(table.at)))
    if stamps == table.stamps:
        return {}
    suspects = [path for path, stamp in stamps.items() if stamp is None or stamp != table.stamps.get(path)]
    changes = {}
    for name in dict.fromkeys(name for path in suspects for name in table.at[path]):
        spec = _spec_of(sys.modules[name])
        if _is_changed(name, spec):
            changes[name] = _signature(spec.origin)
        folder = os.path.splitext(spec.origin or "")[0]
        if folder not in table.at and os.path.isdir(folder):  # where the __init__.py of a package may appear
            table.at[folder] = [name]
    for path in suspects:  # all are looked at until they run what their files say
        stamp, known = stamps[path], _seen.get(path, _UNKNOWN).signature  # there is none for folders
        if stamp is not None and _settled(stamp) and known in (stamp, None) and changes.keys().isdisjoint(table.at[path]):
            table.stamps[path] = stamp
    return changes


def _stamps(paths):
    try:
        return list(map(_stamp, map(os.stat, paths)))
    except (OSError, ValueError):
        return list(map(_signature, paths))


def _is_changed(name, spec):
    path = _file_of(spec)
    signature = _signature(path)
    found = _spec_now(name, spec, path, signature)
    if found is not spec:  # a file that is gone for a moment, or a module that became a package
        return found is not None and (path is None or found.has_location and found.origin != path)
    seen = _running(name, spec) if not _opaque(spec) else None
    if seen is None or seen.signature == signature and seen.settled:
        return False
    if signature[2] != seen.signature[2]:
        return not (signature[2] == 0 and time.time_ns() - signature[0] < 1_000_000_000)  # truncated, and not written yet
    try:
        code = _code_of(name, spec, path, signature)
        if code is None and seen.code is not None:  # the loader executes by itself what its base class compiles
            code = spec.loader.source_to_code(spec.loader.get_data(path), path)
    except Exception:
        return True
    if seen.code is None or not _same_code(code, seen.code):
        return True
    _seen[path] = seen._replace(signature=signature, settled=_settled(signature))
    return False


def _same_code(one, other):
    """Whether two code objects are equal to the last line number (which `==` leaves out before Python 3.12)."""
    nested = zip(one.co_consts, other.co_consts)
    table = "co_linetable" if hasattr(one, "co_linetable") else "co_lnotab"
    return one == other and getattr(one, table) == getattr(other, table) \
        and all(_same_code(a, b) for a, b in nested if type(a) is type(b) is types.CodeType)


def _running(name, spec, signature=None, compiles=True):
    """What is known of the code that a module runs; for one imported before deepreload its bytecode file tells."""
    path = _file_of(spec)
    seen = _seen.get(path)
    signature = signature or _signature(path)
    if signature is None or seen is not None and seen.code is not None:
        return seen
    code, header = _bytecode(spec)
    if code is not None and header != (signature[0] // 1_000_000_000 & 0xFFFFFFFF, signature[2] & 0xFFFFFFFF) \
            and not sys.dont_write_bytecode and os.access(os.path.dirname(spec.cached), os.W_OK):
        seen = Seen((-1, -1, header[1], -1), True, code, None)
    elif seen is None or seen.signature == signature:
        if code is None or not _bytecode_is_sound(spec, signature):
            try:
                code = _code_of(name, spec, path, signature) if compiles else None
            except Exception:
                code = None
        seen = Seen(signature, _settled(signature), code, None)
    _seen[path] = seen
    return seen


def _bytecode(spec):
    """The code in a module's bytecode file, and the (mtime, size) of the source it was made from."""
    import marshal
    try:
        with open(spec.cached, "rb", buffering=0) as file:
            data = file.read()
        if data[:4] == importlib.util.MAGIC_NUMBER and data[4:8] == bytes(4):
            code = marshal.loads(data[16:])
            return code, (int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little"))
    except (OSError, TypeError, ValueError, EOFError):
        pass
    return None, None


def _plan_changed(scope, changed):
    """Plan the changed modules and all that import them, in the order in which the program came to import them."""
    plan = Plan(scope)
    plan.dependents = dependents = _dependents(plan)
    others = _by_order_below(plan, changed)
    affected = _reach([*changed, *others], lambda name: [other for other, late in dependents.get(name, {}).items()
                                                        if late is not True or _imports_at_once(plan, other, name)])
    plan.skip = sys.modules.keys() - affected.keys()  # what is not loaded yet may come in
    loaded = [name for name in list(sys.modules) if name in affected]
    tops = [name for name in loaded if not any(d in affected and d != name for d in dependents.get(name, ()))]
    for name in _imports_of_main() + tops + loaded[::-1]:
        plan.visit(name)
    return plan


def _reach(names, step):
    """{name: step(name)} of the names and all that these steps lead to, depth first."""
    reached, stack = {}, list(names)[::-1]
    while stack:
        name = stack.pop()
        if name not in reached:
            reached[name] = step(name)
            stack += list(reached[name])[::-1]
    return reached


def _imports_at_once(plan, name, target):
    """Whether a function that imports target may have been called while its module, or one that imports it, was imported."""
    source, imports, dynamic = _running_source(name), [], []
    if source.code is None or not _knows_bytecode():
        return source.code is not None
    importers = [_running_source(other).code for other in plan.dependents.get(name, ())]
    for code in _called(source.code, set().union(*map(_all_names, filter(None, importers)))):
        _scan(code, code.co_code, False, imports, {}, {})
        if not _IMPORTERS.isdisjoint(code.co_names):
            dynamic += [(text, False) for text in _dotted(code.co_consts + source.code.co_consts)]
    facts = source.facts._replace(imports=imports, dynamic=dynamic)
    return any(target == each for each, late, named in plan.targets(source._replace(facts=facts), ()))


def _all_names(code):
    return set(code.co_names).union(*[_all_names(inner) for inner in code.co_consts if type(inner) is types.CodeType])


def _called(code, names):
    """What of a module's code may be executed as it is imported: its own, that of its classes, and the functions whose names,
    or those of their classes, are among `names` or are read by what may be executed."""
    found, waiting, names, size = [], [("", code)], {*names, "__getattr__"}, None
    while size != len(found):
        size, others = len(found), []
        for owner, each in waiting:  # to which the loop adds
            if each.co_flags & _IN_FUNCTION and each.co_name[0] != "<" and names.isdisjoint((owner, each.co_name)):
                others.append((owner, each))
                continue
            found.append(each)
            names.update(_names_read(each))
            waiting += [(each.co_name, inner) for inner in each.co_consts if type(inner) is types.CodeType]
        waiting = others
    return found


def _names_read(code):
    """The names that code reads; a module's or a class's own also name all that it defines."""
    if code.co_flags & _IN_FUNCTION:
        return code.co_names
    ops, args, names, _ = _instructions(code, code.co_code)
    return [names[arg] for op, arg in zip(ops, args) if op == _LOAD_NAME]


def _dependents(plan):
    """{name: {importer: late}} of the modules in scope, by the code that they run."""
    table = plan.table
    for name in table.names:
        if name in sys.modules:
            edges = _running_edges(plan, name)
            if table.linked.get(name) is not edges:
                table.link(name, edges)
    return table.dependents


def _running_edges(plan, name):
    """{target: late} of what a loaded module in scope imports, by the code that it runs."""
    known, running = plan.table.edges.get(name, _NO_EDGES), _seen.get(plan.table.names[name], _UNKNOWN).code
    return known.edges if known.code is running is not None else plan.edges(_running_source(name))


def _running_source(name):
    """A Source that says what a module runs, whatever its file says now."""
    spec = _spec_of(sys.modules.get(name))
    path = _file_of(spec)
    seen = _running(name, spec) or _UNKNOWN
    if seen.facts is None and seen.code is None and path and _opaque(spec):
        seen = _seen[path] = _UNKNOWN._replace(facts=_facts_of_loader(name, spec.loader))
    return Source(name, spec, path, None, seen.code, seen.facts or _facts(seen.code, path))


def _facts_of_loader(name, loader):
    """The facts of a module in an archive, say: its loader does not tell whether they are still those of what runs."""
    try:
        return _facts(loader.get_code(name))
    except Exception:
        return _NO_FACTS


def _imported(reader, source):
    """The modules in scope that a module imports when it is executed, in order."""
    targets = [target for target, late in reader.imports(source).items() if late is not True]
    return [target for target in targets if target != source.name and reader.load(target)]


def _by_order_below(reader, changed):
    """What comes out by the order of the imports: cycles below the modules that import something else now, or that they imported
    before; and star imports of packages, there or of one that gets a submodule, which bring in the submodules loaded by then."""
    now = {name: _imported(reader, reader.load(name)) for name in changed if reader.load(name).spec is not None}
    before = {name: _imported(reader, reader.load(name)._replace(facts=_running_source(name).facts)) for name in now}
    imports = _reach([name for name in now if now[name] != before[name]],
                     lambda name: [*_imported(reader, reader.load(name)), *before.get(name, ())] if name in sys.modules else ())
    fuller = {name.rpartition(".")[0] for name in imports if name not in sys.modules}  # packages that get another submodule
    importers = {importer for package in fuller for importer in reader.dependents.get(package, ())}
    stars = [name for name in importers.union(imports) if name in sys.modules and _has_star_of_package(reader.load(name))]
    size, below = None, set(imports)
    while size != len(below):  # what imports nothing of them, or is imported by none of them, is in no cycle
        size = len(below)
        below = {name for name in below if not below.isdisjoint(imports[name])}
        below &= set().union(*[imports[name] for name in below])
    return below.union(stars)


def _has_star_of_package(source):
    package = Batch.package(_namespace_of(source.name)) or ""
    stars = [_absolute(item.name, item.level, package) for item in source.facts.imports if item.names == ("*",)]
    return any("__path__" in _namespace_of(name) for name in stars)


def _imports_of_main():
    """What the script imports, in order; submodules that it imports from packages included."""
    namespace = _namespace_of("__main__")
    facts, package = _facts_of_main(namespace), Batch.package(namespace) or ""
    bases = [(_absolute(item.name, item.level, package), item.names) for item in facts.imports] if facts else []
    return [each for base, names in bases for each in (base, *[f"{base}.{name}" for name in names]) if each in sys.modules]


def _questions(error):
    """What to ask again after a failure: were the files concerned saved, and are the modules there that were not found?"""
    questions, errors = set(), [error]
    for error in errors:  # to which the loop adds; it may lead back
        files = [path for path, line in _places(error.__traceback__)]
        if isinstance(error, (SyntaxError, OSError)):
            files.append(error.filename)
        if isinstance(error, ImportError):
            files.append(error.path)
            submodule = re.match(r"cannot import name '(\w+)'", _text(error))  # which it may be when it comes
            if submodule or isinstance(error, ModuleNotFoundError):
                questions.add((_is_there, f"{error.name}.{submodule.group(1)}" if submodule else error.name))
        files = [os.fsdecode(file) for file in files if isinstance(file, (str, bytes, os.PathLike))]
        questions.update((_signature, file) for file in files if not file.startswith("<"))
        errors += [each for each in (error.__cause__, error.__context__) if not any(each is known for known in (None, *errors))]
    return questions


def _answers(questions):
    return {(function, argument): function(argument) for function, argument in questions}


def _is_there(name):
    """Whether the finders find a module, whatever is loaded."""
    _invalidate_finders()
    spec, path = None, None
    try:
        for each in (*_parents(name), name):
            try:
                spec = _find_spec(each, path)
            except KeyError:  # of a namespace package, which looks for its parent in sys.modules
                spec = importlib.machinery.PathFinder._get_spec(each, path)
            path = _namespace_of(each).get("__path__", spec and spec.submodule_search_locations) or ()
    except Exception:  # a finder's
        return False
    return spec is not None


# -- unloading ----------------------------------------------------------------------------------------------------------

class Unloaded(collections.namedtuple("Unloaded", "names alive")):
    """What `deep_unload` did: `names`, the modules unloaded, in order; `alive`, {name: (holders in words, ...)} of those of
    which something is still held.  True if all was freed."""

    __slots__ = ()

    def __bool__(self):
        return not self.alive

    def __str__(self):
        lines = [f"unloaded {len(self.names)}: {_listing(self.names)}"]
        for name, holders in self.alive.items():
            lines.append(f"{name} is still held by " + (", ".join(holders) or "something that could not be found"))
        return "\n".join(lines)


def deep_unload(module, *, include=(), exclude=(), force=False):
    """Forget a module, its submodules and the modules in scope that only they needed, dependents first.

    `module` is a loaded module or its dotted name, `include` and `exclude` are as for `deep_reload`.  Return an `Unloaded`:
    what went, what is still alive, and who holds it.  Raise TypeError or ImportError for what cannot be unloaded, and
    ImportError if a module outside imports one of them at its top level: `force=True` goes on.  Then nothing has changed.
    """
    name = _named(module)
    del module
    with _lock:
        if _batch is not None:
            raise ImportError(f"{name!r} cannot be unloaded while modules are being reloaded: do it afterwards", name=name)
        if _in_stdlib(_spec_of(sys.modules[name]).origin):
            raise ImportError(f"{name!r} belongs to the standard library, which cannot be unloaded", name=name)
        names, outsiders = _plan_unload(name, _Scope(include, exclude, name))
        if outsiders and not force:
            reasons = "; ".join(f"{importer} imports {', '.join(names)}" for importer, names in outsiders.items())
            raise ImportError(f"{name!r} cannot be unloaded: {reasons}; unload these first, or pass force=True", name=name)
        for each in names:
            _call_hook(each)
        names, outsiders = _plan_unload(name, _Scope(include, exclude, name))  # the hooks may have imported something
        watched, namespaces = _watched(names)
        _forget(names)
        gc.collect()
        return Unloaded(tuple(names), types.MappingProxyType(_still_alive(name, watched, namespaces)))


def _plan_unload(root, scope):
    """The modules to unload, dependents first, and {outsider: [what it imports of them]}."""
    edges, above = _edges_of_all(scope), _parents(root)
    inside = {name for name in list(sys.modules) if (name + ".").startswith(root + ".") and name in scope}
    below = _reach(inside, lambda name: [target for target in edges.get(name, ()) if target in scope and target not in above])
    used = _reach(edges.keys() - below.keys(), lambda name: edges.get(name, ()) if name not in inside else ())
    inside |= below.keys() - used.keys()
    outsiders = {}
    for importer, targets in edges.items():
        names = sorted(target for target in inside.intersection(targets) if targets[target] is False)
        if names and importer not in inside:
            outsiders[importer] = names
    order = Plan(scope, skip=sys.modules.keys() - inside)
    for name in [root] + [name for name in list(sys.modules) if name in inside]:
        order.visit(name)
    return [name for name in reversed(order.finished) if name in sys.modules], outsiders


def _edges_of_all(scope):
    """{name: {target: late}} of all that is loaded, in scope or not; a module counts as a late importer of its package."""
    plan, edges = Plan(scope), {"__main__": dict.fromkeys(_imports_of_main(), True)}
    for name, module in list(sys.modules.items()):
        if not _fixed(name, module) and not _in_stdlib(_spec_of(module).origin):
            edges[name] = {name.rpartition(".")[0]: True, **plan.edges(_running_source(name))}
    return edges


def _forget(names):
    """Take modules out of the interpreter's tables, or, if that is interrupted, leave all as it was."""
    undo, specs = [(_restore_namespace, sys.modules, dict(sys.modules), True)], [_spec_of(sys.modules[name]) for name in names]
    try:
        for name in names:
            parent, _, child = name.rpartition(".")
            above, module = _namespace_of(parent), sys.modules.pop(name)
            if parent not in names and above.get(child) is module:
                undo.append((_restore_item, above, child, module))
                del above[child]
        _drop_bytecode(specs)
        _clear_lines(spec.origin for spec in specs)
        _invalidate_finders()
        for clear in getattr(sys.modules.get("typing"), "_cleanups", ()):
            clear()  # Optional[C] and the like are cached with their classes
        for spec in specs:
            _seen.pop(spec.origin, None)
            for tried in _tried.values():
                tried.pop((_signature, spec.origin), None)
        _tables.clear()  # in PyPy the code that they know holds the namespace it ran in
    except BaseException:
        for function, *args in undo:
            function(*args)
        raise


def _watched(names):
    """{name: weak references to a module and what it made}, and {id: name} of the namespaces, to which there are none."""
    watched, namespaces = {}, {}
    for name in names:
        module = sys.modules[name]
        namespaces[id(_dict_of(module))] = name
        made = {id(each): each for each in _dict_of(module).values() if _module_of(each) == name}
        waiting = list(made.values())
        for each in filter(_is_class, waiting):  # to which the loop adds classes in classes: they need not hold the namespace
            for value in _vars_of_class(each).values():
                if _is_class(value) and _module_of(value) == name and id(value) not in made:
                    made[id(value)] = value
                    waiting.append(value)
        watched[name] = [weakref.ref(each) for each in [module, *made.values()]]
    return watched, namespaces


def _still_alive(root, watched, namespaces):
    """{name: holders} of the unloaded modules of which something is still held, and of the extension modules that stay."""
    left = {name: [obj for obj in (ref() for ref in references) if obj is not None] for name, references in watched.items()}
    for obj in gc.get_objects():
        if id(obj) in namespaces and type(obj) is dict and obj.get("__name__") == namespaces[id(obj)]:
            left[obj["__name__"]].append(obj)
    found = _Holders({id(obj): name for name, objects in left.items() for obj in objects}).search()
    alive = {name: tuple(found[name]) for name, objects in left.items() if objects}
    for name, module in list(sys.modules.items()):
        if name.startswith(root + ".") and _fixed(name, module):
            alive[name] = (f"{name} (extension module)",)
    return alive


def _running_frames():
    """Yield (name of its thread, frame, line) of what runs."""
    import traceback
    threads = {t.ident: t.name for t in threading.enumerate()}
    for ident, top in sys._current_frames().items():
        for frame, line in traceback.walk_stack(top):
            yield threads.get(ident, ident), frame, line


class _Holders:
    """Finds who holds what is left of unloaded modules, in the words of the program: names, keys, attributes, frames.

    The search goes through what the loaded modules hold, the nearest first; then through what the running frames hold; and
    last through what is left itself, where nothing else has been found to hold something.
    """

    most, seconds = 20, 5  # holders to name of each module, and steps of the way to one; the time to look for them

    def __init__(self, left):
        import reprlib
        self.left, self.rest = left, []  # {id of an object: the name of its module}, and those that have been found
        self.found = {name: {} for name in left.values()}  # {name: {holder in words: None}}
        passed_by = [globals(), _namespace_of("threading"), *[frame for thread, frame, line in _running_frames()]]  # which say it
        self.above = dict.fromkeys(map(id, passed_by))  # {id: its holder, or in words what a search begins with}
        shortener = reprlib.Repr()
        shortener.maxstring = shortener.maxother = 200
        self.repr = shortener.repr  # which minds no key that raises
        self.own = {id(kind) for kind in globals().values() if _is_class(kind)}

    def search(self):
        self.until, self.wanted = time.monotonic() + self.seconds, set(self.found)
        names = sorted(list(sys.modules), key="__main__".__eq__)  # it comes last: what it imports has its name from where it comes
        self.begin([(str(name), _namespace_of(name)) for name in names])
        self.begin(self.frames())
        self.wanted = {name for name, holders in self.found.items() if not holders}
        self.go_through(self.rest)
        if time.monotonic() > self.until:
            given_up = {f"something: the search was given up after {self.seconds} seconds": None}
            return {name: holders or given_up for name, holders in self.found.items()}
        return self.found

    @staticmethod
    def frames():
        """The variables of the running frames, each with the namespace that its code belongs to."""
        for thread, frame, line in _running_frames():
            code, held = frame.f_code, [frame.f_globals]
            if code.co_filename != __file__ and not _in_stdlib(code.co_filename) and frame.f_locals is not frame.f_globals:
                held += frame.f_locals.values()
            where = f"{frame.f_globals.get('__name__', '?')}.{getattr(code, 'co_qualname', code.co_name)}"
            yield f"frame of {thread} in {where}, line {line}", held

    def begin(self, roots):
        """Search from (in words, object) on."""
        objects = []
        for words, obj in roots:
            if obj and self.above.setdefault(id(obj), words) is words:
                objects.append(obj)
        self.go_through(objects)

    def go_through(self, objects):
        left, above = self.left, self.above
        tracked = getattr(gc, "is_tracked", id)  # PyPy tracks all; what others do not track holds nothing
        for holder in objects:  # to which the loop adds
            if not self.wanted or time.monotonic() > self.until:
                break
            found = {}
            for part in holder if type(holder) in (list, tuple) else gc.get_referents(holder):  # which has these from behind
                if id(part) in left:
                    found[id(part)] = part
                elif id(part) not in above and tracked(part) and id(type(part)) not in self.own:
                    above[id(part)] = holder
                    objects.append(part)
            for part in found.values():
                self.note(holder, part)

    def note(self, holder, part):
        """Say that something of what is left is held."""
        found = self.found[self.left[id(part)]]
        if id(part) not in self.above:
            self.above[id(part)] = holder
            self.rest.append(part)
        if self.left[id(part)] in self.wanted and len(found) < self.most:
            holder = self.owner(holder)
            found.update((self.words(holder, link), None) for link in self.links(holder, part)[:self.most])

    def words(self, holder, link):
        """The way to a holder, and on to what it holds, as far as the program has words for it."""
        top, way = holder, [link]
        while type(self.above[id(top)]) is not str:
            part, top = top, self.owner(self.above[id(top)])
            above = self.links(top, part)[0]
            if above:
                way.append(above)
            else:
                way.clear()
        if type(top) is dict:  # the namespace of a module
            if len(way) > self.most:
                way[self.most // 2:-self.most // 2] = [" ... "]
            return self.above[id(top)] + "".join(reversed(way))
        if link.startswith(".") and holder is not top and not _is_function(holder):
            return f"attribute {link[1:]!r} of <{type(holder).__name__} object>"
        return self.above[id(top)]

    def links(self, holder, part):
        """How a holder comes to a part of it: .name, [key], or [""] for no words."""
        kind = type(holder)
        if issubclass(kind, dict):
            items = dict.items(holder)
        elif issubclass(kind, (list, tuple)):
            items = enumerate(list.__iter__(holder) if issubclass(kind, list) else tuple.__iter__(holder))
        elif _is_function(holder):
            items = [("__globals__", holder.__globals__), ("__defaults__", holder.__defaults__), *holder.__dict__.items()]
        else:
            items = (_vars_of_class(holder) if _is_class(holder) else _namespace(holder) or {}).items()
        keys = [key for key, value in list(items) if value is part]
        if issubclass(kind, (dict, list, tuple)) and type(self.above[id(holder)]) is not str:
            return [f"[{self.repr(key)}]" for key in keys] or [""]
        return [f".{_text(key)}" for key in keys] or [""]

    def owner(self, holder):
        """The object or class whose namespace a dict is; anything else itself."""
        above = self.above[id(holder)]
        return above if type(holder) is dict and (_is_class(above) or _namespace(above) is holder) else holder


# -- automatic mode -----------------------------------------------------------------------------------------------------

_QUIET = 0.05  # seconds without a further save before a reload, so that a checkout of many files comes as one
_watchers = weakref.WeakSet()


def watch(interval=0.5, *, include=(), exclude=(), on_reload=None, on_error=None):
    """Call `reload_changed` again and again in a daemon thread; return its `Watcher`.

    `interval` is the time between two looks in seconds; `include` and `exclude` are as for `deep_reload`.
    `on_reload(names)` is called after each reload, `on_error(error)` for a reload that failed; without it, it is logged.
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
        self._interval, self._scope = min(interval, threading.TIMEOUT_MAX), _Scope(include, exclude)
        self._on_reload, self._on_error = on_reload, on_error

    def _start(self):
        self._changes()  # from here on: what was not known of what runs is what is on disk now
        self._stopped = threading.Event()
        _watchers.add(self)
        self._thread = threading.Thread(target=self._watch, name="deepreload", daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """Stop watching; a reload under way is finished first."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def _watch(self):
        while not self._stopped.wait(self._interval):
            try:
                if self._settled(self._stopped.wait) and not self._stopped.is_set():
                    self._reload()
            except BaseException:  # whatever user code raises: the next save must be seen
                _log().exception("watching goes on")

    def _settled(self, pause):
        """Wait until what changed has stopped changing; return it."""
        before, changes = {}, self._changes()
        while changes != before:
            pause(_QUIET)
            before, changes = changes, self._changes()
        return changes

    def _changes(self):
        with _lock:
            return _changes(self._scope)

    def _reload(self):
        try:
            names = reload_changed(include=self._scope.include, exclude=self._scope.exclude)
        except BaseException as error:
            self._on_error(error)
        else:
            if names and self._on_reload:
                self._on_reload(names)


def _log_error(error):
    _log().error("%s", error, exc_info=error.__cause__ or error)


def _after_fork():
    global _lock
    _lock = threading.RLock()  # the parent's other threads, which may hold it, are not in the child
    for watcher in list(_watchers):
        watcher._stopped = threading.Event()  # the same


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def load_ipython_extension(shell):
    """%load_ext deepreload: every cell starts with a `reload_changed()`."""
    with _lock:
        _changes(_Scope())
    shell.events.register("pre_run_cell", _before_cell)


def unload_ipython_extension(shell):
    """%unload_ext deepreload."""
    shell.events.unregister("pre_run_cell", _before_cell)


def _before_cell(info=None):
    try:
        reload_changed()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        print(_user_traceback(error.__cause__ or error) + f"deepreload: {_described(error)}", file=sys.stderr)


# -- the command line ---------------------------------------------------------------------------------------------------

def main(argv=None):
    """Run a script or a module, swap in what is saved while it runs, and run it again on the next save after it has ended.

    `argv` are the arguments, by default those of the command line.  Return the exit status.
    """
    options = _parse(argv)
    try:
        runner = _Runner(options)
        return _show_graph(runner, options.graph) if options.graph else runner.loop()
    except _NothingToRun as error:
        print(f"deepreload: {error}", file=sys.stderr)
        return 2


class _NothingToRun(ModuleNotFoundError):
    """The command line names no script and no module; str() says so."""


def _parse(argv):
    import argparse
    parser = argparse.ArgumentParser("deepreload", usage="python -m deepreload [options] script.py [args]\n"
                                     "       python -m deepreload [options] -m module [args]", description=main.__doc__.partition("\n")[0])
    parser.add_argument("--interval", type=float, default=0.5, metavar="SECONDS", help="time between two looks at the files (0.5)")
    parser.add_argument("--include", action="append", default=[], metavar="NAME", help="reload these modules too: a name or glob")
    parser.add_argument("--exclude", action="append", default=[], metavar="NAME", help="leave these modules alone")
    parser.add_argument("--once", action="store_true", help="leave when the script ends, with its status")
    parser.add_argument("--quiet", action="store_true", help="say only what fails")
    for form, *flags in ("tree", "--graph"), ("dot",), ("mermaid",):  # whole words, as what follows may be the script
        parser.add_argument(*flags, "--graph=" + form, action="store_const", dest="graph", const=form,
                            help=f"import, print the import graph as {form} and leave")
    parser.add_argument("--version", action="version", version=f"deepreload {__version__}")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="module", help="run a module, as python -m does")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="the script to run, and its arguments")
    options = parser.parse_args(argv)
    if not options.interval > 0:
        parser.error("argument --interval: takes a number of seconds greater than 0")
    if not (options.module or options.script):
        parser.error("name a script, or -m and a module")
    return options


class _Runner(Watcher):
    """Runs the script as __main__, again and again, and swaps in what is saved meanwhile."""

    def __init__(self, options):
        super().__init__(options.interval, options.include, options.exclude, self.reloaded, self.not_reloaded)
        self.options, self.argv = options, options.module or options.script
        self.stderr = sys.stderr
        self.color = hasattr(sys.stderr, "isatty") and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self.path, self.ran, self.source = None, None, b""  # the script's file, and what it was when it ran
        self.find, folder, self.is_file = self.located(self.argv[0])
        safe = getattr(sys.flags, "safe_path", sys.flags.isolated)  # then Python has put nothing there
        if not safe or not (options.module or self.is_file):
            sys.path[:not safe] = [folder]

    def located(self, name):
        """(function that finds the spec of what to run, the folder that comes first on sys.path, whether it is a mere file)."""
        path, cwd = os.path.abspath(name), os.getcwd()
        if self.options.module:
            return lambda: _spec_to_run(name, self.options.graph), cwd, False
        if _find_spec("__main__", [path]):  # a folder or an archive
            return lambda: _find_spec("__main__", [path]), path, False
        if os.path.isfile(name):
            return lambda: _spec_of_script("__main__", os.path.join(cwd, name)), os.path.dirname(os.path.realpath(name)), True
        raise _NothingToRun(f"there is no file {name!r} to run")

    def loop(self):
        outside, name, process = _Outside(), self.argv[0], os.getpid()
        try:
            while True:
                self.run(outside)
                outside.restore()
                if self.options.once or os.getpid() != process:  # a child that the script has forked ends here
                    return self.status
                then = "it was saved meanwhile and runs again" if self.outdated else "it runs again on the next save"
                self.say(f"{name} ended with status {self.status}; {then}")
                while not self.outdated and not self._settled(time.sleep):
                    time.sleep(self._interval)
                self.forget()
        except KeyboardInterrupt:
            for stream in (sys.stdout, self.stderr):
                self.write("", stream, end="")
            os._exit(self.status)  # at once, whatever threads the script has left behind

    def run(self, outside):
        """One run, from a fresh __main__ to its atexit handlers, its status in self.status."""
        global _compiled
        self.failed, self.refused, self.outdated, _compiled = {}, {}, False, {}
        self.status, failed = 130, set()  # what an interrupt leaves with
        try:
            status, failed = self.execute()
            if self.options.once or not failed:  # what failed is to run again on the next save, whatever its threads do
                self.join_threads()
            self.status = status
        finally:
            for watcher in list(_watchers):  # ours, and those that the script has left behind
                watcher.stop()
            self.refused, passed = {}, {self.path, *map(_path_of, _Scope().loaded())}
            compiled = {(_signature, path): signature for path, signature in _compiled.items() if path not in passed}
            self.failed = {**_answers(failed), **compiled}
            outside.run_exit_functions()

    def execute(self):
        """Execute the script; return its status, and what to ask before it is worth another run after a failure."""
        end = SystemExit()
        try:
            code = self.start()
            self._start()
            exec(code, _dict_of(sys.modules["__main__"]))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, _NothingToRun) and self.path is None:  # else it has run: its file may be gone for a moment only
                raise
            end = error  # shown below, where it is handled no more: it would be the context of an error in sys.excepthook
        try:
            return self.show(end), set() if isinstance(end, SystemExit) else _questions(end) | {(_signature, self.path)}
        finally:
            end = None  # whose traceback leads back to it

    def start(self):
        """Make a fresh __main__ and return the code to execute in it."""
        module = types.ModuleType("__main__")
        for name in {"__main__", "__mp_main__"}.intersection(sys.modules):  # the latter is multiprocessing's name for it
            sys.modules[name] = module
        sys.argv[:] = ["-m" if self.options.module else self.argv[0]] + self.argv[1:]
        spec = self.find()
        if spec is None:
            raise _NothingToRun(f"there is no __main__ in {self.argv[0]!r} to run")
        self.path, known = spec.origin, None if self.is_file else spec
        if self.options.module:
            sys.argv[0] = self.path
        namespace = _dict_of(module)
        if sys.version_info < (3, 14):
            namespace["__annotations__"] = {}
        namespace.update(__builtins__=builtins, __file__=self.path, __cached__=known and known.cached, __spec__=known,
                         __loader__=spec.loader, __package__=known and known.parent)
        self.ran, self.source = _signature(self.path), spec.loader.get_data(self.path)
        code = compile(self.source, self.path, "exec", dont_inherit=True)
        _seen[self.path] = Seen(self.ran, False, code, None)
        return code

    @staticmethod
    def join_threads():
        for name in ("thread", "process"):  # as threading does first at exit
            pools = sys.modules.get("concurrent.futures." + name)
            if pools is not None:
                pools._python_exit()
        for thread in threading.enumerate():
            while not thread.daemon and thread is not threading.current_thread() and thread.is_alive():
                thread.join(1)  # an interrupt that comes just before a wait begins is noticed when that ends

    def show(self, error, hook=None):
        """Show an exception as Python does, from the script's frame on; return the status that it leaves with."""
        if isinstance(error, SystemExit):
            code = 0 if error.code is None else error.code
            if isinstance(code, int):
                return (code if -2**63 <= code < 2**63 else -1) & 0xFF  # as a C long
            self.write(code, sys.stderr)
        elif isinstance(error, _NothingToRun):
            self.say(error, 31)
        else:
            trace = error.__traceback__
            while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
                trace = trace.tb_next
            try:
                (hook or sys.excepthook)(type(error), error.with_traceback(trace), trace)
            except SystemExit as end:
                return self.show(end)
            except Exception as wrong:
                for text, each in ("Error in sys.excepthook:", wrong), ("\nOriginal exception was:", error):
                    self.write(text, sys.stderr)
                    self.show(each, sys.__excepthook__)
        return 1

    def forget(self):
        """The next run imports the user's modules anew; all others stay loaded."""
        names = list(self._scope.loaded())
        for name in reversed(names):
            _call_hook(name)
        _forget([name for name in names if name in sys.modules])
        _tried.clear()

    # What is saved

    def _changes(self):
        changes, edited = super()._changes(), self.edited()
        changes.update(each for each in _answers(self.failed).items() if each[1] not in (None, self.failed[each[0]]))
        if edited:
            changes["__main__"] = edited[0]
        return changes

    def edited(self):
        """(signature, source) of the script if it was saved since it ran, and since it failed to be swapped in."""
        signature = _signature(self.path)
        if signature in (None, self.ran) or self.refused and _answers(self.refused) == self.refused:
            return None
        try:
            with open(self.path, "rb") as file:
                source = file.read()
        except OSError:  # gone for a moment
            return None
        if source == self.source:  # touched
            self.ran = signature
            return None
        return signature, source

    def _reload(self):
        """The modules first: what the script imports anew may be among them."""
        self.began = time.perf_counter()
        super()._reload()
        edited = self.edited()
        if edited:
            try:
                self.swap(*edited)
            except BaseException as error:
                self.refused = {**_answers(_questions(error)), (_signature, self.path): edited[0]}
                self.not_reloaded(error)

    def swap(self, signature, source):
        """Execute the changed definitions and imports of the script, and nothing else of it."""
        self.began, main = time.perf_counter(), sys.modules["__main__"]
        try:
            code, others, undecorated = _changed_definitions(self.source, source, self.path)
        except SyntaxError as error:
            raise _failure(error, "__main__", ()) from error
        with _lock:
            plan, spec = Plan(_Scope()), importlib.machinery.ModuleSpec("__main__", None)
            plan.sources["__main__"] = Source("__main__", spec, self.path, signature, code, _facts(code))
            batch = Batch(lambda: plan)
            batch.undecorated = undecorated
            batch.execute()
            _renumber(_dict_of(main), compile(source, self.path, "exec", dont_inherit=True), _dict_of(main))
        self.ran, self.source, self.refused = signature, source, {}
        self.outdated = self.outdated or others
        self.reloaded(["__main__"])
        if others:
            self.say(f"other statements of {self.argv[0]} changed: they are executed when it runs again")

    # What is said, all on stderr

    def say(self, text, color=None):
        if not self.options.quiet or color:
            text = f"deepreload: {text}"
            self.write(f"\033[{color or 2}m{text}\033[0m" if self.color else text, self.stderr)

    def write(self, text, stream, end="\n"):
        stream = self.stderr if stream is None else stream
        try:  # in one piece: the script writes too
            stream.write(str(text) + end)
            stream.flush()
        except Exception:  # closed, or None from the start, or text that refuses
            pass

    def reloaded(self, names):
        milliseconds = (time.perf_counter() - self.began) * 1000
        self.say(f"reloaded {', '.join(names)} ({len(names)} module{'s' * (len(names) != 1)}, {milliseconds:.0f} ms)")

    def not_reloaded(self, error):
        self.say(_user_traceback(error.__cause__ or error).rstrip() + f"\n{_described(error)}; the old code goes on", 31)


class _Outside:
    """What a run may change of the process, to give the next one a fresh start."""

    def __init__(self):
        import signal
        self.folder, self.kept = os.getcwd(), []
        names = "path", "stdin", "stdout", "stderr", "excepthook", "displayhook"
        self.state = [(sys.path.__setitem__, slice(None), list(sys.path))]
        self.state += [(setattr, sys, name, getattr(sys, name)) for name in names]
        self.state += [(signal.signal, number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
        self.register, atexit.register = atexit.register, self.note_register

    def note_register(self, function, *args, **kwargs):
        """In the place of atexit.register: modules that stay loaded register only once."""
        module = sys._getframe(1).f_globals.get("__name__")
        if module in sys.modules and module != "__main__" and module not in _Scope():
            self.kept.append((function, args, kwargs))
        return self.register(function, *args, **kwargs)

    def run_exit_functions(self):
        atexit._run_exitfuncs()
        weakref.finalize._shutdown = False
        for name, flag in (("thread", "_shutdown"), ("process", "_global_shutdown")):
            if "concurrent.futures." + name in sys.modules:
                setattr(sys.modules["concurrent.futures." + name], flag, False)
        for function, args, kwargs in self.kept:
            self.register(function, *args, **kwargs)

    def restore(self):
        for restore, *arguments in self.state:
            restore(*arguments)
        if os.path.isdir(self.folder):
            os.chdir(self.folder)


def _changed_definitions(was, source, path):
    """(code, others, undecorated): the functions, classes and imports that differ in a script, whether anything else does, and
    the functions whose decorators did not change and are not to be called again (`@app.route` would refuse)."""
    import ast
    before, tree = (compile(text, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True) for text in (was, source))
    known = {ast.dump(node) for node in before.body}
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    kinds = (*functions, ast.ClassDef, ast.Import, ast.ImportFrom)
    decorated = {node.name: list(map(ast.dump, node.decorator_list)) for node in before.body if isinstance(node, functions)}
    nodes = [node for node in tree.body if ast.dump(node) not in known]
    others, undecorated = any(not isinstance(node, kinds) for node in nodes), set()
    for node in nodes:
        if isinstance(node, functions) and node.decorator_list and decorated.get(node.name) == list(map(ast.dump, node.decorator_list)):
            node.decorator_list = []
            undecorated.add(node.name)
    wanted = [node for node in tree.body if isinstance(node, kinds) and (node in nodes or getattr(node, "module", "") == "__future__")]
    return compile(ast.Module(wanted, []), path, "exec", dont_inherit=True), others, undecorated


def _renumber(namespace, code, module):
    """Give the functions that did not change their new line numbers."""
    for const in code.co_consts:
        if type(const) is types.CodeType:
            value = _unwrapped(namespace.get(const.co_name))
            if _is_class(value) and not const.co_flags & _IN_FUNCTION:
                _renumber(_vars_of_class(value), const, module)
            elif _is_function(value) and value.__globals__ is module \
                    and (value.__code__.co_name, value.__code__.co_freevars) == (const.co_name, const.co_freevars):
                value.__code__ = const


def _user_traceback(error):
    """The traceback of an exception and its causes without the frames of deepreload and the import system."""
    import traceback
    errors = [traceback.TracebackException(type(error), error, error.__traceback__)]
    for each in errors:  # to which the loop adds
        each.stack = traceback.StackSummary.from_list([frame for frame in each.stack if not _is_machinery(frame.filename)])
        errors += filter(None, (each.__cause__, each.__context__))
    return "".join(errors[0].format())


def _is_machinery(filename):
    """Whether a frame is ours, of the import system, or of the parser."""
    return filename == __file__ or filename.startswith(_IMPORT_SYSTEM) or filename == getattr(sys.modules.get("ast"), "__file__", None)


def _spec_of_script(name, path):
    """The spec of a source file, whatever its name ends in."""
    return importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, path))


_WITHOUT_SOURCE = importlib.machinery.ExtensionFileLoader, importlib.machinery.SourcelessFileLoader


def _spec_to_run(name, to_show):
    """The spec of what to run as a module, or only to show: then a package needs no __main__."""
    try:
        spec = importlib.util.find_spec(name) if name[:1] != "." else None
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(name + ".__main__") or to_show and spec
    except ModuleNotFoundError as error:
        if error.name not in (*_parents(name), name):
            raise
        spec = None
    has_source = spec and spec.has_location and hasattr(spec.loader, "get_source") and not isinstance(spec.loader, _WITHOUT_SOURCE)
    if not (spec if to_show else has_source):
        raise _NothingToRun(f"there is no module {name!r} with a source file to run", name=name + ".__main__")
    return spec


def _show_graph(runner, form):
    """Import what would be run, and print who imports whom."""
    import contextlib
    sys.argv[:] = runner.argv
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the modules print is not part of the picture
            name = _import_to_show(runner)
    except KeyboardInterrupt:
        return 130
    except _NothingToRun:
        raise
    except Exception as error:
        print(_user_traceback(error), end="", file=sys.stderr)
        return 1
    graph = import_graph(include=[*runner.options.include, name], exclude=runner.options.exclude)
    print("\n".join(_tree_lines(graph, name) if form == "tree" else _picture(graph, *_PICTURES[form])))
    return 0


def _import_to_show(runner):
    """Import what would be run as a module of its own name; return the name."""
    import contextlib
    name = runner.argv[0]
    with contextlib.suppress(SystemExit):
        spec = runner.find()
        if runner.options.module:
            name = spec.name
            importlib.import_module(name)
        else:
            name = os.path.splitext(os.path.basename(os.path.abspath(name)))[0]
            if not os.path.isfile(spec.origin):
                raise _NothingToRun(f"the graph of the archive {runner.argv[0]!r} cannot be shown: unpack it, or run it without --graph")
            spec = _spec_of_script(name, spec.origin)
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    return name


_PICTURES = {"dot": ("digraph imports {", '"{0}"', "->", "}"), "mermaid": ("graph TD", 'n{1}["{0}"]', "-->")}


def _picture(graph, head, node, arrow, *end):
    """The import graph in a language that draws it."""
    nodes = {name: node.format(name, index) for index, name in enumerate(graph)}
    edges = [f"{nodes[name]} {arrow} {nodes[target]}" for name, targets in graph.items() for target in targets]
    return [head, *(f"  {item};" for item in [*nodes.values(), *edges]), *end]


def _tree_lines(graph, root):
    """The import graph as an indented tree, each module's imports once."""
    shown, stack = set(), [(root, ())]
    while stack:
        name, above = stack.pop()
        mark = " (cycle)" if name in above else " (see above)" if name in shown and graph.get(name) else ""
        yield "    " * len(above) + name + mark
        if not mark:
            shown.add(name)
            stack += [(target, above + (name,)) for target in reversed(graph.get(name, ()))]


if __name__ == "__main__":
    import deepreload  # the script's `import deepreload` must be the module that runs it
    sys.exit(deepreload.main())

for _name in _Scope().loaded():  # what is loaded already, as its files are now: an edit, or another process, may change both
    _running(_name, _spec_of(sys.modules[_name]), compiles=False)
_note_executions()
