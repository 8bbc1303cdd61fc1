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
    """Say how the program has ended; wait until its files are saved, and stay so for a moment."""
    import signal
    names = {-each: f"by signal {each.name}" for each in signal.Signals}
    how = f"{_options.argv[0]} ended {names.get(code, f'with status {code}')}"
    if any(_stat(path) not in (None, stats[path]) for path in stats):
        _say(f"{how}; it was saved meanwhile and runs again")
    else:
        _say(f"{how}; it runs again on the next save (Ctrl-C leaves)", failed=code)
    before, now = None, stats
    while now == stats or now != before:
        time.sleep(_options.interval if now == stats else _QUIET)
        before, now = now, {path: _stat(path) or stats[path] for path in stats}
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
