

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
    """`%load_ext deepreload`: every cell begins with a `reload_changed()`."""
    del _cells[:]
    for cell in shell.user_ns.get("In", ()):
        _note_cell(shell, cell)
    shell.events.register("pre_run_cell", _before_cell)
    print("deepreload: cells begin with a reload of what you have saved")


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext deepreload`."""
    shell.events.unregister("pre_run_cell", _before_cell)
    del _cells[:]


def _before_cell(info=None):
    try:
        reload_changed()
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
