

# -- F. keep: old objects stay, brought up to date ------------------------------------------------
# Guarantees that functions, classes and enum members that the module has made keep their identity.
# Matches by __module__ and __qualname__; calls nothing of the user's: no ==, getattr, isinstance.

_PLAIN = {int, str, float, bool, bytes, type(None), tuple, list, dict, set, frozenset,
          types.ModuleType, _Reloading}
_DESCRIPTORS = {types.MemberDescriptorType, types.GetSetDescriptorType}
_METHODS = {property: ("fget", "fset", "fdel"), classmethod: ("__func__",),
            staticmethod: ("__func__",)}
_CACHED = type(functools.lru_cache(None)(len))
_METACLASSES = {"abc", "typing", "typing_extensions", "enum"}  # Python's own, besides type
_NOT_COPIED = {"__dict__", "__weakref__", "_abc_impl", "__classdictcell__"}
_STATE = ["__defaults__", "__kwdefaults__", "__doc__", "__name__", "__qualname__", "__module__",
          "__annotations__"]
if "__annotate__" in vars(types.FunctionType):  # 3.14: annotations may not be evaluated yet
    _STATE[-1] = "__annotate__"
if hasattr(types.FunctionType, "__type_params__"):  # 3.12
    _STATE.append("__type_params__")


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
    if _is_class(new):
        same = _is_class(old) and _qualname(old) == _qualname(new)
        return _keep_class(batch, old, new) if same and _same_module(batch, old, new) else new
    if type(old) is not kind:
        return new
    if kind is types.FunctionType:
        same = old.__qualname__ == new.__qualname__ and _same_module(batch, old, new)
        return _keep_function(batch, old, new) if same else new
    if kind in _METHODS:
        before, after = _parts(old), _parts(new)
        kept = list(map(functools.partial(_keep, batch), before, after))
        return new if _identical(kept, after) else old if _identical(kept, before) else kind(*kept)
    return _keep_cached(batch, old, new) if kind is _CACHED else new


def _parts(method):
    """Return what a property, classmethod or staticmethod is made of."""
    parts = [getattr(method, name) for name in _METHODS[type(method)]]
    return [*parts, method.__doc__] if type(method) is property else parts


def _same_module(batch, old, new):
    module = _module_of(new)
    return type(module) is str and module in batch.views and _module_of(old) == module


def _keep_function(batch, old, new):
    """Give an old function the code and the state of the new one."""
    was, code = old.__code__, new.__code__
    if id(old) in batch.claimed:
        return new
    if was.co_freevars != code.co_freevars:
        batch.claimed.add(id(old))
        _forward(batch, old, new)
        return new
    batch.pair(new, old, {name: id(value) for name, value in new.__dict__.items()})
    if was is not code:
        batch.do(_set_code, old, code, old=was)
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


def _set_code(function, code):
    """Set a function's code; 3.13 warns where it becomes a generator, or ceases to be one."""
    if (function.__code__.co_flags ^ code.co_flags) & 0x2A0:  # CO_GENERATOR and the like
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            function.__code__ = code
    else:
        function.__code__ = code


def _forward(batch, old, new):
    """Let an old function, whose free variables are others, only call the new one.

    It takes it from a keyword default: a constant of the code would be a cycle that nobody collects.
    """
    def call(*args, __new__, **kwargs):
        return __new__(*args, **kwargs)

    async def call_async(*args, __new__, **kwargs):
        return await __new__(*args, **kwargs)

    code = (call_async if new.__code__.co_flags & 0x80 else call).__code__  # CO_COROUTINE
    code = code.replace(co_freevars=old.__code__.co_freevars, co_name=new.__name__)
    state = [None, {"__new__": new}, *_state_of(new)[2:]], {**new.__dict__, "__wrapped__": new}
    batch.do(_set_code, old, code, old=old.__code__)
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


def _keep_cached(batch, old, new):
    """Keep a function's lru_cache as the same object, cleared, if it has the same size."""
    before, after = old.__dict__.get("__wrapped__"), new.__dict__.get("__wrapped__")
    kept = _keep(batch, before, after)
    if kept is not before or _limits_of(old) != _limits_of(new):
        return new
    batch.pair(new, old)
    state = {**new.__dict__, "__wrapped__": kept}
    batch.do(_restore_namespace, old.__dict__, state, old=dict(old.__dict__))
    return old


