

# -- M. the command line ---------------------------------------------------------------------------
# Guarantees that every run is a new process, in which the script runs as Python runs it.  The
# parent starts its own command line again as a child; in the child, as with --once, a Watcher swaps
# in what is saved.  The child tells the parent the stats of the files it executes, or fails to: the
# parent sees by itself which differ after its end, and starts it again.

_CHILD = "DEEPRELOAD_CHILD"  # the environment variable that names the file to tell them in
_OPTIONS = {"--once", "--interval", "--include", "--exclude", "--restart", "--quiet", "--graph"}


class _NothingToRun(ImportError):
    """The command line names nothing that can be run; str() says why."""


def main(argv: typing.Optional[typing.List[str]] = None) -> int:
    """Run a script, swap in what is saved while it runs, and run it again on a save after its end.

    `argv` are the arguments, by default those of the command line.  Return the exit status.
    """
    told_in = os.environ.pop(_CHILD, None)
    options = _parse(argv)
    try:
        if options.graph:
            return _show_graph(options)
        if options.once or told_in:
            return _Runner(options, told_in).run()
        return _Supervisor(options).supervise()
    except _NothingToRun as error:
        if told_in:
            open(told_in, "wb").close()  # the parent leaves, too
        _say(options, f"cannot run {options.argv[0]}: {error}", failed=True)
        return 2


def _parse(argv):
    import argparse
    parser = argparse.ArgumentParser(
        "deepreload", usage="python -m deepreload [options] script.py [args]\n"
                            "       python -m deepreload [options] -m module [args]",
        description="Run a script, swap in what is saved, run it again on a save after its end.")
    add = parser.add_argument
    add("--once", action="store_true", help="leave when the script ends, with its status")
    add("--interval", type=float, default=0.5, metavar="SECONDS", help="time between looks (0.5)")
    for name, text in (("include", "reload these modules too: a name or glob"),
                       ("exclude", "leave these modules alone"),
                       ("restart", "start again if these are saved; __main__ is the script")):
        add("--" + name, action="append", default=[], metavar="NAME", help=text)
    add("--quiet", action="store_true", help="say only what fails")
    for flag in "--graph", "--graph=tree", "--graph=dot", "--graph=mermaid":  # each is one word, as
        form = flag[8:] or "tree"  # what follows may be the script
        add(flag, dest="graph", action="store_const", const=form,
            help=f"import the script, and print the import graph as {form}")
    add("--version", action="version", version=f"deepreload {__version__}")
    rest = argparse.REMAINDER
    add("-m", dest="module", nargs=rest, metavar="module", help="run a module, as python -m does")
    add("script", nargs=rest, help="the script to run, and its arguments")
    options = parser.parse_args(argv)
    options.argv = options.module or options.script
    if not options.argv:
        parser.error("name a script, or -m and a module")
    if not options.interval > 0:
        parser.error("argument --interval: takes a number of seconds greater than 0")
    if options.once and options.restart:
        parser.error("argument --restart: with --once nothing starts the script again")
    options.interval = min(options.interval, threading.TIMEOUT_MAX)
    return options


def _say(options, text, failed=False, trace=""):
    """Write a message to stderr in one piece, as the script writes too."""
    stream, text = sys.__stderr__, f"{trace}deepreload: {text}"
    try:
        plain = os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("NO_COLOR")
        if stream.isatty() and not plain:
            text = f"\033[{31 if failed else 2}m{text}\033[0m"
        if failed or not options.quiet:
            stream.write(text + "\n")
            stream.flush()
    except Exception:  # closed, broken, or None from the start
        pass


