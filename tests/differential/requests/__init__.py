"""Random requests to two apps, one with stock's sessions, one with ours: the same responses, and the same in the views.

::

    python -m tests.differential.requests --cases 2000 --seed 1

A case is a sequence of ten requests to one or two apps that share an interface, with changes to all of them in between.
Each depends on nothing but the seed and its number: ``--only NUMBER`` repeats one. A case that differs is reduced to
what the difference needs, and printed as the Python that :func:`.comparison.difference` takes.

In the order in which they are best read:

- ``plan``: what a case consists of;
- ``observed``: what is compared of each request;
- ``sessions``, ``replies``: what views do with their session, and what they return;
- ``interfaces``, ``apps``, ``handlers``: what both sides are made of;
- ``changes``: what happens to them between requests;
- ``by_hand``, ``sides``: how a request is run on one side;
- ``pair``: both sides in step, and what Cookie headers are filled with;
- ``cookies``, ``cases``: what is random;
- ``comparison``, ``run``, ``__main__``: a case compared and reduced, a number of them, the command.

Values, tokens and settings are those of ``..codec``.
"""