def _limits_of(cached):
    return cached.cache_info().maxsize, getattr(cached, "cache_parameters", dict)().get("typed")


def _keep_class(batch, old, new):
    """Give an old class what the new one has, or let the new one take over, where it must."""
    if id(old) in batch.claimed:
        return new
    before, after = dict(_vars_of_class(old)), dict(_vars_of_class(new))
    bases = tuple([_kept_class(batch, base) for base in _bases(new)])
    abstract = before.get("__abstractmethods__") != after.get("__abstractmethods__")
    if abstract or before.keys() != after.keys() or not _identical(bases, _bases(old)):
        batch.shapes_changed = True
    if not _can_become(batch, old, new, bases):
        batch.pair(new, new)
        batch.claimed.add(id(old))
        batch.replaced.append((old, new))
        return new
    batch.pair(new, old, {name: id(value) for name, value in after.items()})
    _point_cells(after.values(), old)
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


def _kept_class(batch, base):
    """Return the class that stays for a base, which may not have been paired yet."""
    view, name = batch.views.get(_module_of(base)), _qualname(base)
    if view is not None and id(base) not in batch.pairs and view.live.get(name) is base:
        return _keep(batch, view.old.get(name), base)
    return batch.pairs[id(base)].kept if id(base) in batch.pairs else base


def _can_become(batch, old, new, bases):
    """Give the old class the new one's bases; return whether it can become the new one at all.

    A framework's metaclass may keep records of the old one that nobody can bring up to date.
    """
    meta, enum = type(new), sys.modules.get("enum")
    own = meta is type or _vars_of_class(meta).get("__module__") in _METACLASSES
    if type(old) is not meta or not (own or enum and enum.EnumMeta in _mro(meta)):
        return False
    try:
        if not _identical(bases, _bases(old)):
            batch.do(_set_bases, old, bases, old=_bases(old))
    except TypeError:
        return False
    return _layout(old) == _layout(new)


def _set_bases(cls, bases):
    type.__setattr__(cls, "__bases__", tuple(dict.fromkeys(bases)))


def _layout(cls):
    """Return what Python lays out in memory for the instances of a class."""
    names = [name for name, value in _vars_of_class(cls).items()
             if type(value) is types.MemberDescriptorType]
    special = {name for each in _mro(cls) for name in ("__dict__", "__weakref__")
               if name in _vars_of_class(each)}
    return sorted(names), special, [size.__get__(cls) for size in _SIZES]


_SIZES = [vars(type)[name] for name in ("__basicsize__", "__itemsize__") if name in vars(type)]


def _set_attributes(cls, wanted):
    """Make a class have just these attributes, past metaclasses that refuse, one by one."""
    current = dict(_vars_of_class(cls))
    for name, value in {**current, **wanted}.items():
        if name not in _NOT_COPIED and type(value) not in _DESCRIPTORS:
            if name not in wanted:
                type.__delattr__(cls, name)
            elif current.get(name, _MISSING) is not value:
                type.__setattr__(cls, name, value)


def _functions_in(values):
    """Return the functions among the attributes of a class, those that are wrapped included."""
    found = list(values)
    for each in found:  # to which the loop adds
        if type(each) in _METHODS:
            found += _parts(each)
        elif _is_function(each) and each.__closure__ and len(found) < 999:
            found += [content for content in map(_content, each.__closure__) if _is_function(content)]
    return [each for each in found if _is_function(each)]


def _point_cells(values, cls):
    """Let the cell behind super() and __class__, which methods share, hold the kept class."""
    for function in _functions_in(values):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            content = _content(cell)
            if name == "__class__" and _is_class(content) and _qualname(content) == _qualname(cls):
                cell.cell_contents = cls


def _keep_members(batch, old, members, new, after):
    """Keep enum members by name, as far as what they are (an int, a str) lets them change."""
    names = sorted(after["_member_map_"], key=lambda name: name not in members)  # aliases last
    for name in names:
        member = after["_member_map_"][name]
        kept, state = members.get(name, member), member.__dict__
        if id(member) in batch.pairs or id(kept) in batch.claimed:
            continue
        if after["_member_type_"] is not object and not _same_value(kept._value_, member._value_):
            kept = member
        state = {key: old if value is new else value for key, value in state.items()}
        batch.do(_restore_namespace, kept.__dict__, state, old=dict(kept.__dict__))
        if kept is member:
            _set_class_of(member, old)
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
        same = named[code.co_name, code.co_flags & _IN_FUNCTION]
        if same:
            successor = same.pop(0)
            successors[id(code)] = _Pair(code, successor)
            _pair_code(code, successor, successors)


