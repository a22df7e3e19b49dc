"""Whatever decides about a session, changed while the app runs: noticed at the next request, as stock notices it.

::

    python -m tests.changes --seed 7
    python -m tests.changes --seed 7 --cases 500
    python -m tests.changes.mutants

A case is a place (an attribute, a config value, a list, a module's global), a value to put there and a way to put it
there. Each is run on stock and on ours, warmed up before; then the change is made, undone, made in another way, made in
both ways at once and undone in another order, and once more in the midst of a request. At each step both sides answer
the same requests, and all that comes of them is compared. That stock's own answers differ by the change is asserted
too, since a change that nobody can see tests nothing.

Cases are numbered, and each depends on nothing but the seed and its number: ``--only NUMBER`` repeats one. They run in
fresh processes, some dozens in each: CPython gives a class that was changed a thousand times no more version tags.

In the order in which they are best read:

- ``values``: what is put into a place, and the calls that it notes;
- ``visits``: the requests of a step;
- ``sides``: an app with classes of its own, on stock or on ours, and how it answers a request;
- ``stand_ins``, ``attributes``, ``places``: what changes, and what is put there;
- ``way``, ``class_ways``, ``instance_ways``, ``item_ways``, ``ways``: how it changes;
- ``matrix``: the cases, and how one is compared;
- ``batches``, ``__main__``: many cases in fresh processes, and the command;
- ``mutants``: whether a build that leaves out one of its checks is found out.

What docs/compatibility.md lists as a difference is not in it: functions deep inside the libraries, and how often the
truth of an app or a property is asked for. To add a place, add a line to a table of ``attributes`` or ``places``.
"""
