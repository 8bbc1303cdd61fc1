

def _stat(path):
    """Return what os.stat() says of a file, for comparing with != only; None if there is none."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError, TypeError):
        return None


def _settled(stat):
    """Return whether a later edit would show in the stat: the file system's clock has gone on.

    The kernel's clock ticks every few milliseconds; whole seconds are those of FAT or HFS+.
    """
    if stat is None:
        return False
    newest = max(stat[:2])
    return time.time_ns() - newest > (50_000_000 if newest % 1_000_000_000 else 2_000_000_000)


def _note_what_runs():
    """Have the import system tell the code of every module that it executes.

    Loaders that execute by themselves tell nothing: of their files the stat is noted as the module
    is made, since at the first look it may be too late.
    """
    loader = importlib.machinery.SourceFileLoader
    inner_get_code, inner_module_from_spec = loader.get_code, _bootstrap.module_from_spec

    def get_code(self, fullname):
        stat = _stat(self.path)  # before the file is read
        code = inner_get_code(self, fullname)
        frame = sys._getframe(1)
        while frame.f_code.co_name == "get_code":  # of a subclass, or of another copy of this file
            frame = frame.f_back
        if frame.f_code is _EXEC_MODULE.__code__:
            known = type(self).get_code is loader.get_code and not _executes_itself(self)
            _note(self.path, Version(stat, code if known else None))
        return code

    def module_from_spec(spec):
        if spec.has_location and _executes_itself(spec.loader):
            _note(spec.origin, Version(_stat(spec.origin), None))
        return inner_module_from_spec(spec)

    # Python takes the frames of the import system out of tracebacks: this has to pass for one
    filename = _EXEC_MODULE.__code__.co_filename
    get_code.__code__ = get_code.__code__.replace(co_filename=filename)
    loader.get_code, _bootstrap.module_from_spec = get_code, module_from_spec


def _note(path, version):
    if _in_stdlib(path):
        return
    before = _runs.get(path)
    if before is not None and before.code is not None:  # importlib.reload() leaves old names
        version.left = before.left.union(before.facts.binds)
    _runs[path] = version
    _tell(path, version.stat)


def _tell(path, stat):
    if _report is not None and path:
        _report(path, stat)


def _executes_itself(loader):
    """Return whether a loader has an exec_module() of its own, which nothing can stand for."""
    return getattr(type(loader), "exec_module", _EXEC_MODULE) is not _EXEC_MODULE


def _running(name):
    """Return the Version that a loaded module runs, or None where there is no file."""
    spec = _spec_of(name)
    path = _path_of(spec)
    version = _runs.get(path)
    if path is None or version is not None and version.code is not None:
        return version
    stat = _stat(path)
    if version is None:
        version = _runs[path] = Version(stat, None)
    if _executes_itself(spec.loader):
        version._facts = version._facts or _facts_of_source(path)
        return version
    version.exact = False  # imported before this module could hear of it
    try:
        if version.stat == stat:
            version.code = _code_of(spec, stat)
        else:
            version.code = _bytecode_of(path, version.stat)
    except Exception:  # a loader's, or the file is of no use
        pass
    return version


def _read(name, spec):
    """Return the Version that a module's file holds now: the one that runs if it says the same."""
    path = _path_of(spec)
    stat, runs = _stat(path), _running(name)
    known = runs is not None and runs.code is not None
    if known and runs.stat == stat is not None:
        return runs
    version = Version(stat, _code_of(spec, stat))
    if version.code is None:
        version._facts = _facts_of_source(path)
    elif known and _same_code(runs.code, version.code):
        runs.stat = version.stat
        return runs
    return version


def _code_of(spec, stat):
    """Return a module's code as its file is now; None where only the loader can execute it."""
    loader = spec.loader
    if hasattr(loader, "archive"):  # zipimport knows the archive as it was at first
        import zipimport
        zipimport._zip_directory_cache.pop(loader.archive, None)
        loader = zipimport.zipimporter(os.path.join(loader.archive, loader.prefix))
    elif not hasattr(loader, "get_code") or _executes_itself(loader):
        return None
    elif type(loader) is importlib.machinery.SourceFileLoader:
        if _drop_bytecode(spec.origin, _bytecode_is_sound(spec.origin, stat)):
            return loader.source_to_code(loader.get_data(spec.origin), spec.origin)
    return loader.get_code(spec.name)


