

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
    """Let the finders look at the folders again (importlib's own would import importlib.metadata)."""
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

    `late` tells that only functions import it.  Modules that its
    namespace holds count too: they may have been imported by import_module().  So do, unless
    `packages` is false, the packages that `from a.b import c` imports on the way.
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
        return [target for target in targets[name] if target in sources and not targets[name][target]]

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
        first.reloaded, others = names, [name for name in changed if name in left - {first.name}]
        if names:
            done = f"{_listing(names)} reloaded all the same"
            first.msg = first.msg.replace("nothing was reloaded", done)
        if others:
            first.msg += f"; also held back: {', '.join(others)}"
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
    """Return the ReloadError for an exception: which module, which file and line, what was tried."""
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