def _exchange(successors, exact, do):
    """Let functions whose code is among the pairs run its successor.

    `exact` says that functions hold these very code objects, not equal copies of them.
    """
    pairs, found = list(successors.values()), ()
    if exact and hasattr(sys, "getrefcount"):
        unused = _Pair(_exchange.__code__.replace(co_name="unused"), None)
        least = sys.getrefcount(unused.new) + 1  # for the constants of the code around it
        pairs = [pair for pair in pairs if sys.getrefcount(pair.new) > least]
    if exact and pairs:
        found = gc.get_referrers(*[pair.new for pair in pairs])
    elif pairs:
        found, successors = gc.get_objects(), {pair.new: pair for pair in pairs}
    for function in found:
        if _is_function(function):
            code = function.__code__
            pair = successors.get(id(code) if exact else code)
            if pair is not None and code.co_freevars == pair.kept.co_freevars:
                do(_set_code, function, pair.kept, old=code)


def _move_lines(path, runs, version):
    """Put code that differs in nothing but where it stands in place, without executing it."""
    successors = {}
    _pair_code(runs.code, version.code, successors)
    _exchange(successors, runs.exact, lambda function, *args, old: function(*args))
    version.left, _runs[path] = runs.left, version
    _forget_lines(path)


def _forget_lines(path):
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        linecache.cache.pop(path, None)


# -- H. where a class cannot become the new one, its instances and subclasses follow ---------------


def _follow_classes(batch):
    """Let what is of a class that was made anew follow, where Python allows it."""
    successors, stuck = {id(old): new for old, new in batch.replaced}, collections.Counter()
    if not successors:
        return
    holders = gc.get_referrers(*[old for old, new in batch.replaced])
    if sys.version_info < (3, 9):  # instances do not tell the collector their class yet
        holders = gc.get_objects()
    for obj in holders:
        old, new = type(obj), successors.get(id(type(obj)))
        try:
            if new is not None:
                batch.do(_set_class_of, obj, new, old=old)
            elif old is types.CellType and id(_content(obj)) in successors:  # behind super()
                batch.do(_set_cell, obj, successors[id(_content(obj))], old=_content(obj))
            elif _is_class(obj) and id(obj) not in successors:
                bases = tuple([successors.get(id(base), base) for base in _bases(obj)])
                if not _identical(bases, _bases(obj)):
                    old = next(base for base in _bases(obj) if id(base) in successors)
                    batch.do(_set_bases, obj, bases, old=_bases(obj))
        except TypeError:
            stuck[id(old)] += 1
    for old, new in batch.replaced:
        if stuck[id(old)]:
            _log().warning("%s.%s is a new class now; %d of its instances and subclasses keep the "
                           "old one", new.__module__, _qualname(new), stuck[id(old)])


# -- I. leftovers: new versions that somebody has put somewhere before they were paired -------------
# Guarantees that registries which decorators, metaclasses and __init_subclass__ fill hold the object
# that the program uses.  Relies on the garbage collector to find who holds what.


def _replace_leftovers(batch):
    """Put kept objects in the place of their new versions, wherever these are held."""
    pairs = [pair for pair in batch.pairs.values() if pair.new is not pair.kept]
    batch.pairs = {}
    leftovers = _still_held(pairs)
    for pair in list(leftovers.values()):
        _carry_over(batch, pair)
        for reference in _references_to(pair.new):
            other = weakref.ref.__new__(type(reference), pair.kept, reference.__callback__)
            for member, value in _members(reference):  # the key of a WeakValueDictionary's
                member.__set__(other, value)
            leftovers[id(reference)] = _Pair(reference, other)
    reference = None
    for _ in range(8):  # what cannot be changed is made anew, and then its holders are patched
        remade = {}
        for holder in gc.get_referrers(*[pair.new for pair in leftovers.values()]):
            other = _patch(holder, leftovers, batch.do)
            if other is not holder:
                remade[id(holder)] = _Pair(holder, other)
        leftovers = remade
        if not leftovers:
            break


