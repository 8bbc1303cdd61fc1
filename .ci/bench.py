"""What reloading costs, as ratios to what was measured beside it in the same run.

    python3 .ci/bench.py [--quick] [--modules N]

Generates a package of N modules (1,000 unless told) of about 1.3 kB, each importing one to four earlier ones by `from`,
with bytecode, and drives it from a script that holds instances, bound methods, functions and names of its modules.  Whatever
needs a clean process gets one; the processes of a figure and of its reference alternate, and the shortest time counts.

Nothing here fails for being slow: the table says `over`, the exit status is 0.
"""

import argparse
import gc
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import types

MODULE = '''"""Module {n} of a generated program."""
import functools
{imports}

RATE = {n}
LIMITS = {{"low": RATE, "high": RATE + 100, "names": ("alpha", "beta", "gamma")}}


def step(value, times=2, *, scale=RATE):
    """Go on by what the modules below say."""
    for _ in range(times):
        value = helper(value) + scale
    return value


def helper(value):
    return min(value + RATE, LIMITS["high"]) if value else {below}


@functools.wraps(helper)
def wrapped(value):
    return helper(value)


class Item({base}):
    """Something to hold."""

    kind = "item"

    def __init__(self, size=1, name="m{n:04}"):
        self.size, self.name = size, name

    @property
    def area(self):
        return self.size * RATE

    @property
    def label(self):
        return "{{}} of {{}}".format(self.name, self.size)

    @label.setter
    def label(self, text):
        self.name = text.partition(" of ")[0]

    @classmethod
    def parse(cls, text):
        return cls(len(text), text)

    def grow(self, by=1):
        self.size += step(by)
'''

PROGRAM = '''import importlib, os, sys
if "early" in sys.argv:
    import deepreload
{imports}
modules = [importlib.import_module(f"work.m{{n:04}}") for n in range({count})]
held = [(module.Item(), module.Item().grow, module.step, module.Item) for module in modules]
if len(sys.argv) == 1:
    os._exit(0)  # taking a process down is nobody's cost
import bench
bench.child(*sys.argv[1:])
'''

# -- the generated program, and what its process measures ---------------------------------------------------------------


def generate(root, count):
    """Write a package of so many modules and the program that uses it; return {number: numbers of the modules it imports}."""
    rng, package = random.Random(1), os.path.join(root, "work")
    os.makedirs(package)
    open(os.path.join(package, "__init__.py"), "w").close()
    below = {}
    for n in range(count):
        direct = below[n] = rng.sample(range(n), min(n, rng.randint(1, 4)))
        imports = "\n".join(f"from .m{d:04} import RATE as rate_{d}, step as step_{d}, Item as Item_{d}" for d in direct)
        text = MODULE.format(n=n, imports=imports, below=f"rate_{direct[0]}" if direct else "RATE",
                             base=f"Item_{direct[0]}" if direct and n % 4 == 0 else "object")
        with open(os.path.join(package, f"m{n:04}.py"), "w") as file:
            file.write(text)
    with open(os.path.join(root, "program.py"), "w") as file:
        names = "\n".join(f"from work.m{n:04} import RATE as rate_{n}, step as step_{n}, Item as Item_{n}" for n in range(0, count, 10))
        file.write(PROGRAM.format(imports=names, count=count))
    time.sleep(0.1)  # bytecode that is as young as its source proves nothing
    ask(root)
    return below


def all_dependents(below):
    """Turn {number: numbers it imports} into {number: numbers of all that import it, directly or not}."""
    dependents = {n: set() for n in below}
    for n in reversed(range(len(below))):
        for d in below[n]:
            dependents[d] |= {n} | dependents[n]
    return dependents


