

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


class Batch:
    """One reload: executes Sources in place, and keeps a log that undoes it all."""

    def __init__(self, scope, sources, starts):
        self.scope, self.sources, self.starts = scope, sources, starts
        self.pending, self.views, self.failed = dict(sources), {}, {}
        self.joined = _table(scope).paths if scope.top else ()  # what deep_reload() follows
        self.finished, self.stack, self.log = [], [], []
        self.error, self.at = None, ()
        self.pairs, self.undone, self.claimed, self.replaced, self.caches = {}, {}, set(), [], []
        self.shapes_changed = self.committed = self.opened = False
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
        self.replaced, self.hooks = [], (None, None)
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
            for child in fromlist or ():
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
        _follow_code(self)
        _replace_leftovers(self)
        _follow_classes(self)
        _rename_elsewhere(self)
        for view in self.views.values():
            view.drop_rest()
        for source in self.sources.values():
            if source.path and source.name in self.views:
                known = _runs.get(source.path, _MISSING)
                self.do(_restore_item, _runs, source.path, source.version, old=known)
                _tell(source.path, source.version.stat)
        if self.shapes_changed:
            _clear_caches()
        self.committed = True

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
        self.pairs.update(self.undone)
        _replace_leftovers(self, gains=False)  # in registries elsewhere


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
            if view is not None and name in view.hidden and view.module is self:
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
        raise AttributeError(f"partially initialized module {self.name!r} has no attribute {name!r}")

    def drop_hidden(self):
        for name in self.hidden:
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
        if name not in self.hidden:
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