class _Supervisor:
    """The parent: starts the program, waits for its end and then for a save, and so on."""

    def __init__(self, options):
        self.options, self.name = options, options.argv[0]
        self.running, self.code, self.status = False, 0, 0
        self.signals = set()  # that came while the program was running
        self.stats = {}  # {path: stat} that it has told

    def supervise(self):
        """Run the program until a signal ends it; return its last status."""
        import signal
        import tempfile
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: for the child, too
                signal.signal(number, self.note)
        misplaced = [word for word in self.options.argv if word.partition("=")[0] in _OPTIONS]
        if misplaced:
            _say(self.options, f"{_listing(misplaced)} goes to {self.name}: options for deepreload "
                               "stand before the script")
        with tempfile.TemporaryDirectory(prefix="deepreload-") as folder:
            self.told_in = os.path.join(folder, "told")
            while True:
                began = time.monotonic()
                self.run()
                if self.signals or not self.stats:
                    return self.status
                self.say_end()
                # a script that writes to its own file would run again without a pause
                time.sleep(max(0, began + self.options.interval - time.monotonic()))
                for path in self.wait_for_save():
                    _drop_bytecode(path)  # it knows its source by whole seconds only

    def run(self):
        """Run the program once; set its status, and the stats that it has told."""
        import ast
        import subprocess
        self.stats = {path: _stat(path) for path in self.stats}
        open(self.told_in, "wb").close()
        environ = {**os.environ, _CHILD: self.told_in}
        self.running = True
        self.child = subprocess.Popen(_command_line(), env=environ, close_fds=False)
        self.code = self.child.wait()
        self.status = 128 - self.code if self.code < 0 else self.code
        if self.code == 0xC000013A:  # so says Windows after a Ctrl-C
            self.status = 130
        self.running = False
        with open(self.told_in, encoding="ascii") as file:
            told = dict(map(ast.literal_eval, file))
        if told and self.code == 0:  # else it may not have come to all of them
            self.stats = {}
        self.stats.update(told)

    def note(self, number, frame):
        """Note a signal, and pass it on a little later; leave if the program does not run.

        Nobody tells whether a SIGINT went to the child, too, which would take it for another one.
        """
        import signal
        if not self.running:
            raise SystemExit(self.status)
        if number not in self.signals:
            self.signals.add(number)
            timer = threading.Timer(3 if number == signal.SIGINT else 0.5, self.pass_on, [number])
            timer.daemon = True
            timer.start()

    def pass_on(self, number):
        """Send a signal to the program, unless it was typed at the terminal: it has that."""
        import signal
        try:
            terminals = [stream for stream in range(3) if os.isatty(stream)]
            in_front = os.tcgetpgrp(terminals[0]) == os.getpgrp()
        except (AttributeError, IndexError, OSError):  # Windows; no terminal
            in_front = os.name == "nt"
        if number != signal.SIGINT or not in_front:
            self.child.send_signal(number)

    def say_end(self):
        import signal
        names = {-each: f"by signal {each.name}" for each in signal.Signals}
        how, saved = names.get(self.code, f"with status {self.code}"), self.saved()
        then = "it was saved meanwhile and runs again"
        if not saved:
            then = "it runs again on the next save (Ctrl-C leaves)"
        _say(self.options, f"{self.name} ended {how}; {then}", failed=self.code and not saved)

    def saved(self):
        """Return {path: stat} of the files that are not what the program has told."""
        stats = {path: _stat(path) for path in self.stats}
        return {path: stat for path, stat in stats.items() if stat not in (None, self.stats[path])}

    def wait_for_save(self):
        """Wait until files were saved and stay so for a moment; return them."""
        before, saved = None, self.saved()
        while not saved or saved != before:
            time.sleep(_QUIET if saved else self.options.interval)
            before, saved = saved, self.saved()
        return saved


def _command_line():
    """Return the command line of this process, to start it again."""
    if hasattr(sys, "orig_argv"):  # Python 3.10
        return [sys.executable, *sys.orig_argv[1:]]
    import subprocess
    flags = subprocess._args_from_interpreter_flags()
    if getattr(sys.stdout, "write_through", False):
        flags.append("-u")
    spec = sys.modules["__main__"].__spec__
    is_module = spec is not None and spec.name != "__main__"  # that would be an archive
    run = ["-m", spec.name] if is_module else [sys.argv[0]]
    return [sys.executable, *flags, *run, *sys.argv[1:]]


