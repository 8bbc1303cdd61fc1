# What a code object says. Instructions are words of two bytes in all Pythons so far; before each
# IMPORT_NAME stand the instructions that load its level and its names.

_NO_FACTS = Facts((), {}, {}, frozenset(), False, False)
_OPS = {opcode.opmap.get(name, -1): name for name in (
    "IMPORT_NAME", "IMPORT_FROM", "STORE_NAME", "STORE_GLOBAL", "LOAD_NAME", "LOAD_CONST",
    "LOAD_SMALL_INT")}
_LOOKS = {"globals", "locals", "vars", "dir"}
_LAZY_BITS = 2 if sys.version_info >= (3, 15) else 0  # PEP 810 keeps flags in IMPORT_NAME
_IN_FUNCTION = 1  # CO_OPTIMIZED: set for functions, not for modules and class bodies


def _facts(code):
    """Return what a module's code says: Facts(imports, froms, binds, sets, looks, lazy).

    `imports` is [Import], `froms` {(module, level): [(attribute, name bound)]} of the module's own
    statements, `binds` {name: times} what these bind, `sets` the names bound by `global`, past the
    view, `looks` whether the module looks at its own namespace, `lazy` whether it imports lazily.
    """
    facts = Facts([], {}, {}, set(), [], [])
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
                facts.froms.setdefault(base, []).append(("*", "*"))
        elif what == "STORE_GLOBAL":
            facts.sets.add(names[arg])
        elif what == "IMPORT_FROM" and top and wanted:  # without, it is `import a.b as c`
            pair = names[arg], names[words[index + 1][2]]
            facts.froms.setdefault(base, []).append(pair)
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


@functools.lru_cache(None)
def _check_bytecode():
    """Raise ReloadError where instructions are encoded in a way that this file does not know."""
    try:
        facts = _facts(compile("from ..a.b import c as d", "", "exec"))
    except (LookupError, ValueError):
        facts = _NO_FACTS
    if facts[:3] != ([("a.b", 2, ("c",), False)], {("a.b", 2): [("c", "d")]}, {"d": 1}):
        raise ReloadError(f"deepreload {__version__} does not know the bytecode of this Python: "
                          "copy a newer one; nothing was reloaded", name=__name__)


def _codes_in(code):
    return [const for const in code.co_consts if type(const) is CodeType]


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
    consts = [_without_lines(each) if type(each) is CodeType else each for each in consts]
    lines = {_LINES: b"", "co_firstlineno": 1}
    return code.replace(co_consts=tuple(consts), co_code=bytes(raw), **lines)
