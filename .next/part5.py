

# -- F. keep: old objects stay, brought up to date ------------------------------------------------
# Guarantees that functions, classes and enum members that the module has made keep their identity.
# Matches by __module__ and __qualname__; calls nothing of the user's: no ==, getattr, isinstance.

_PLAIN = {int, str, float, bool, bytes, type(None), tuple, list, dict, set, frozenset, ModuleType,
          _Reloading}
_DESCRIPTORS = {types.MemberDescriptorType, types.GetSetDescriptorType}
_NO_RECORDS = {*_PLAIN, *_DESCRIPTORS, FunctionType, MethodType}
_CACHED = functools._lru_cache_wrapper  # a function in PyPy, and nothing's type
_METHODS = {property: ("fget", "fset", "fdel", "__doc__"), classmethod: ("__func__",),
            staticmethod: ("__func__",)}
_METACLASSES = {"abc", "typing", "typing_extensions", "enum"}  # Python's own, besides type
_NOT_COPIED = {"__dict__", "__weakref__", "_abc_impl", "__classdictcell__"}
_STATE = ["__defaults__", "__kwdefaults__", "__doc__", "__name__", "__qualname__", "__module__"]
_NOTES = "__annotate__" if "__annotate__" in vars(FunctionType) else "__annotations__"  # 3.14
_STATE += [_NOTES]
_STATE += ["__type_params__"] * hasattr(FunctionType, "__type_params__")  # 3.12


def _module_of(value):
    """Return the module in which a class or function was made; None for all else."""
    if _is_class(value):
        return _vars_of_class(value).get("__module__")
    return value.__module__ if _is_function(value) else None


def _identical(one, other):
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _keep(batch, old, new):
    """Return what to use for a new object: the old one, brought up to date, where it has made it."""
    kind = type(new)
    if new is old or kind in _PLAIN:
        return new
    if id(new) in batch.pairs:
        return batch.pairs[id(new)].kept
    if type(old) is _CACHED:
        batch.caches.append(old)
        kept = kind is _CACHED and _keep(batch, old.__wrapped__, new.__wrapped__)
        if kept is old.__wrapped__ and old.cache_info()[2] == new.cache_info()[2]:
            batch.pair(new, old)  # it goes on with the old function, and is cleared
            return old
    if _is_class(new) and _is_class(old):
        same = _qualname(old) == _qualname(new)
        keep = _keep_class
    elif kind is FunctionType is type(old):
        same = old.__qualname__ == new.__qualname__
        keep = _keep_function
    elif kind in _METHODS and type(old) is kind:
        before, after = _parts(old), _parts(new)
        kept = list(map(functools.partial(_keep, batch), before, after))
        return new if _identical(kept, after) else old if _identical(kept, before) else kind(*kept)
    else:
        return new
    module = _module_of(new)
    made_here = same and type(module) is str and module in batch.views and _module_of(old) == module
    return keep(batch, old, new) if made_here and id(old) not in batch.claimed else new


def _parts(value):
    """Return what a property, classmethod or staticmethod is made of; of all else itself."""
    return [getattr(value, name) for name in _METHODS[type(value)]] if type(value) in _METHODS else [value]


def _keep_function(batch, old, new):
    """Give an old function the code and the state of the new one."""
    was, code = old.__code__, new.__code__
    if not _fits(was, code):
        batch.claimed.add(id(old))
        _forward(batch, old, new)
        return new
    batch.pair(new, old)
    if was is code and not (_extras_of(old) or _extras_of(new)):
        return old
    if was is not code:
        batch.do(setattr, old, "__code__", code, old=was)
    had, before, after = old.__dict__, _state_of(old), _state_of(new)
    if "registry" in had and "register" in new.__dict__:  # of functools.singledispatch
        for cls, function in had["registry"].items():
            if _module_of(function) not in batch.sources:
                new.register(cls, function)
    kept = {name: _keep(batch, had.get(name), value) for name, value in new.__dict__.items()}
    if had or kept or not all(map(_same_value, before, after)):
        batch.do(_set_state, old, (after, kept), old=(before, dict(had)))
    for mine, theirs in zip(old.__closure__ or (), new.__closure__ or ()):
        before, after = _content(mine), _content(theirs)
        if before is not after is not _MISSING:
            batch.do(_set_cell, mine, _keep(batch, before, after), old=before)
    return old