class _Runner(Watcher):
    """The process of the script: runs it as `__main__`, and swaps in what is saved meanwhile."""

    def __init__(self, options, told_in):
        super().__init__(options.interval, options.include, options.exclude,
                         self.reloaded, self.not_reloaded)
        self.options, self.told_in, self.name = options, told_in, options.argv[0]
        self.unchecked = [*options.include, *options.exclude, *options.restart]
        self.loaded, self.restarts, self.outdated = 0, None, False

    def run(self):
        """Run the script, and let what it raises leave in Python's own way."""
        global _report
        _report = self.tell
        try:
            code = self.prepare()
            self._start()
            exec(code, _dict_of(sys.modules["__main__"]))
        except BaseException as error:
            for path, stat in _concerned(error).items():
                if path not in _runs:  # else it may have been saved since it was executed
                    self.tell(path, stat)
            if not isinstance(error, SystemExit):
                _show_from_script(error)
            raise
        self.check_patterns()
        return 0

    def tell(self, path, stat):
        """Tell the parent which file was executed: at once, as who is killed tells nothing."""
        if self.outdated and path == self.path:
            stat = self.began_at  # so that it sees another one
        if self.told_in:
            try:
                with open(self.told_in, "a", encoding="ascii") as file:
                    file.write(ascii((path, stat)) + "\n")
            except OSError:
                pass

    def prepare(self):
        """Make a new `__main__`, sys.argv and sys.path as Python does; return the code to run."""
        _set_arguments(self.options)
        spec, loader, path, code = _located(self.options)
        if self.options.module:
            sys.argv[0] = path
        self.path, self.began_at, self.get_data = path, _stat(path), loader.get_data
        try:
            self.source = loader.get_data(path)
        except OSError as error:
            raise _NothingToRun(error) from None
        self.stats = {path: self.began_at}  # of the files whose save is worth a swap
        watched = getattr(loader, "archive", path)
        self.tell(watched, _stat(watched))
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        _dict_of(module).update(__builtins__=builtins, __file__=path, __loader__=loader,
                                __spec__=spec, __package__=spec and spec.parent)
        if sys.version_info < (3, 15):
            module.__cached__ = spec and spec.cached
        if sys.version_info < (3, 14):
            module.__annotations__ = {}
        if sys.version_info < (3, 9) and spec is None:
            module.__file__ = self.name
        code = code or compile(self.source, path, "exec", dont_inherit=True)
        _runs[path] = Version(self.began_at, code)
        return code

    # What is saved

    def _look(self):
        """Return {name: stat} of what changed: the modules in scope, and the script."""
        if self.loaded == len(sys.modules):  # its imports are done
            self.check_patterns()
        self.loaded = len(sys.modules)
        changed = super()._look()
        stats = {path: _stat(path) for path in self.stats}
        if stats[self.path] and stats != self.stats:
            changed["__main__"] = stats
        return changed

    def _reload(self):
        """Reload what changed; the script last, as what it imports may be among that."""
        import signal
        self.began, changed = time.perf_counter(), self._look()
        restarts = {name: changed[name] for name in changed if _matches(name, self.options.restart)}
        if not restarts:
            super()._reload()
            if "__main__" in changed:
                self.swap()
        elif restarts != self.restarts:  # else it takes its time to close
            self.restarts = restarts
            _say(self.options, f"{_listing(list(restarts))} saved: the program starts again")
            if os.name == "nt":
                signal.raise_signal(signal.SIGTERM)
            else:
                os.kill(os.getpid(), signal.SIGTERM)  # so that the main thread wakes

    def swap(self):
        """Execute the changed definitions and imports of the script, and nothing else of it."""
        self.began, stat = time.perf_counter(), _stat(self.path)
        try:
            source = self.get_data(self.path)
            code, changed, others = _changed_definitions(self.source, source, self.path)
            self.outdated = self.outdated or others
            if source != self.source:
                _swap_main(code, self.path, stat)
        except OSError:  # locked for a moment
            return
        except Exception as error:
            self.stats = {**_concerned(error), self.path: stat}
            for path in self.stats:
                self.tell(path, self.stats[path])
            self.not_reloaded(error)
            return
        self.source, self.stats = source, {self.path: stat}
        self.tell(self.path, stat)
        if changed:
            self.reloaded(["__main__"])
        if others:
            _say(self.options, f"other statements of {self.name} changed: they run with the next "
                               "start (--restart __main__ restarts at once)")

    # What is said

    def reloaded(self, names):
        milliseconds = (time.perf_counter() - self.began) * 1000
        count = f"{len(names)} module{'s' * (len(names) != 1)}"
        _say(self.options, f"reloaded {_listing(names)} ({count}, {milliseconds:.0f} ms)")

    def not_reloaded(self, error):
        trace = _user_traceback(error)
        if not isinstance(error, ReloadError):
            error = _failure(error, "__main__", self.path)
        _say(self.options, f"{error}; the old code goes on", failed=True, trace=trace)
        if error.reloaded:
            self.reloaded(error.reloaded)

    def check_patterns(self):
        """Say, once, which names in the options are those of no loaded module."""
        for pattern in self.unchecked:
            if not any(_matches(name, [pattern]) for name in list(sys.modules)):
                _say(self.options, f"no module is loaded that {pattern!r} could mean")
        self.unchecked = ()