def ask(root, *what, quiet=False):
    """Run the program in a process of its own; return what it has measured, in seconds."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update(PYTHONPATH=os.pathsep.join([root, os.path.dirname(root)]), PYTHONHASHSEED="0")
    done = subprocess.run([sys.executable, os.path.join(root, "program.py"), *map(str, what)], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None)
    if done.returncode and not quiet:
        raise SystemExit(f"{what} failed")
    return json.loads(done.stdout) if done.stdout and not done.returncode else None


def child(what, *args):
    print(json.dumps(globals()[what](*args)), flush=True)
    os._exit(0)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def tool(name):
    """The function that reloads all of the program with a tool."""
    names = [name for name in sys.modules if name.partition(".")[0] == "work"]
    if name == "deepreload":
        from deepreload import deep_reload
        return lambda: deep_reload("work")
    if name == "loop":
        return lambda: [importlib.reload(sys.modules[name]) for name in names]
    if name == "recipe":
        return lambda: recipe(sys.modules["work"], set())
    if name == "autoreload":
        from IPython.extensions.autoreload import superreload
        return lambda: [superreload(sys.modules[name], importlib.reload, {}) for name in names]
    return lambda: ([sys.modules.pop(name) for name in names], [importlib.import_module(name) for name in names])


def recipe(module, seen):
    """The answer most people copy: what the module's attributes hold first."""
    seen.add(module)
    for value in list(vars(module).values()):
        if type(value) is types.ModuleType and value not in seen and value.__name__.startswith("work"):
            recipe(value, seen)
    importlib.reload(module)


def everything(name, when="late"):
    """Reload all, and again with nothing edited; the tool is imported after the modules, or early."""
    reload = tool(name)
    return {"first": timed(reload), "again": min(timed(reload) for _ in range(4 if name == "deepreload" else 1))}


def stepper(name):
    """The function that reloads what has changed."""
    if name == "deepreload":
        from deepreload import reload_changed
        return reload_changed
    from IPython.extensions.autoreload import ModuleReloader
    reloader = ModuleReloader()
    return lambda: reloader.check(True)


def idle(name):
    """Look for changes where there are none; beside it, ask for the state of the same files."""
    step = stepper(name)
    first = timed(step)
    files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] in ("work", "bench")]
    pairs = [(timed(step), timed(lambda: [os.stat(file) for file in files])) for _ in range(30)]
    return {"first": first, "step": min(a for a, b in pairs), "stat": min(b for a, b in pairs)}


def edit(name, number, times=7):
    """Edit one module again and again."""
    step, module, taken = stepper(name), sys.modules[f"work.m{int(number):04}"], []
    with open(module.__file__) as file:
        text = file.read()
    step()
    try:
        for turn in range(1, times + 1):
            time.sleep(0.02)
            with open(module.__file__, "w") as file:
                file.write(text.replace("RATE = ", "RATE = " + "1" * turn, 1))
            taken.append(timed(step))
            assert str(module.RATE).startswith("1" * turn), module.RATE
    finally:
        with open(module.__file__, "w") as file:
            file.write(text)
    return min(taken)


def heap(name, count=2000000):
    """Reload with few live objects and with many."""
    reload = tool(name)
    reload()
    rounds = 5 if name == "deepreload" else 1
    few = [timed(reload) for _ in range(rounds)]
    objects = [[None] for _ in range(int(count))]
    gc.collect()  # so that the interpreter's own collections see them as old, as in a program that has been running
    many = min(timed(reload) for _ in range(rounds))
    del objects
    gc.collect()
    return {"many": many, "few": min(few + [timed(reload) for _ in range(rounds)])}