def _extras_of(function):
    """Return whether a function has more to it than its code."""
    return function.__defaults__ or function.__kwdefaults__ or function.__dict__ \
        or function.__closure__ or getattr(function, _NOTES)


def _fits(was, code):
    """Return whether a function can be given other code: of as many cells, and no generator now."""
    return was.co_freevars == code.co_freevars and not (was.co_flags ^ code.co_flags) & 0x2A0


def _state_of(function):
    return [getattr(function, name) for name in _STATE]


def _set_state(function, state):
    for name, value in zip(_STATE, state[0]):
        if not _same_value(getattr(function, name), value):
            setattr(function, name, value)
    _restore_namespace(function.__dict__, state[1])


def _same_value(one, other):
    """Return whether two values are the same object, or constants that nobody tells apart."""
    if one is other or type(one) is not type(other):
        return one is other
    return type(one) in (str, int) and one == other or type(one) in (tuple, dict) and not (one or other)


def _forward(batch, old, new):
    """Let an old function, which cannot be given the new one's code, only call the new one.

    It takes it from a keyword default: a constant of the code would be a cycle that nobody collects.
    """
    def call(*args, __new__, **kwargs):
        return __new__(*args, **kwargs)

    async def call_async(*args, __new__, **kwargs):
        return await __new__(*args, **kwargs)

    code = (call_async if new.__code__.co_flags & 0x80 else call).__code__  # CO_COROUTINE
    code = code.replace(co_freevars=old.__code__.co_freevars, co_name=new.__name__)
    state = [None, {"__new__": new}, *_state_of(new)[2:]], {**new.__dict__, "__wrapped__": new}
    import warnings
    with warnings.catch_warnings():  # 3.13 warns where a generator becomes a plain function
        warnings.simplefilter("ignore", DeprecationWarning)
        batch.do(setattr, old, "__code__", code, old=old.__code__)
    batch.do(_set_state, old, state, old=(_state_of(old), dict(old.__dict__)))


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _set_cell(cell, value):
    if value is _MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def _keep_class(batch, old, new):
    """Give an old class what the new one has, or let the new one take over, where it must.

    A framework's metaclass, or an attribute in C, may keep records of a class that nobody can bring
    up to date.
    """
    before, after, meta = dict(_vars_of_class(old)), dict(_vars_of_class(new)), type(new)
    bases = tuple([batch.pairs[id(base)].kept if id(base) in batch.pairs else base
                   for base in _bases(new)])
    same_bases = _identical(bases, _bases(old))
    abstract = before.get("__abstractmethods__") != after.get("__abstractmethods__")
    if abstract or before.keys() != after.keys() or not same_bases:
        batch.shapes_changed = True
    own = meta is type or _vars_of_class(meta).get("__module__") in _METACLASSES
    becomes = type(old) is meta and (own or "_member_map_" in after)
    becomes = becomes and "__class__" not in {**before, **after}  # of a proxy
    records = [value for value in after.values() if type(value) not in _NO_RECORDS
               and not _is_class(value) and _attributes(value) is None]
    becomes = becomes and all(part is not new for part in gc.get_referents(*records))
    try:
        if becomes and not same_bases:
            batch.do(type.__setattr__, old, "__bases__", bases, old=_bases(old))
    except TypeError:
        becomes = False
    same = same_bases and before.keys() == after.keys()
    if not becomes or not same and _layout(old) != _layout(new):
        batch.pair(new, new)
        batch.claimed.add(id(old))
        batch.replaced.append((old, new))
        return new
    batch.pair(new, old)
    for function in filter(_is_function, itertools.chain(*map(_parts, after.values()))):
        for cell in function.__closure__ or ():
            if _content(cell) is new:  # behind super(): it is used at once
                cell.cell_contents = old
    if "_member_map_" in after and "_member_map_" in before:
        _keep_members(batch, old, before["_member_map_"], new, after)
    wanted = {name: _keep(batch, before.get(name), value) for name, value in after.items()}
    batch.do(_set_attributes, old, wanted, old=before)
    if _bases(new)[0] is not object:
        try:  # it must leave its bases' __subclasses__(); and super() in it has to go on working
            type.__setattr__(new, "__bases__", (old,))
        except TypeError:  # its layout differs
            pass
    return old


