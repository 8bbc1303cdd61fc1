

# -- D. batch: one reload, all or nothing ---------------------------------------------------------
# Guarantees that a failure, or an interrupt at any line, leaves everything as it was: each step is
# in the log before it is taken.  The program's own import statements give the order: while a batch
# runs, those of its thread execute first what is pending.

_DEEPEST = 100  # modules importing each other, before those below are executed first
_FRAMES = 12  # of the interpreter's stack that each of them may take


class _Pair:
    """An object that was made anew, and the one to use from now on; never patched as a holder."""

    __slots__ = "new", "kept", "before"

    def __init__(self, new, kept, before=None):
        self.new, self.kept, self.before = new, kept, before


class Batch:
    """One reload: executes Sources in place, and keeps a log that undoes it all."""

    def __init__(self, scope, sources, starts):
        self.scope, self.sources, self.starts = scope, sources, dict.fromkeys(starts)
        self.joined = _table(scope).paths if scope.top else ()  # what deep_reload() follows
        self.pending, self.views, self.failed, self.gone = dict(sources), {}, {}, {}
        self.finished, self.stack, self.log, self.lists = [], [], [], []
        self.pairs, self.undone, self.claimed, self.replaced, self.caches = {}, {}, set(), [], []
        self.shapes_changed = self.classes_dropped = self.committed = self.opened = False
        self.error, self.at = None, None
        self.thread, self.collects = threading.get_ident(), gc.isenabled()
        self.modules, self.count = dict(sys.modules), len(sys.modules)
        for each in (sys.path, sys.meta_path, sys.path_hooks):
            self.lists.append((each, list(each)))
        self.import_, self.gcd_import = builtins.__import__, _bootstrap._gcd_import
        self.hooks = self.import_statement, self.import_module
        self.deepest = min(_DEEPEST, (sys.getrecursionlimit() - _depth()) // _FRAMES)

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
            if self.committed or self.at is None or isinstance(error, ReloadError):
                raise
            raise _failure(error, *self.at, self.finished) from error
        return self.finished

    def open(self):
        global _batch
        self.opened, _batch = True, self
        gc.disable()  # what the reload makes stays among the young objects until the commit
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
        for view in self.views.values():
            view.show()
        view = None
        for source in self.sources.values():
            if source.spec is not None:
                source.spec._initializing = False
        for cached in self.caches if self.committed else ():
            _CACHED.cache_clear(cached)
        self.views, self.pairs, self.undone, self.log, self.error = {}, {}, {}, [], None
        if self.classes_dropped or not self.committed:
            gc.collect()  # else they are met in __subclasses__()
        if self.collects:
            gc.enable()
        _batch, self.opened = None, False

    def unhook(self):
        """Give the import statements back; what a module has put there itself stays."""
        for hook, original in zip(self.hooks, (self.import_, self.gcd_import)):
            self.pairs[id(hook)] = _Pair(hook, original)  # a module may hold what it has found
        hook = None
        if builtins.__import__ in self.hooks:
            builtins.__import__ = self.import_
        if _bootstrap._gcd_import in self.hooks:
            _bootstrap._gcd_import = self.gcd_import
        self.hooks = ()

    def run(self):
        for name in self.starts:
            if name not in self.failed:  # an import statement has caught that
                self.enter(name)
        for name in self.finished:  # to which the loop adds; what joined may import in functions
            if name in self.joined and name not in self.starts:
                for target in _targets(name, self.sources[name].version):
                    self.enter(target)

    # Import statements, and import_module()

    def import_statement(self, name, globals=None, locals=None, fromlist=(), level=0):
        if not self.is_mine(name):
            return self.import_(name, globals, locals, fromlist, level)
        base = _absolute(name, level, _package(globals or {}))
        self.imported(base)
        for child in fromlist or ():
            self.imported_from(base, child)
        try:
            return self.import_(name, globals, locals, fromlist, level)
        finally:
            if len(sys.modules) != self.count:
                self.note_new()

    def import_module(self, name, package=None, level=0):
        if self.is_mine(name):
            self.imported(_absolute(name, level, package or ""))
        return self.gcd_import(name, package, level)

    def is_mine(self, name):
        return _batch is self and threading.get_ident() == self.thread and type(name) is str

    def imported(self, base):
        """Execute what an import of a name is about to find."""
        for name in (*_parents(base), base):
            self.enter(_real_name(name))
            if sys.modules.get(name, self) is self.gone.get(name):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def imported_from(self, base, child):
        """Execute what `from base import child` is about to find, if that is a module."""
        view, namespace, name = self.views.get(base), _namespace_of(base), f"{base}.{child}"
        if child == "*":
            if view is not None:
                view.drop_hidden()
            exported = namespace.get("__all__")
            for each in exported if isinstance(exported, (list, tuple)) else ():
                self.imported_from(base, each)
        module = sys.modules.get(name)
        hidden = view is not None and child in view.hidden
        if module is not None and (hidden or namespace.get(child, module) is module):
            self.enter(name)
            if sys.modules.get(name) is self.gone.get(name, self):
                raise ImportError(f"cannot import name {child!r} from {base!r}", name=base)

    def note_new(self):
        """Count the modules in scope that an import statement has brought in as reloaded."""
        self.count, known = len(sys.modules), {*self.modules, *self.finished}
        new = [name for name in list(sys.modules) if name not in known]
        self.finished += [name for name in new if name in self.scope]

    # Executing modules

    def enter(self, name):
        """Execute a module if it is pending, its packages first, and where it must, its imports."""
        if name in self.failed:  # and is imported once more
            self.pending[name] = self.failed.pop(name)
        elif name in self.joined and name not in self.sources and name not in self.scope.above:
            self.sources[name] = self.pending[name] = _source(name)
        if name not in self.pending:
            return
        for parent in _parents(name):
            self.enter(parent)
        source = self.pending.get(name)
        if source is not None and source.version is not None:
            if len(self.stack) >= self.deepest or _is_lazy(source.version):
                self.enter_below(name)
        if self.pending.pop(name, None) is None:
            return
        if source.spec is None:
            self.gone[name] = self.modules.get(name)
        else:
            self.run_module(source)

    def enter_below(self, name):
        """Execute what a module imports first: imports nest too deep, or are lazy."""
        names = _order([name], lambda each: _eager(each, self.pending[each].version), self.pending)
        step = _DEEPEST // 2 if len(self.stack) >= self.deepest else 1  # between, as they nest
        deepest, self.deepest = self.deepest, sys.maxsize
        try:
            for each in names[:-1:step]:
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

    def pair(self, new, kept, before=None):
        self.pairs[id(new)] = _Pair(new, kept, before)
        self.claimed.add(id(kept))

    def commit(self):
        """Bring up to date what other places hold, each step in the log."""
        self.unhook()
        for name in self.failed:  # an importer has caught it: a new process has no such module
            self.gone[name] = self.modules.get(name)
        _follow_code(self)
        _replace_leftovers(self)
        _follow_classes(self)
        _rename_elsewhere(self)
        for view in self.views.values():
            view.drop_rest()
        for name, module in self.gone.items():
            self.forget(name, module)
        for source in self.sources.values():
            if source.path and source.version is not None and source.name not in self.gone:
                known = _runs.get(source.path, _MISSING)
                self.do(_restore_item, _runs, source.path, source.version, old=known)
                _tell(source.path, source.version.stat)
        if self.shapes_changed:
            _clear_caches()
        self.committed = True

    def forget(self, name, module):
        if sys.modules.get(name) is module:
            del sys.modules[name]  # which roll_back() restores, whatever the log says
        parent, _, child = name.rpartition(".")
        if _namespace_of(parent).get(child) is module:
            self.do(_restore_item, _namespace_of(parent), child, _MISSING, old=module)

    def roll_back(self):
        while self.log:
            function, *args = self.log[-1]
            try:
                function(*args)
            except Exception:
                _log().exception("could not undo a step")
            self.log.pop()
        for each, saved in self.lists:
            if each != saved:
                each[:] = saved
        new = [name for name in list(sys.modules) if name not in self.modules]
        for name in _can_be_forgotten(new):
            self.forget(name, sys.modules.get(name))
        self.log.clear()
        _restore_namespace(sys.modules, self.modules, others=True)
        self.pairs.update(self.undone)
        _replace_leftovers(self)  # in registries elsewhere


def _can_be_forgotten(new):
    """Return those of the modules imported by a reload that failed that can be imported again.

    Packages with compiled parts cannot; and what is being imported is another thread's.
    """
    stays = set()
    for name in new:
        spec = _spec_of(name)
        compiled = isinstance(getattr(spec, "loader", 0), importlib.machinery.ExtensionFileLoader)
        if compiled or getattr(spec, "_initializing", False):
            stays.add(name.partition(".")[0])
    return [name for name in new if name.partition(".")[0] not in stays]


def _is_lazy(version):
    """Return whether imports of a module are lazy (PEP 810), which needs Python 3.15."""
    return bool(version.facts.lazy) or getattr(sys, "get_lazy_imports", str)() == "all"


def _depth():
    """Return how many calls are under way in this thread."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def _call_hook(name):
    hook = _namespace_of(name).get("__unload__")
    if hook is not None:
        try:
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


class _Reloading(types.ModuleType):
    """What a module is while it is reloaded: its thread does not see what is hidden."""

    def __getattribute__(self, name):
        batch = _batch
        if batch is not None and threading.get_ident() == batch.thread:
            view = batch.views.get(_dict_of(self).get("__name__"))
            if view is not None and name in view.hidden and view.module is self:
                return view.instead_of(name)
        return types.ModuleType.__getattribute__(self, name)


class View(collections.abc.MutableMapping):
    """The live namespace of a module, less the names that the old code bound and the new has not.

    Modules that look at their own namespace (`globals()`) start with an empty one.  Modules that
    import lazily (PEP 810 wants globals() to be locals()), or that their loader executes, see all.
    """

    def __init__(self, batch, source):
        self.batch, self.source, self.name = batch, source, source.name
        self.module = sys.modules[source.name]
        self.runs = _running(source.name) or _runs.get(source.path)  # the latter for the script
        self.kind, self.live = type(self.module), _dict_of(self.module)
        self.old, self.code, self.facts = dict(self.live), source.version.code, source.version.facts
        self.hidden, self.later, self.children = set(), {}, {}
        self.sees_all = self.code is None or _is_lazy(source.version)

    def open(self):
        """Hide the old names from this thread, and give the module what an import starts with."""
        batch, spec, path = self.batch, self.source.spec, self.source.path
        batch.log.append((_restore_namespace, self.live, self.old))
        if self.name == "__main__":  # nothing but its changed definitions
            return
        if self.kind is types.ModuleType or self.kind.__module__ == self.name:
            batch.do(_set_class_of, self.module, _Reloading, old=self.kind)
        overloads = getattr(sys.modules.get("typing"), "_overload_registry", {})
        if self.name in overloads:
            batch.do(_restore_item, overloads, self.name, _MISSING, old=overloads[self.name])
        spec._initializing = True
        found = self.live.pop("__path__", None)
        _bootstrap._init_module_attrs(spec, self.module, override=True)
        if found is not None and spec.submodule_search_locations is None:
            self.lose_submodules()
        elif spec is self.old.get("__spec__") and found is not None:  # it may extend it again
            extends = path and self.code is not None and "__path__" in self.code.co_names
            self.live["__path__"] = [os.path.dirname(path)] if extends else found
        for name in _ANNOTATIONS:
            self.live.pop(name, None)
        self.live["__doc__"] = None
        self.hidden = set() if self.sees_all else self.to_hide()

    def lose_submodules(self):
        """Forget the submodules of what is a package no more."""
        for name in [name for name in sys.modules if name.startswith(self.name + ".")]:
            self.batch.pending.pop(name, None)
            self.batch.gone[name] = sys.modules[name]

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
        for module, level, attribute, _ in facts.froms:
            if attribute == "*":
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
        if self.sees_all:
            unbound = [name for name in past if live[name] is old[name]]
            self.hidden = self.to_hide().intersection(unbound) - self.facts.binds.keys()
        for child in self.hidden.intersection(self.children):
            live[child] = self.children[child]
        self.hidden -= self.children.keys()
        if not self.hidden:
            self.show()

    def give_up(self):
        """Forget a failed execution: its importer may catch that, and try again."""
        self.show()
        _restore_namespace(self.live, self.old)
        for key, pair in list(self.batch.pairs.items()):
            if _module_of(pair.kept) == self.name:
                self.batch.claimed.discard(id(pair.kept))
                self.batch.undone[key] = self.batch.pairs.pop(key)
        del self.batch.views[self.name]

    def show(self):
        """Let the reloading thread see all names again."""
        if type(self.module) is _Reloading:
            replaced = sys.modules.get(self.name) is not self.module
            self.module.__class__ = self.kind if replaced else types.ModuleType

    def bind_child(self, child, module):
        """Bind a submodule as the import system does, over what the package has bound.

        While the package runs, others go on seeing the old name: the statement that imports the
        submodule most often binds something else to it.
        """
        if self.name in self.batch.stack and child in self.hidden:
            self.children[child] = module
        else:
            self.hidden.discard(child)
            self.live[child] = module

    def instead_of(self, name):
        """Return what a new process would find under a hidden name."""
        if name in self.children:
            return self.children[name]
        if "__getattr__" in self:
            return self.live["__getattr__"](name)
        raise AttributeError(f"partially initialized module {self.name!r} has no attribute {name!r}")

    def drop_hidden(self):
        for name in self.hidden:
            _restore_item(self.live, name, self.children.get(name, _MISSING))
        self.hidden = set()

    def drop_rest(self):
        """Drop what the new code has not bound, but for what running frames read: next time."""
        used = self.hidden and self.hidden & _names_in_use(self.live)
        self.hidden -= used
        if any(_is_class(self.old[name]) for name in self.hidden):
            self.batch.classes_dropped = True
        self.drop_hidden()
        version = self.source.version
        self.batch.do(setattr, version, "left", frozenset(used), old=version.left)

    # The mapping that exec() wants, and whoever asks for the locals of the module's frame

    def __getitem__(self, name):
        if name not in self.hidden:
            return self.live[name]
        if name in self.children or hasattr(builtins, name):
            return self.children.get(name, getattr(builtins, name, None))
        raise NameError(f"name {name!r} is not defined")  # LOAD_NAME would go on after a KeyError

    def __setitem__(self, name, value):
        if name in self.old and type(value) not in _PLAIN:
            if self.facts.binds.get(name) == 1 or _is_class(value):
                value = _keep(self.batch, self.old[name], value)
            else:
                self.later[name] = None
        self.live[name] = value
        self.hidden.discard(name)

    def __delitem__(self, name):
        if name in self.hidden:
            raise NameError(f"name {name!r} is not defined")
        del self.live[name]

    def __contains__(self, name):
        return name in self.live and name not in self.hidden

    def get(self, name, default=None):
        return self.live[name] if name in self else default

    def __iter__(self):
        return iter([name for name in list(self.live) if name in self])

    def __len__(self):
        return len(list(iter(self)))


def _exported(namespace):
    """Return the names that a star import takes from a module."""
    exported = namespace.get("__all__")
    if isinstance(exported, (list, tuple)):
        return exported
    return [name for name in list(namespace) if not name.startswith("_")]


def _names_in_use(namespace):
    """Return the names of a module that running frames read, in the functions they call, too."""
    codes, names = [], set()
    for frame in _frames():
        if frame.f_globals is namespace:
            codes.append(frame.f_code)
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