def _bytecode_is_sound(path, stat):
    """Return whether there is bytecode which cannot be that of an older source.

    It knows its source by size and whole seconds only: what is as young as that proves nothing.
    """
    written = _stat(_bytecode_path(path))
    newest = max(stat[:2]) if stat else 0
    return bool(written) and written[0] - newest > 50_000_000 and _settled(stat)


def _bytecode_path(path):
    try:
        return importlib.util.cache_from_source(path)
    except NotImplementedError:
        return ""


def _drop_bytecode(path, sound=False):
    """Remove bytecode, which a new process would run, too, unless it is sound; return whether."""
    if not sound:
        try:
            os.unlink(_bytecode_path(path))
        except OSError:
            pass
    return not sound


def _bytecode_of(path, stat):
    """Return the code that was compiled from a source with that stat, if it is still there."""
    import marshal
    with open(_bytecode_path(path), "rb") as file:
        data = file.read()
    said = int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little")
    known = stat[0] // 1_000_000_000 & 0xFFFFFFFF, stat[2] & 0xFFFFFFFF
    return marshal.loads(data[16:]) if said == known and not any(data[4:8]) else None


# What a code object says. Instructions are words of two bytes in all Pythons so far; before each
# IMPORT_NAME stand the instructions that load its level and its names.

_NO_FACTS = Facts((), (), {}, frozenset(), False, False)
_OPS = {opcode.opmap.get(name, -1): name for name in (
    "IMPORT_NAME", "IMPORT_FROM", "STORE_NAME", "STORE_GLOBAL", "LOAD_NAME", "LOAD_CONST",
    "LOAD_SMALL_INT")}
_LOOKS = {"globals", "locals", "vars", "dir"}
_LAZY_BITS = 2 if sys.version_info >= (3, 15) else 0  # PEP 810 keeps flags in IMPORT_NAME
_IN_FUNCTION = 1  # CO_OPTIMIZED: set for functions, not for modules and class bodies


def _facts(code):
    """Return what a module's code says: Facts(imports, froms, binds, sets, looks, lazy).

    `imports` is [Import], `froms` [(module, level, attribute, name bound)] of the module's own
    statements, `binds` {name: times} what these bind, `sets` the names bound by `global`, past the
    view, `looks` whether the module looks at its own namespace, `lazy` whether it imports lazily.
    """
    facts = Facts([], [], {}, set(), [], [])
    if "__lazy_modules__" in code.co_names:
        facts.lazy.append(True)
    waiting = [(code, False)]
    for each, late in waiting:  # to which the loop adds
        if each is code or _IMPORTS.search(each.co_code):  # or an argument that looks like one
            _scan(each, facts, each is code, late)
        for inner in _codes_in(each):
            at_once = not inner.co_flags & _IN_FUNCTION or inner.co_name.endswith("comp>")
            waiting.append((inner, late or not at_once))
            if inner.co_name.endswith("comp>"):
                facts.looks.extend(_LOOKS.intersection(inner.co_names))
    return facts


_IMPORTS = re.compile(b"[%c%c]" % (opcode.opmap["IMPORT_NAME"], opcode.opmap["STORE_GLOBAL"]), re.S)


