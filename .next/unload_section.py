# -- K: unloading ----------------------------------------------------------------------------------
#
# Modules go dependents first, all or none, and a report says what is left and who holds it.  Relies
# on `_imports` for who needs whom, and on gc.get_objects() for what is left: a namespace lives on
# in functions, a class on its own, when the module object is dead.  gc.get_referents() leads there,
# and nothing of the program's is called or compared on the way (`type(x) in (...)` would).

_NOT_FOUND = "something that could not be found: look at atexit, signal handlers, compiled code"
_IN_ORDER = {id(list), id(tuple)}
_SHOWN = {id(kind) for kind in (str, bytes, int, float, bool, type(None))}  # as keys
_is_tracked = getattr(gc, "is_tracked", id)  # PyPy tracks all; what is not tracked holds nothing


class Unloaded(collections.namedtuple("Unloaded", "names alive")):
    """What `deep_unload` did; true if all was freed.

    `names` are the modules that were unloaded, in order; `alive` is {name: (holders in words, ...)}
    of those of which something is still held.
    """

    __slots__ = ()

    def __bool__(self):
        return not self.alive

    def __str__(self):
        lines = [f"unloaded {len(self.names)}: {_listing(self.names)}"]
        for name, holders in self.alive.items():
            lines.append(f"{name} is still held by {', '.join(holders) or _NOT_FOUND}")
        return "\n".join(lines)


def deep_unload(module: Module, *, include: Names = (), exclude: Names = (),
                force: bool = False) -> Unloaded:
    """Forget a module, its submodules and what in scope only they needed, dependents first.

    `module` is a loaded module or its dotted name, `include` and `exclude` are as in `deep_reload`,
    `force` goes on where a module outside imports one of them at its top level.  Return what went,
    what is still alive, and who holds it.  Raise TypeError or ImportError for what cannot be
    unloaded, ImportError for importers outside; then nothing has changed.
    """
    name = _named(module)
    del module
    with _lock:
        reason = None
        if _batch is not None:
            reason = "cannot be unloaded while modules are being reloaded: do it afterwards"
        elif _in_stdlib(_namespace_of(name)["__spec__"].origin):
            reason = "belongs to the standard library, which cannot be unloaded"
        if reason:
            raise ImportError(f"{name!r} {reason}", name=name)
        scope = _Scope(include, exclude, name)
        for each in _plan_unload(name, scope, force):
            _call_hook(each)
        names = _plan_unload(name, scope, True)  # the hooks may have imported something
        specs = {each: _namespace_of(each)["__spec__"] for each in names}
        _forget(specs)
        gc.collect()
        alive = _still_alive(specs)
        for each, other in list(sys.modules.items()):
            if each.startswith(name + ".") and _fixed(each, other):
                alive[each] = (f"{each} (extension module)",)
        return Unloaded(tuple(names), types.MappingProxyType(alive))


def _plan_unload(root, scope, force):
    """The names to unload, dependents first; raise ImportError if a module outside imports one."""
    edges, at_once, above = {"__main__": _imports_of_main()}, {}, _parents(root)
    for name, module in list(sys.modules.items()):
        if not _fixed(name, module) and not _in_stdlib(_dict_of(module)["__spec__"].origin):
            imports = _imports(name)
            edges[name] = [name.rpartition(".")[0], *imports]
            at_once[name] = [target for target in imports if not imports[target]]
    modules = [root, *[name for name in list(sys.modules) if name != root]]
    inside = {name for name in modules if (name + ".").startswith(root + ".") and name in scope}

    def needed(name):
        return [target for target in edges.get(name, ()) if target in scope and target not in above]

    below = _reach(inside, needed).keys()
    used = _reach(edges.keys() - below, lambda name: [] if name in inside else edges.get(name, []))
    inside |= below - used.keys()
    reasons = []
    for importer in [name for name in at_once if name not in inside]:
        targets = sorted(inside.intersection(at_once[importer]))
        if targets:
            reasons.append(f"{importer} imports {', '.join(targets)}")
    if reasons and not force:
        reason = f"{'; '.join(reasons)}; unload these first, or pass force=True"
        raise ImportError(f"{root!r} cannot be unloaded: {reason}", name=root)
    names = [name for name in modules if name in inside]
    order = _order(names, lambda name: [name.rpartition(".")[0], *at_once.get(name, ())])
    return list(reversed(order))


