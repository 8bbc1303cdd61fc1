"""New tests of mechanism K, for the class UnloadReport (its `alive` and `run_text` are used as they are)."""

import sys
import unittest

import test_deepreload


class UnloadWords(test_deepreload.Unloads):
    """Who holds what is still alive: timers, tasks, loggers, the library's frames, and nobody."""

    alive = test_deepreload.UnloadReport.alive

    def test_a_pending_timer(self):
        self.write({"pk/t.py": """
            import functools, threading
            def tick(*args): pass
            class Clock:
                def strike(self): pass
            def start(name, function, *args):
                timer = threading.Timer(60, function, args)
                timer.name, timer.daemon = name, True
                timer.start()
            """})
        for held in ("pk.t.tick", "pk.t.Clock().strike", "functools.partial(pk.t.tick)", "len, pk.t.Clock()"):
            self.assertEqual(self.alive(f"""
                import functools, pk.t
                pk.t.start("bell", {held})
                del pk
                """, "pk.t"), "pending threading.Timer in bell", held)

    def test_a_timer_that_runs_its_function(self):
        self.write({"pk/t.py": """
            import threading
            entered, leave = threading.Event(), threading.Event()
            def tick():
                entered.set()
                leave.wait()
            def start():
                timer = threading.Timer(0, tick)
                timer.name, timer.daemon = "bell", True
                timer.start()
                entered.wait()
            """})
        self.assertEqual(self.alive("""
            import pk.t
            pk.t.start()
            del pk
            """, "pk.t"), "frame of bell in pk.t.tick, line 5 & pending threading.Timer in bell")

    def test_an_asyncio_task_by_its_coroutine(self):
        self.write({"pk/t.py": """
            import asyncio
            async def work():
                await asyncio.sleep(60)
            async def start():
                asyncio.ensure_future(work())
                await asyncio.sleep(0)
            """})
        self.assertEqual(self.alive("""
            import asyncio
            async def main():
                global r
                import pk.t
                await pk.t.start()
                del pk
                r = deep_unload("pk")
            asyncio.run(main())
            """, "pk.t"), "asyncio task in pk.t.work, line 3")

    def test_an_asyncio_task_that_waits_for_a_function_of_a_plug_in(self):
        self.write({"pk/t.py": "import asyncio\nasync def work():\n    await asyncio.sleep(60)"})
        self.put("host.py", """
            import asyncio
            async def serve(handler):
                await handler()
            """)
        self.assertEqual(self.alive("""
            import asyncio, host
            async def main():
                global r
                import pk.t
                task = asyncio.ensure_future(host.serve(pk.t.work))
                await asyncio.sleep(0)
                del pk
                r = deep_unload("pk")
            asyncio.run(main())
            """, "pk.t"), "asyncio task in host.serve, line 3")

    def test_what_an_event_loop_calls_later(self):
        self.assertNotIn(self.alive("""
            import asyncio
            async def main():
                global r
                import pk
                asyncio.get_running_loop().call_later(60, pk.a.f)
                del pk
                r = deep_unload("pk")
            asyncio.run(main())
            """), ("", "something"))

    def test_loggers(self):
        self.write({"pk/a.py": """
            import logging
            class H(logging.Handler): pass
            class F(logging.Filter): pass
            """})
        for held, words in {"('app').addHandler(pk.a.H())": "('app').handlers[0]",
                            "().addHandler(pk.a.H())": "().handlers[0]",
                            "('a.b').addFilter(pk.a.F())": "('a.b').filters[0]"}.items():
            self.assertEqual(self.alive(f"""
                import app, pk
                app.log = logging.getLogger("app")
                logging.getLogger{held}
                del pk
                """), "logging.getLogger" + words)

    def test_what_nobody_was_found_to_hold(self):
        said = self.run_text("""
            import atexit, pk
            atexit.register(pk.a.f)
            del pk
            r = deep_unload("pk")
            print(bool(r), r.alive["pk.a"])
            print(str(r).split("\\n")[1])
            """).split("\n")
        if sys.version_info < (3, 10):  # the module holds them
            self.assertEqual(said, ["False ('atexit',)", "pk.a is still held by atexit"])
            return
        self.assertEqual(said, ["False ()", "pk.a is still held by something that could not be found: look "
                                            "at atexit, signal handlers, compiled code"])

    def test_what_only_a_function_of_the_library_holds(self):
        self.assertRegex(self.alive("""
            import queue, pk
            def start(item):
                class Item:
                    value = item
                threading.Thread(target=queue.Queue().get, args=(Item(),), daemon=True).start()
            start(pk.a.f)
            del pk
            """), r"^frame of Thread-1.* in queue\.get, line \d+$")

    def test_one_object_under_two_keys_and_odd_keys(self):
        self.assertEqual(self.alive("""
            import app, pk
            app.registry = {3: pk.a.C, "x": pk.a.f, "y": pk.a.f, app.Host: {app.fn: pk.a.C}, None: [pk.a.C]}
            app.registry[1, 2] = pk.a.C
            del pk
            """).split(" & "), ["app.registry['x']", "app.registry['y']", "app.registry[...]",
                                "app.registry[...][...]", "app.registry[...][0]", "app.registry[3]"])

    def test_what_another_unloaded_module_holds_is_said_once(self):
        self.write(helper1="def g(): pass\ndef h(): return g\ntable = {'g': g, 'h': [h]}")
        self.assertEqual(self.alive("""
            from pk.a import f
            """, "helper1"), "__main__.f.__globals__['helper1']")

    def test_a_namespace_a_class_and_a_method_alone(self):
        for held in ("pk.a.f.__globals__", "pk.b.D", "pk.b.D.m", "pk.a.C", "vars(pk.a)"):
            said = self.run_text(f"""
                import app, pk
                app.thing = {held}
                del pk
                r = deep_unload("pk")
                print(bool(r), *set(map("&".join, r.alive.values())))
                """)
            self.assertIn("app.thing", said.split(" "), held)
            self.assertTrue(said.startswith("False"), held)

    def test_holders_of_other_kinds(self):
        self.put("app.py", "class Slots:\n    __slots__ = 'p', '__weakref__'")
        for held in ("collections.deque([f])", "iter([f])", "app.Slots(); app.thing.p = f", "map(f, [])",
                     "types.MappingProxyType({'x': f})", "queue.Queue(); app.thing.put(f)",
                     "weakref.WeakKeyDictionary({f: 1}); app.thing = [app.thing, f]"):
            said = self.alive(f"""
                import app, collections, queue, types, weakref
                from pk.a import f
                app.thing = {held}
                del f
                """)
            self.assertRegex(said, r"^app\.thing", held)

    def test_nothing_of_the_users_runs(self):
        self.put("app.py", """
            ran = []
            def note(name):
                def method(self, *args): ran.append(name); raise RuntimeError(name)
                return method
            names = ("__eq__", "__ne__", "__hash__", "__bool__", "__len__", "__iter__", "__repr__",
                     "__str__", "__format__", "__getattr__", "__getattribute__", "__contains__",
                     "__getitem__", "__instancecheck__", "__subclasscheck__", "items", "values", "get")
            methods = {name: note(name) for name in names}
            Meta = type("Meta", (type,), methods)
            Odd = Meta("Odd", (), {**methods, "__class__": property(note("__class__")), "__module__": "app"})
            OddDict = type("OddDict", (dict,), {**methods, "__hash__": None})
            OddList = type("OddList", (list,), {**methods, "__hash__": None})
            class Key:
                def __repr__(self): ran.append("__repr__")
            def keep(value):
                odd = Odd()
                object.__setattr__(odd, "held", value)
                dict.__setitem__(table, "key", value)
                list.append(things, value)
                keyed[Key()] = value
                type.__setattr__(Odd, "held", value)
                return odd
            table, things, keyed = OddDict(), OddList(), {}
            """)
        said = self.run_text("""
            import app, pk
            odd = app.keep(pk.a.C)
            def work():
                held = app.Odd()
                object.__setattr__(held, "inner", pk.a.f)
                globals().pop("pk")
                r = deep_unload("pk")
                return r.names, sorted(r.alive["pk.a"])
            del app.ran[:]
            names, holders = work()
            print(app.ran, *holders, sep=" & ")
            """)
        self.assertEqual(said.split(" & "), [
            "[]", "__main__.odd.held", "app.Odd.held", "app.keyed[...]", "app.table['key']",
            "app.things", "frame of MainThread in __main__.work, line 19"])

    def test_a_module_name_that_is_no_text(self):
        self.put("pk/b.py", """
            class Odd:
                def __eq__(self, other): raise RuntimeError
                __hash__ = None
            class C:
                __module__ = Odd()
            def f(): pass
            f.__module__ = Odd()
            """)
        self.assertEqual(self.alive("""
            import app, pk
            app.thing = pk.b.f
            del pk
            """, "pk.b"), "app.thing & app.thing.__globals__")

    def test_the_names_of_threads_are_not_asked_for(self):
        self.put("pk/t.py", """
            import threading
            event = threading.Event()
            class Worker(threading.Thread):
                name = property(lambda self: 1 / 0, lambda self, value: None)
                def run(self): event.wait()
            def start(): Worker(daemon=True).start()
            """)
        self.assertRegex(self.alive("""
            import pk.t
            pk.t.start()
            del pk
            """, "pk.t"), r"^frame of Thread-\d+ in pk\.t\.(Worker\.)?run, line 5$")


if __name__ == "__main__":
    unittest.main()