def _layout(cls):
    """Return what Python lays out in memory for the instances of a class."""
    slots = [name for name, value in _vars_of_class(cls).items()
             if type(value) is types.MemberDescriptorType]
    special = {name for each in _mro(cls) for name in ("__dict__", "__weakref__")
               if name in _vars_of_class(each)}
    return sorted(slots), special, [size.__get__(cls) for size in _SIZES]


_SIZES = [vars(type)[name] for name in ("__basicsize__", "__itemsize__") if name in vars(type)]


def _set_attributes(cls, wanted):
    """Make a class have just these attributes, past metaclasses that refuse, one by one."""
    current = dict(_vars_of_class(cls))
    for name, value in {**current, **wanted}.items():
        if name not in _NOT_COPIED and type(value) not in _DESCRIPTORS:
            if current.get(name, _MISSING) is not wanted.get(name, _MISSING):
                _set_attribute(cls, name, wanted.get(name, _MISSING))


def _set_attribute(obj, name, value):
    """Set or delete an attribute of a class or function, past what classes make of that."""
    kind = type if _is_class(obj) else object
    if value is _MISSING:
        kind.__delattr__(obj, name)
    else:
        kind.__setattr__(obj, name, value)


def _keep_members(batch, old, members, new, after):
    """Keep enum members by name, as far as what they are (an int, a str) lets them change."""
    plain, named = after["_member_type_"] is object, after["_member_map_"]
    for name in sorted(named, key=lambda name: name not in members):  # new names of old ones last
        member, kept = named[name], members.get(name, named[name])
        if id(member) not in batch.pairs and id(kept) not in batch.claimed:
            if not plain and not _same_value(kept._value_, member._value_):
                kept = member
            state = {key: old if value is new else value for key, value in member.__dict__.items()}
            batch.do(_restore_namespace, kept.__dict__, state, old=dict(kept.__dict__))
            _set_class_of(kept, old)
            batch.pair(member, kept)
    for value in after.values():
        _patch(value, batch.pairs, lambda function, *args, old: function(*args))


# -- G. functions follow their code, whoever holds them --------------------------------------------
# Guarantees that no function goes on running the code of an earlier version of its module: one in a
# C structure, a closure, a bound method.  A reference count tells whether there is any; if so, the
# garbage collector finds it.


def _follow_code(batch):
    """Give functions that run an old code object of a changed module its successor."""
    successors, exact = {}, True
    for view in batch.views.values():
        runs, version = view.runs, view.source.version
        if runs is not None and runs.code and version.code and runs is not version:
            _pair_code(runs.code, version.code, successors)
            exact = exact and runs.exact
    _exchange(successors, exact, batch.do)


def _pair_code(old, new, successors):
    """Pair the code objects in two versions of a code object by name, and order in that name."""
    named = collections.defaultdict(list)
    for code in _codes_in(new):
        named[code.co_name, code.co_flags & _IN_FUNCTION].append(code)
    for code in _codes_in(old):
        for successor in named[code.co_name, code.co_flags & _IN_FUNCTION][:1]:
            named[code.co_name, code.co_flags & _IN_FUNCTION].pop(0)
            successors[id(code)] = Pair(code, successor)
            _pair_code(code, successor, successors)