def peak():
    """The peak memory of this process in kB; getrusage would tell that of the process that started it, if that was larger."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)


def memory(*counts):
    """The peak memory after so many reloads, one module edited before each."""
    reload, path, peaks = tool("deepreload"), sys.modules["work.m0050"].__file__, []
    for turn in range(1, max(map(int, counts)) + 1):
        with open(path, "a") as file:
            file.write(f"#{turn}\n" if turn % 2 else "\n")
        reload()
        if str(turn) in counts:
            peaks.append(peak())
    return peaks


# -- the table ----------------------------------------------------------------------------------------------------------

ROW = "{:<44}{:>9}{:>11}{:>8}{:>7}{:>7}  {:<5}{:>9}{:>9}{:>12}"


def row(figure, ours, reference, must, aim, *others, unit=1000, ratio=None):
    """Print a figure: ours and its reference in milliseconds (or MB), the ratio, what it must and should be, the others."""
    ratio = ours / reference if ratio is None else ratio
    verdict = "ok" if ratio <= aim else "must" if ratio <= must else "over"
    show = ["-" if value is None else f"{value * unit:.1f}" for value in (ours, reference, *others, *[None] * (3 - len(others)))]
    print(ROW.format(figure, *show[:2], f"{ratio:.3g}", f"{must:g}", f"{aim:g}", verdict, *show[2:]), flush=True)


def best(*results):
    """The shortest of several measurements of each thing; None where a tool has failed."""
    results = [result for result in results if result is not None]
    return {key: min(result[key] for result in results) for key in results[0]} if results else None


def starting(folder, *commands, times):
    """The shortest time that each of some commands takes, run in turns."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONPATH"] = folder
    turns = [[timed(lambda: subprocess.run([sys.executable, *command], env=environment)) for command in commands] for _ in range(times)]
    return [min(column) for column in zip(*turns)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, 2 times the modules instead of 8 times")
    parser.add_argument("--modules", type=int, default=1000, metavar="N", help="size of the package (1000)")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        for file in (__file__, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "deepreload.py")):
            shutil.copy(file, folder)
        measure(folder, options.modules, 3 if options.quick else 7, 2 if options.quick else 8)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder, count, times, scale):
    def program(modules):
        root = os.path.join(folder, f"of{modules}")
        return root, generate(root, modules)

    root, below = program(count)
    dependents = all_dependents(below)
    ipython = importlib.util.find_spec("IPython") is not None
    rivals = ("loop", "recipe") + ("autoreload",) * ipython
    size = os.path.getsize(os.path.join(root, "work", f"m{count // 2:04}.py"))
    print(f"Python {sys.version.split()[0]}, {count} modules of {size} bytes; times in ms, memory in MB; ok: within the aim\n")
    print(ROW.format("figure", "ours", "reference", "ratio", "must", "aim", "", "reload", "recipe", "autoreload"))

    kinds = [("deepreload",), ("deepreload", "early"), ("reimport",)]
    turns = [[ask(root, "everything", *kind) for kind in kinds] for _ in range(times)]
    ours, early, again = [best(*column) for column in zip(*turns)]
    others = [ask(root, "everything", name, quiet=True) for name in rivals]
    row("first deep_reload / re-import of all", ours["first"], again["first"], 1.5, 1.1, *[other and other["first"] for other in others])
    row("the same, deepreload imported before them", early["first"], again["first"], 1.5, 1.1)
    row("again, nothing edited / the same", ours["again"], again["first"], 1.1, 0.6, *[other and other["again"] for other in others])

    ours = best(*[ask(root, "idle", "deepreload") for _ in range(times)])
    auto = ipython and ask(root, "idle", "autoreload", quiet=True)
    row("reload_changed(), nothing to do / os.stat", ours["step"], ours["stat"], 1.3, 1.2, None, None, auto and auto["step"] or None)

    leaf = max(n for n in dependents if not dependents[n])
    middle = min(dependents, key=lambda n: abs(len(dependents[n]) - 20))
    for figure, number, must, aim in (("edit of a module nobody imports / restart", leaf, 0.05, 0.02),
                                      (f"edit under {len(dependents[middle])} dependents / restart", middle, 0.06, 0.04)):
        turns = [(ask(root, "edit", "deepreload", number), timed(lambda: ask(root))) for _ in range(times)]
        auto = ipython and ask(root, "edit", "autoreload", number, quiet=True)
        row(figure, min(a for a, b in turns), min(b for a, b in turns), must, aim, None, None, auto or None)

    small, _ = program(50)
    ours = min((ask(small, "heap", "deepreload") for _ in range(min(times, 3))), key=lambda result: result["many"] / result["few"])
    others = [ask(small, "heap", name, quiet=True) for name in rivals]
    row("50 modules, 2,000,000 live objects / few", ours["many"], ours["few"], 1.2, 1.1, *[other and other["many"] for other in others])

    large, _ = program(count * scale)
    turns = [{path: ask(path, "everything", "deepreload") for path in (large, root)} for _ in range(min(times, 3))]
    ours, one = best(*[turn[large] for turn in turns]), best(*[turn[root] for turn in turns])
    for name in ("first", "again"):
        row(f"{count * scale:,} modules / {scale} times {count:,}, {name}", ours[name], scale * one[name], 1.1, 1.05)

    hundred, _ = program(100)
    peaks = ask(hundred, "memory", 30, 300)
    row("peak memory after 300 reloads of 100 / 30", peaks[1], peaks[0], 1.00, 1.00, unit=1 / 1024)
    starting(folder, ["-c", "import deepreload"], times=1)
    ours, bare = starting(folder, ["-c", "import deepreload"], ["-c", "pass"], times=5 * times)
    row("import deepreload - interpreter start (ms)", ours, bare, 10, 6, ratio=(ours - bare) * 1000)


if __name__ == "__main__":
    main()