def _still_held(pairs):
    """Empty a list of _Pairs; return {id(new): _Pair} of those whose new version somebody holds."""
    watched, held = [], {}
    while pairs:
        pair = pairs.pop()
        try:
            if not _references_to(pair.new):
                watched.append((weakref.ref(pair.new), pair))
                pair.new = None
                continue
        except TypeError:  # an enum member that is an int, say
            pass
        held[id(pair.new)] = pair
    gc.collect(1)  # most are garbage, in cycles that the young objects make
    for reference, pair in watched:
        pair.new = reference()
        if pair.new is not None:
            held[id(pair.new)] = pair
    return held


def _references_to(obj):
    """Return the weak references to an object, but for that of its bases' __subclasses__()."""
    found = weakref.getweakrefs(obj)
    return found if not _is_class(obj) else [each for each in found if each.__callback__
                                             or type(each) is not weakref.ref]


def _carry_over(batch, pair):
    """Give a kept class or function what its new version has gained since they were paired."""
    of_class = _is_class(pair.new)
    namespace = _vars_of_class if of_class else operator.attrgetter("__dict__")
    for name, value in list(namespace(pair.new).items()) if pair.before is not None else ():
        if pair.before.get(name) != id(value) and name not in _NOT_COPIED:
            had = namespace(pair.kept).get(name, _MISSING)
            if of_class:
                batch.do(_set_attribute, pair.kept, name, value, old=had)
            else:
                batch.do(_restore_item, pair.kept.__dict__, name, value, old=had)


def _set_attribute(cls, name, value):
    if value is _MISSING:
        type.__delattr__(cls, name)
    else:
        type.__setattr__(cls, name, value)


def _members(obj):
    """Return [(descriptor, value)] of the slots of an object that are not empty."""
    found = []
    for cls in _mro(type(obj)):
        for member in list(_vars_of_class(cls).values()) if "__slots__" in _vars_of_class(cls) else ():
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

    if kind is _Pair or kind is types.FrameType or holder is pairs:
        return holder
    if find(kind) is not kind:
        try:
            do(_set_class_of, holder, find(kind), old=kind)
        except TypeError:  # its layout differs: it stays what it is
            pass
    parts, make = _made_of(holder, kind)
    found = list(map(find, parts))
    if not _identical(found, parts):
        return make(found)
    for value, setter, *place in _places_in(holder, kind):
        if find(value) is not value:
            do(setter, *place, find(value), old=value)
    if issubclass(kind, dict):
        _patch_dict(holder, find, do)
    elif not _is_class(holder) and _attributes(holder):
        _patch_dict(_attributes(holder), find, do)
    return holder


def _made_of(holder, kind):
    """Return the parts of what cannot be changed, and a function that makes one of other parts."""
    if issubclass(kind, tuple):
        return list(tuple.__iter__(holder)), functools.partial(tuple.__new__, kind)
    if kind is frozenset:
        return list(holder), frozenset
    if kind is types.MethodType:
        return [holder.__func__, holder.__self__], lambda parts: types.MethodType(*parts)
    if kind in _METHODS:
        return _parts(holder), lambda parts: kind(*parts)
    if kind is getattr(types, "GenericAlias", 0):  # 3.9
        return [holder.__args__], lambda parts: kind(holder.__origin__, *parts)
    if kind is getattr(types, "UnionType", 0):  # 3.10
        return [holder.__args__], lambda parts: functools.reduce(operator.or_, *parts)
    return (), None


def _places_in(holder, kind):
    """Return [(value, setter, *arguments)] of what an object holds by other means than a dict."""
    for base in (list, collections.deque):
        if issubclass(kind, base):
            items = enumerate(list(base.__iter__(holder)))
            return [(item, base.__setitem__, holder, index) for index, item in items]
    if kind is set:
        return [(item, _set_item_of_set, holder, item) for item in list(holder)]
    if kind is types.CellType:
        return [(_content(holder), _set_cell, holder)]
    if kind is types.FunctionType:
        return [(holder.__defaults__, setattr, holder, "__defaults__")]
    if kind is functools.partial:
        parts = enumerate(holder.__reduce__()[2])
        return [(part, _set_in_partial, holder, index) for index, part in parts]
    if issubclass(kind, BaseException):
        return [(holder.args, setattr, holder, "args")]
    if _is_class(holder):
        items = [(value, _set_attribute, holder, name)
                 for name, value in list(_vars_of_class(holder).items())
                 if name not in _NOT_COPIED and type(value) not in _DESCRIPTORS]
        return [(_bases(holder), _set_bases, holder), *items]
    return [(value, member.__set__, holder) for member, value in _members(holder)]