def _exchange(successors, exact, do):
    """Let functions whose code is among the pairs run its successor.

    `exact` says that functions hold these very code objects, not equal copies of them.
    """
    pairs, found = list(successors.values()), ()
    if exact and hasattr(sys, "getrefcount"):
        unused = Pair(_exchange.__code__.replace(co_name="unused"), None)
        least = sys.getrefcount(unused.new) + 1  # for the constants of the code around it
        pairs = [pair for pair in pairs if sys.getrefcount(pair.new) > least]
    if exact and pairs:
        found = gc.get_referrers(*[pair.new for pair in pairs])
    elif pairs:
        found = gc.get_objects()  # code of other files may be equal, too
        successors = {(pair.new.co_filename, pair.new): pair for pair in pairs}
    for function in found:
        if _is_function(function):
            code = function.__code__
            pair = successors.get(id(code) if exact else (code.co_filename, code))
            if pair is not None and _fits(code, pair.kept):
                do(setattr, function, "__code__", pair.kept, old=code)


def _move_lines(path, runs, version):
    """Put code that differs in nothing but where it stands in place, without executing it."""
    successors = {}
    _pair_code(runs.code, version.code, successors)
    _exchange(successors, runs.exact, lambda function, *args, old: function(*args))
    version.left, _runs[path] = runs.left, version
    _tell(path, version.stat)


# -- H. where a class cannot become the new one, its instances and subclasses follow ---------------


def _follow_classes(batch):
    """Let what is of a class that was made anew follow, where Python allows it."""
    successors, stuck = {id(old): new for old, new in batch.replaced}, collections.Counter()
    holders = gc.get_referrers(*[old for old, new in batch.replaced]) if successors else ()
    if successors and sys.version_info < (3, 9):  # instances do not tell their class yet
        holders = gc.get_objects()
    for obj in holders:
        old, new = type(obj), successors.get(id(type(obj)))
        try:
            if new is not None:
                batch.do(_set_class_of, obj, new, old=old)
            elif old is CellType and id(_content(obj)) in successors:  # behind super()
                batch.do(_set_cell, obj, successors[id(_content(obj))], old=_content(obj))
            elif _is_class(obj) and id(obj) not in successors:
                bases = tuple([successors.get(id(base), base) for base in _bases(obj)])
                if not _identical(bases, _bases(obj)):
                    old = next(base for base in _bases(obj) if id(base) in successors)
                    batch.do(type.__setattr__, obj, "__bases__", bases, old=_bases(obj))
        except TypeError:
            stuck[id(old)] += 1
    for old, new in batch.replaced:
        if stuck[id(old)]:
            _log().warning("%s.%s is a new class now; %d of its instances and subclasses keep the "
                           "old one", new.__module__, _qualname(new), stuck[id(old)])


# -- I. leftovers: new versions that somebody has put somewhere before they were paired -------------
# Guarantees that registries which decorators, metaclasses and __init_subclass__ fill hold the object
# that the program uses.  Relies on the garbage collector to find who holds what.


def _replace_leftovers(batch, gains=True):
    """Put kept objects in the place of their new versions, wherever these are held."""
    pairs = [pair for pair in batch.pairs.values() if pair.new is not pair.kept]
    batch.pairs, watched, leftovers = {}, [], {}
    while pairs:
        pair = pairs.pop()
        try:
            if not _references_to(pair.new):
                watched.append((weakref.ref(pair.new), pair))
                pair.new = None
                continue
        except TypeError:  # an enum member that is an int, say
            pass
        leftovers[id(pair.new)] = pair
    gc.collect(1)  # most are garbage, in cycles that the young objects make
    for reference, pair in watched:
        pair.new = reference()
        if pair.new is not None:
            leftovers[id(pair.new)] = pair
    for pair in list(leftovers.values()):
        namespace = _vars_of_class if _is_class(pair.new) else _attributes
        gained = gains and namespace(pair.new) or {}  # since they were paired
        for name in gained.keys() - (namespace(pair.kept) or gained).keys() - _NOT_COPIED:
            batch.do(_set_attribute, pair.kept, name, gained[name], old=_MISSING)
        for reference in _references_to(pair.new):
            other = weakref.ref.__new__(type(reference), pair.kept, reference.__callback__)
            for member, value in _members(reference):  # the key of a WeakValueDictionary's
                member.__set__(other, value)
            leftovers[id(reference)] = Pair(reference, other)
    reference = None
    contexts = sys.modules.get("contextvars") if leftovers else None
    for variable, value in contexts.copy_context().items() if contexts else ():
        if id(value) in leftovers:
            batch.do(contexts.ContextVar.set, variable, leftovers[id(value)].kept, old=value)
    value = None
    for _ in range(8 if leftovers else 0):
        remade = {}  # what cannot be changed is made anew, and then its holders are patched
        for holder in gc.get_referrers(*[pair.new for pair in leftovers.values()]):
            other = _patch(holder, leftovers, batch.do)
            if other is not holder:
                remade[id(holder)] = Pair(holder, other)
        leftovers = remade