def _forget(specs):
    """Take modules out of the interpreter's tables or, if that is interrupted, change nothing."""
    import linecache
    modules, taken = dict(sys.modules), []
    try:
        for name in specs:
            parent, _, child = name.rpartition(".")
            package, module = _namespace_of(parent), sys.modules.pop(name)
            if parent not in specs and package.get(child) is module:
                taken.append((package, child, module))
                del package[child]
        _invalidate_finders()
        for clear in _namespace_of("typing").get("_cleanups", ()):
            clear()  # Optional[C] and the like are cached with their classes
        for path in [spec.origin for spec in specs.values() if spec.has_location]:
            _drop_bytecode(path)
            linecache.cache.pop(path, None)
            _runs.pop(path, None)
    except BaseException:
        _restore_namespace(sys.modules, {**modules, **sys.modules})
        for package, child, module in taken:
            package[child] = module
        raise


def _still_alive(specs):
    """{name: (holders in words, ...)} of the unloaded modules of which something is still held."""
    left, names = [], {id(spec): name for name, spec in specs.items()}
    for obj in gc.get_objects():
        space = obj.__globals__ if _is_function(obj) else obj
        known_by = space.get("__spec__") if type(space) is dict else None
        name = names.get(id(known_by)) or _module_of(obj)
        if type(name) is str and name in specs:
            left.append((obj, name))
    found = _Holders(left).search() if left else {}
    return {name: tuple(found[name]) for name in specs if name in found}


class _Holders:
    """Finds who holds what is left, in the words of the program: names, keys, attributes, frames.

    The search goes from what the program has words for to the nearest first, then from what the
    running frames hold.  For what nobody was found to hold, it goes on from the frames of the
    standard library and through what is left itself.
    """

    most, seconds = 20, 5  # holders of a module to name; the time to look for them

    def __init__(self, left):
        self.left = {id(obj): name for obj, name in left}
        self.found = {name: {} for obj, name in left}  # {name: {holder in words: None}}
        self.wanted = set(self.found)
        self.until = time.monotonic() + self.seconds
        self.rest, self.kept = [], []  # what is left and found; an id lasts as long as its object
        passed_by = [globals(), threading._active, *[frame for name, frame in _running_frames()]]
        self.above = dict.fromkeys(map(id, passed_by))  # {id: its holder, or words for a beginning}

    def search(self):
        """Return {name: {holder in words: None}}."""
        self.go_through(_beginnings(), [])
        self.go_through(_held_by_frames(False), [])
        self.wanted = {name for name, holders in self.found.items() if not holders}
        self.go_through(_held_by_frames(True), [])
        self.most = 1  # what is left holds itself, too
        self.go_through((), self.rest)
        if time.monotonic() > self.until:
            given_up = f"something: the search was given up after {self.seconds} seconds"
            for name in self.wanted:
                self.found[name][given_up] = None
        return self.found

    def go_through(self, beginnings, objects):
        """Search on from (words, object) and from objects that were found before."""
        for words, obj in beginnings:
            if self.above.setdefault(id(obj), words) is words:
                objects.append(obj)
        self.kept.append(objects)
        for holder in objects:  # to which the loop adds
            if not self.wanted or time.monotonic() > self.until:
                break
            in_order = id(type(holder)) in _IN_ORDER  # what gc.get_referents() gives from behind
            for part in holder if in_order else gc.get_referents(holder):
                if id(part) not in self.above and _is_tracked(part):
                    self.above[id(part)] = holder
                    (self.rest if id(part) in self.left else objects).append(part)
                if id(part) in self.left:
                    self.note(holder, part)

    def note(self, holder, part):
        """Say who holds a part of what is left."""
        name = self.left[id(part)]
        found = self.found[name]
        if name in self.wanted and len(found) < self.most:
            for link in self.links(holder, part)[:self.most] or [""]:
                found[self.words(holder, link)] = None

    def words(self, holder, link):
        """The way to a holder and on by a link, as far as the program has words for it."""
        way, owner = [link], self.owner(holder)
        top, above = owner, self.above[id(owner)]
        while type(above) is not str:
            links = self.links(above, top)
            if not links:
                way.clear()
            way += links[:1]
            top = self.owner(above)
            above = self.above[id(top)]
        if " " not in above:  # an expression: the way goes on
            if len(way) > 20:
                way[10:-10] = [" ... "]
            return above + "".join(reversed(way))
        if type(top) is list and link.startswith(".") and not _is_function(owner):
            return f"attribute {link[1:]!r} of {_title(owner)}"
        return above

    def links(self, holder, part):
        """How a holder comes to a part: [".name"], ["[key]", ...], or [] for no words."""
        kind, dotted = type(holder), True
        if issubclass(kind, dict):
            items = list(dict.items(holder))
            dotted = type(self.above[id(holder)]) is str or self.owner(holder) is not holder
        elif id(kind) in _IN_ORDER:
            items = enumerate(holder)
        elif _is_function(holder):
            items = [("__globals__", holder.__globals__), ("__defaults__", holder.__defaults__)]
        else:
            items = list((_attributes(holder) or {}).items())
        keys = [key for key, value in items if value is part]
        return [f".{key}" if dotted and type(key) is str else f"[{_title(key)}]" for key in keys]

    def owner(self, holder):
        """The object or class whose attributes a dict holds; anything else itself."""
        above = self.above[id(holder)]
        is_owned = type(holder) is dict and (_is_class(above) or _attributes(above) is holder)
        return above if is_owned else holder