def _set_arguments(options):
    """Give the script its sys.argv, and the sys.orig_argv that servers start it again with."""
    if hasattr(sys, "orig_argv"):  # Python 3.10
        head = sys.orig_argv[:len(sys.orig_argv) - len(sys.argv) + 1]
        del head[-2 if head[-2] == "-m" else -1:]
        sys.orig_argv[:] = [*head, *["-m"] * bool(options.module), *options.argv]
    sys.argv[:] = options.argv
    if options.module:
        sys.argv[0] = "-m"  # until it is found, as with Python


def _put_folder_first(options):
    """Let sys.path begin as with Python; return whether a mere file is to be run."""
    from pkgutil import get_importer
    name = options.argv[0]
    is_file = not options.module and get_importer(name) is None
    above = os.getcwd() if sys.version_info >= (3, 9) else ""
    folder = os.path.dirname(os.path.realpath(name)) if is_file else os.path.join(above, name)
    safe = getattr(sys.flags, "safe_path", sys.flags.isolated)  # Python 3.11
    if not safe:
        sys.path[0] = os.getcwd() if options.module else folder
    elif not (is_file or options.module):
        sys.path.insert(0, folder)
    return is_file


def _located(options):
    """Return the spec (None of a mere file), loader, path and code, if known, of what to run."""
    import runpy
    if _put_folder_first(options):
        path = os.path.join(os.getcwd(), options.argv[0])
        return None, importlib.machinery.SourceFileLoader("__main__", path), path, None
    if options.module:
        _, spec, code = runpy._get_module_details(options.argv[0], _NothingToRun)
    else:
        _, spec, code = runpy._get_main_module_details(_NothingToRun)
    return spec, spec.loader, spec.origin, code


def _show_from_script(error):
    """Have the traceback of an exception that is about to leave begin in the script."""
    hook, trace = sys.excepthook, error.__traceback__
    above = __name__, "runpy", "importlib.util"
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in above:
        trace = trace.tb_next
    sys.excepthook = lambda kind, error, _: hook(kind, error.with_traceback(trace), trace)