def _set_item_of_set(holder, item, other):
    holder.discard(item)
    holder.add(other)


def _set_in_partial(partial, index, value):
    state = list(partial.__reduce__()[2])
    state[index] = value
    partial.__setstate__(tuple(state))


def _patch_dict(holder, find, do):
    """Replace keys and values of a dict, in their order; of a class's own, past the class only.

    Python caches what is in a class, and 3.12 crashes where its dict is written to.
    """
    if "__module__" in holder and "__doc__" in holder:
        owners = [each for each in gc.get_referrers(holder) if _is_class(each)]
        for owner in owners:
            for value, setter, *place in _places_in(owner, type(owner)):
                if find(value) is not value:
                    do(setter, *place, find(value), old=value)
        if owners:
            return
    items = list(dict.items(holder))
    if any(find(key) is not key for key, value in items):
        do(_set_items, holder, [(find(key), find(value)) for key, value in items], old=items)
        return
    for key, value in items:
        own = type(value) is weakref.ref and key == id(value())  # in a class's __subclasses__()
        if find(value) is not value and not own:
            do(dict.__setitem__, holder, key, find(value), old=value)


def _set_items(holder, items):
    """Give a dict other keys: each is taken out and put in, so that other threads find all others."""
    kind = collections.OrderedDict if isinstance(holder, collections.OrderedDict) else dict
    for old, (key, value) in zip(list(kind.keys(holder)), items):
        kind.pop(holder, old)
        kind.__setitem__(holder, key, value)


def _clear_caches():
    """Clear what abc and functools.singledispatch remember of classes whose shape has changed."""
    abc, classes = sys.modules["abc"], [object]
    for cls in classes:  # to which the loop adds
        known = set(map(id, classes))
        classes += [sub for sub in type.__subclasses__(cls) if id(sub) not in known]
        if issubclass(type(cls), abc.ABCMeta):
            abc.ABCMeta._abc_caches_clear(cls)
            getattr(abc, "update_abstractmethods", id)(cls)  # 3.10
    wrappers = [code for code in _codes_in(functools.singledispatch.__code__)]
    for function in gc.get_referrers(*wrappers):
        if _is_function(function) and "_clear_cache" in function.__dict__:
            function._clear_cache()


# -- J. names elsewhere: what others have imported by name ------------------------------------------
# Guarantees that `from conf import RATE` follows in the script, in a notebook's cells, and in modules
# that are not executed again.  Relies on their code, or source, for which name came from where.

_cells = []  # the code of a notebook's cells


def _facts_of_main():
    """Return the facts of the running script's source, and of a notebook's cells."""
    namespace = _namespace_of("__main__")
    codes = [frame.f_code for frame in _frames() if frame.f_globals is namespace]
    codes = [code for code in codes if code.co_name == "<module>" and code.co_filename[:1] != "<"]
    if not codes and "__file__" in namespace:  # it has ended
        try:
            with open(namespace["__file__"], "rb") as file:
                codes = [compile(file.read(), "<script>", "exec", dont_inherit=True)]
        except (OSError, TypeError, ValueError, SyntaxError):
            pass
    facts = list(map(_facts, [*_cells, *codes]))
    imports, froms = [sum([list(getattr(each, name)) for each in facts], [])
                      for name in ("imports", "froms")]
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
    for module, level, attribute, bound in facts.froms:
        view = batch.views.get(_absolute(module, level, package))
        if view is None:
            continue
        star = attribute == "*"
        for name in _exported(view.live) if star else [attribute]:
            bound = name if star else bound
            old, new = view.old.get(name, _MISSING), view.live.get(name, _MISSING)
            had = namespace.get(bound, _MISSING)
            if had is old and new is not old and new is not _MISSING and name not in view.hidden:
                batch.do(_restore_item, namespace, bound, new, old=had)
    for name, value in list(namespace.items()) if taken else ():
        if id(value) in taken:
            batch.do(_restore_item, namespace, name, taken[id(value)], old=value)
