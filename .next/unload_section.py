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
