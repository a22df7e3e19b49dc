"""Random sessions and random tokens, by stock and by ours: the same bytes, the same value, or the same exception.

::

    python -m tests.differential.codec --cases 200000 --seed 1

Cases are numbered, and each depends on nothing but the seed and its number: ``--only NUMBER`` repeats one.

In the order in which they are best read:

- ``odd_types``, ``values``: what sessions are made of;
- ``damages``, ``json_texts``, ``deflate``, ``settings``, ``tokens``: what tokens are made of, and what they are signed
  with;
- ``comparison``: stock and ours set up alike, and all that can be observed of what they answer;
- ``changes``, ``cases``: what is random about a case;
- ``run``, ``__main__``: a number of cases, and the command.
"""
