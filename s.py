import m
print("run three", m.V, flush=True)