def _references_to(obj):
    """Return the weak references to an object, but for that of its bases' __subclasses__()."""
    found = weakref.getweakrefs(obj)
    if not _is_class(obj):
        return found
    own = len(_bases(obj)) + (3 if sys.version_info < (3, 14) else 2)  # with what is counted here
    return [each for each in found if each.__callback__ or type(each) is not weakref.ref
            or getattr(sys, "getrefcount", id)(each) > own]


def _members(obj):
    """Return [(descriptor, value)] of the slots of an object that are not empty."""
    found = []
    for cls in [cls for cls in _mro(type(obj)) if "__slots__" in _vars_of_class(cls)]:
        for member in list(_vars_of_class(cls).values()):
            try:
                if type(member) is types.MemberDescriptorType:
                    found.append((member, member.__get__(obj)))
            except AttributeError:
                pass
    return found


def _attributes(obj):
    """Return the dict of an object's own attributes, past a property of that name; or None."""
    for cls in _mro(type(obj)):
        own = _vars_of_class(cls).get("__dict__")
        if type(own) is types.GetSetDescriptorType:
            found = own.__get__(obj)
            return found if type(found) is dict else None
    return None


def _patch(holder, pairs, do):
    """Replace what is paired in one object; return it, or what has to stand in its place."""
    kind = type(holder)

    def find(obj):
        pair = pairs.get(id(obj))
        return obj if pair is None else pair.kept

    def put(function, *args):
        """Call a function that sets its last argument, with what stands for that."""
        try:
            if find(args[-1]) is not args[-1]:
                do(function, *args[:-1], find(args[-1]), old=args[-1])
        except TypeError:  # a class of another layout: it stays what it is
            pass

    if kind is Pair or kind is types.FrameType or holder is pairs:
        return holder
    if issubclass(kind, tuple):
        return tuple.__new__(kind, map(find, tuple.__iter__(holder)))
    if kind is frozenset:
        return frozenset(map(find, holder))
    if kind is MethodType:
        return MethodType(find(holder.__func__), find(holder.__self__))
    if kind is getattr(types, "GenericAlias", 0):  # 3.9
        return kind(holder.__origin__, find(holder.__args__))
    if kind is getattr(types, "UnionType", 0):  # 3.10
        return functools.reduce(operator.or_, find(holder.__args__))
    put(_set_class_of, holder, kind)
    base = collections.deque if issubclass(kind, collections.deque) else list
    for index, item in enumerate(list(base.__iter__(holder)) if issubclass(kind, base) else ()):
        put(base.__setitem__, holder, index, item)
    for item in list(holder) if kind is set else ():
        put(_set_item_of_set, holder, item, item)
    if kind is CellType:
        put(_set_cell, holder, _content(holder))
    elif kind is functools.partial:
        put(_set_args_of_partial, holder, holder.args)
    elif kind is FunctionType or issubclass(kind, BaseException):
        name = "__defaults__" if kind is FunctionType else "args"
        put(setattr, holder, name, getattr(holder, name))
    elif _is_class(holder):
        put(type.__setattr__, holder, "__bases__", _bases(holder))
    for member, value in _members(holder):
        put(member.__set__, holder, value)
    namespace = holder if issubclass(kind, dict) else None if _is_class(holder) else _attributes(holder)
    if namespace:
        _patch_dict(namespace, find, put, do)
    return holder