def _changed_definitions(before, source, path):
    """Return the code of a script that executes what changed of its definitions and imports.

    All else stands behind a false condition, as functions follow their code by its place.  So does
    a function that changed only below its decorators: `@app.route` refuses to be called again.
    Return also whether any has changed, and whether other statements have.
    """
    import ast
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    kinds = *functions, ast.ClassDef, ast.Import, ast.ImportFrom

    def others(tree):
        return [ast.dump(node) for node in tree.body if not isinstance(node, kinds)]

    def head(node):
        return [node.name, ast.dump(node.args), *map(ast.dump, node.decorator_list)]

    old, new = (compile(each, path, "exec", ast.PyCF_ONLY_AST, True) for each in (before, source))
    known, others_changed = {ast.dump(node) for node in old.body}, others(old) != others(new)
    changed = [node for node in new.body if isinstance(node, kinds) and ast.dump(node) not in known]
    decorated = [head(node) for node in old.body
                 if isinstance(node, functions) and node.decorator_list]
    never = ast.parse("not __name__", mode="eval").body
    for index, node in enumerate(new.body):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or getattr(node, "module", None) == "__future__":
            continue  # these have to be the first
        if node not in changed or isinstance(node, functions) and head(node) in decorated:
            new.body[index] = ast.copy_location(ast.If(never, [node], []), node)
    code = compile(ast.fix_missing_locations(new), path, "exec", dont_inherit=True)
    return code, bool(changed), others_changed


def _show_graph(options):
    """Import what would be run, and print who imports whom."""
    import contextlib
    spec, sys.argv[:] = _spec_to_show(options), options.argv
    _say(options, f"importing {options.argv[0]} to see what it imports")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    try:
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
            spec.loader.exec_module(module)
    except Exception as error:
        _say(options, "there is no graph to show", failed=True, trace=_user_traceback(error))
        return 1
    graph = import_graph(include=[*options.include, spec.name], exclude=options.exclude)
    tree = options.graph == "tree"
    print("\n".join(_tree(graph, spec.name) if tree else _drawn(graph, options.graph)))
    return 0


def _spec_to_show(options):
    """Return the spec of what would be run, under a name of its own."""
    name = options.argv[0]
    if options.module:
        _put_folder_first(options)
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:  # that is a package
            raise _NothingToRun(error) from None
        if spec is None:
            raise _NothingToRun(f"there is no module {name!r}")
        return spec
    _, _, path, _ = _located(options)
    if not os.path.isfile(path):
        raise _NothingToRun(f"there is no file {path!r}")
    name = os.path.splitext(os.path.basename(os.path.abspath(name)))[0]
    loader = importlib.machinery.SourceFileLoader(name, path)
    return importlib.util.spec_from_loader(name, loader)


def _drawn(graph, form):
    """Yield the lines of the import graph in a language that draws it."""
    dot = form == "dot"
    template, arrow = ('"{0}"', "->") if dot else ('n{1}["{0}"]', "-->")
    nodes = {name: template.format(name, index) for index, name in enumerate(graph)}
    yield "digraph imports {" if dot else "graph TD"
    for name in graph:
        yield f"  {nodes[name]};"
        for target in graph[name]:
            yield f"  {nodes[name]} {arrow} {nodes[target]};"
    if dot:
        yield "}"


def _tree(graph, root):
    """Yield the lines of the import graph as a tree, each module's imports once."""
    shown, stack = set(), [(root, ())]
    while stack:
        name, above = stack.pop()
        mark = " (see above)" if name in shown and graph.get(name) else ""
        if name in above:
            mark = " (cycle)"
        yield "    " * len(above) + name + mark
        if not mark:
            shown.add(name)
            stack += [(target, above + (name,)) for target in reversed(graph.get(name, ()))]


if __name__ == "__main__":
    # what runs must be the module that others import, and not this one
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # -I has put no folder there
    _module = importlib.import_module("deepreload" if __spec__ is None else __spec__.name)
    sys.path.pop()
    sys.exit(_module.main())