def _title(obj):
    """What to call a key or a callable, without asking it."""
    if id(type(obj)) in _SHOWN:
        return repr(obj)[:200]
    if type(obj) is types.MethodType:
        return _title(obj.__func__)
    if _is_class(obj) or _is_function(obj):
        name = _qualname(obj) if _is_class(obj) else obj.__qualname__
        return f"{_module_of(obj)}.{name}"
    return f"<{_name_of(type(obj))} object>"


def _beginnings():
    """Yield (words, object) of where ways begin: an expression, or words with a space."""
    for thread in list(threading._active.values()):
        if issubclass(type(thread), threading.Timer):
            timer = _attributes(thread)
            what = _title(timer.get("function"))
            yield f"pending threading.Timer of {what} in {timer.get('_name')}", thread
    if "asyncio" in sys.modules:
        yield from _beginnings_of_asyncio(sys.modules["asyncio"])
    root = _namespace_of("logging").get("root")
    if root is not None:
        yield "logging.getLogger()", root
        for name, logger in list(root.manager.loggerDict.items()):
            yield f"logging.getLogger({name!r})", logger
    for name in sorted(list(sys.modules), key="__main__".__eq__):  # last: it imports from others
        yield name, _namespace_of(name)
        yield name, sys.modules.get(name)  # one in C may hold more than its namespace


def _beginnings_of_asyncio(asyncio):
    for obj in gc.get_objects():
        if issubclass(type(obj), asyncio.AbstractEventLoop):
            yield "asyncio event loop", obj
        if issubclass(type(obj), asyncio.Task):
            coroutine = asyncio.Task.get_coro(obj)
            if type(coroutine) is types.CoroutineType and coroutine.cr_frame is not None:
                yield f"asyncio task in {_where(coroutine.cr_frame)}", coroutine


def _running_frames():
    """Yield (name of its thread, frame) of what runs."""
    for ident, frame in list(sys._current_frames().items()):
        thread = _attributes(threading._active.get(ident)) or {}
        while frame is not None:
            yield thread.get("_name", ident), frame
            frame = frame.f_back


def _held_by_frames(in_stdlib):
    """Yield (words, what it holds) of the frames that run functions of the library or of others."""
    for thread, frame in _running_frames():
        path, held = frame.f_code.co_filename, [frame.f_globals]
        if frame.f_code.co_flags & 1:  # CO_OPTIMIZED, a function: f_locals is Python's own
            held += frame.f_locals.values()
        if path != __file__ and _in_stdlib(path) is in_stdlib:
            yield f"frame of {thread} in {_where(frame)}", held


def _where(frame):
    """The function that a frame runs, and the line."""
    name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)  # 3.11+
    return f"{frame.f_globals.get('__name__', '?')}.{name}, line {frame.f_lineno}"