def _set_item_of_set(holder, item, other):
    holder.discard(item)
    holder.add(other)


def _set_args_of_partial(partial, args):
    partial.__setstate__((partial.func, args, partial.keywords, partial.__dict__))


def _patch_dict(holder, find, put, do):
    """Replace keys and values of a dict, in their order; of a class's own, only past the class.

    Python caches what is in a class, and 3.12 crashes where its dict is written to.
    """
    items, owners = list(dict.items(holder)), ()
    if "__module__" in holder and "__doc__" in holder:
        owners = [each for each in gc.get_referrers(holder) if _is_class(each)]
    if any(find(key) is not key for key, value in items):
        do(_set_items, holder, [(find(key), find(value)) for key, value in items], old=items)
        return
    for key, value in items:
        for owner in owners:
            put(_set_attribute, owner, key, value)
        own = type(value) is weakref.ref and key == id(value())  # in a class's __subclasses__()
        if not owners and not own:
            put(dict.__setitem__, holder, key, value)


def _set_items(holder, items):
    """Give a dict other keys: each is taken out and put in, so that other threads find all others."""
    kind = collections.OrderedDict if isinstance(holder, collections.OrderedDict) else dict
    for old, (key, value) in zip(list(kind.keys(holder)), items):
        kind.pop(holder, old)
        kind.__setitem__(holder, key, value)


def _clear_caches():
    """Clear what abc and functools.singledispatch remember of classes whose shape has changed."""
    abc = sys.modules["abc"]
    classes = [cls for cls in gc.get_objects() if issubclass(type(cls), abc.ABCMeta)]
    for cls in sorted(classes, key=lambda cls: len(_mro(cls))):
        abc.ABCMeta._abc_caches_clear(cls)
        getattr(abc, "update_abstractmethods", id)(cls)  # 3.10
    for function in gc.get_referrers(*_codes_in(functools.singledispatch.__code__)):
        if _is_function(function) and "_clear_cache" in function.__dict__:
            function._clear_cache()


# -- J. names elsewhere: what others have imported by name ------------------------------------------
# Guarantees that `from conf import RATE` follows in the script, in a notebook's cells, and in modules
# that are not executed again.  Relies on their code, or source, for which name came from where.

_cells = []  # Versions of a notebook's cells


def _facts_of_main():
    """Return the facts of the running script's source, and of a notebook's cells."""
    path, imports, froms = _namespace_of("__main__").get("__file__"), [], {}
    for version in [*_cells, _runs.get(path) or Version(None, None, path)]:
        imports += version.facts.imports
        for base, pairs in version.facts.froms.items():
            froms[base] = froms.get(base, []) + pairs
    return _NO_FACTS._replace(imports=imports, froms=froms)


def _rename_elsewhere(batch):
    """Bind anew what the script, and modules that are not executed again, have imported by name."""
    taken = {id(old): new for old, new in batch.replaced}
    _rename_in(batch, _namespace_of("__main__"), _facts_of_main(), taken)
    for name in _Scope(named=next(iter(batch.views), "")).loaded():
        version = _running(name) if name not in batch.views else None
        if version is not None:
            _rename_in(batch, _namespace_of(name), version.facts, taken)


def _rename_in(batch, namespace, facts, taken):
    package = _package(namespace)
    for (module, level), pairs in facts.froms.items():
        view = batch.views.get(_absolute(module, level, package))
        if view is not None and ("*", "*") in pairs:
            pairs = [*pairs, *[(name, name) for name in _exported(view.live)]]
        for name, bound in pairs if view is not None else ():
            old, new = view.old.get(name, _MISSING), view.live.get(name, _MISSING)
            had = namespace.get(bound, _MISSING)
            if had is old and new is not old and new is not _MISSING and name not in view.hidden:
                batch.do(_restore_item, namespace, bound, new, old=had)
    for name, value in list(namespace.items()) if taken else ():
        if id(value) in taken:
            batch.do(_restore_item, namespace, name, taken[id(value)], old=value)