def _scan(code, facts, top, late):
    """Add what one code object says to the facts; `top` is for the module's own code."""
    skipped = _type_checking(code) if "TYPE_CHECKING" in code.co_names else ()
    words, names = _words(code), code.co_names
    for index, (offset, op, arg) in enumerate(words):
        what = _OPS.get(op)
        if what == "IMPORT_NAME":
            level, wanted = [_constant(code, word) for word in words[index - 2:index]]
            base = names[arg >> _LAZY_BITS], level or 0
            if not any(start <= offset < end for start, end in skipped):
                facts.imports.append(Import(*base, wanted or (), late))
            if top and arg & 1 and _LAZY_BITS:
                facts.lazy.append(True)
            if top and wanted == ("*",):
                facts.froms.append((*base, "*", "*"))
        elif what == "STORE_GLOBAL":
            facts.sets.add(names[arg])
        elif what == "IMPORT_FROM" and top and wanted:  # without, it is `import a.b as c`
            facts.froms.append((*base, names[arg], names[words[index + 1][2]]))
        elif what == "LOAD_NAME" and top and names[arg] in _LOOKS:
            facts.looks.append(True)
        if top and what in ("STORE_NAME", "STORE_GLOBAL"):
            facts.binds[names[arg]] = facts.binds.get(names[arg], 0) + 1


def _words(code):
    """Return [(offset, opcode, argument)] without the EXTENDED_ARG prefixes."""
    raw, words, high = code.co_code, [], 0
    for offset in range(0, len(raw), 2):
        arg = raw[offset + 1] | high
        high = arg << 8 if raw[offset] == opcode.EXTENDED_ARG else 0
        if raw[offset] != opcode.EXTENDED_ARG:
            words.append((offset, raw[offset], arg))
    return words


def _constant(code, word):
    """Return the constant that an instruction loads; None is loaded by one of its own."""
    _, op, arg = word
    if _OPS.get(op) == "LOAD_CONST":
        return code.co_consts[arg]
    return arg if _OPS.get(op) == "LOAD_SMALL_INT" else None


def _type_checking(code):
    """Return [(start, end)] of what stands under `if TYPE_CHECKING:`, which is not executed."""
    import dis
    found = [each for each in dis.get_instructions(code) if each.opname not in ("TO_BOOL", "CACHE")]
    return [(jump.offset, jump.argval) for load, jump in zip(found, found[1:])
            if load.argval == "TYPE_CHECKING" and jump.opname.endswith("IF_FALSE")]


def _facts_of_source(path):
    """Return the facts of a source file that a loader of its own executes."""
    try:
        with open(path, "rb") as file:
            return _facts(compile(file.read(), path, "exec", dont_inherit=True))
    except (OSError, SyntaxError, TypeError, ValueError):
        return _NO_FACTS


@functools.lru_cache(None)
def _check_bytecode():
    """Raise ReloadError where instructions are encoded in a way that this file does not know."""
    probe = "from ..a.b import *\ndef f():\n import c as d\n global g\n g = f"
    says = [("a.b", 2, ("*",), False), ("c", 0, (), True)], [("a.b", 2, "*", "*")], {"f": 1}, {"g"}
    try:
        known = tuple(_facts(compile(probe, "", "exec"))[:4]) == says
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ReloadError(f"deepreload {__version__} does not know the bytecode of this Python: "
                          "copy a newer one; nothing was reloaded", name=__name__)


def _codes_in(code):
    return [const for const in code.co_consts if type(const) is types.CodeType]


_LINES = "co_linetable" if hasattr(_words.__code__, "co_linetable") else "co_lnotab"  # 3.10


def _same_code(one, other):
    """Return whether two code objects are equal, line numbers (which == may leave out) included."""
    same = one == other and getattr(one, _LINES) == getattr(other, _LINES)
    return one is other or same and all(map(_same_code, _codes_in(one), _codes_in(other)))


def _without_lines(code):
    """Return code without what tells where it stands in the file."""
    consts, raw, words = list(code.co_consts), bytearray(code.co_code), _words(code)
    for (offset, op, arg), (_, store, name) in zip(words, words[1:]):
        if _OPS.get(store) == "STORE_NAME" and code.co_names[name] == "__firstlineno__":  # 3.13
            if _OPS.get(op) == "LOAD_CONST":
                consts[arg] = None
            else:
                raw[offset + 1] = 0
    consts = [_without_lines(each) if type(each) is types.CodeType else each for each in consts]
    lines = {_LINES: b"", "co_firstlineno": 1}
    return code.replace(co_consts=tuple(consts), co_code=bytes(raw), **lines)
