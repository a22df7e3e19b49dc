"""For how long tests wait."""

#: In seconds. What takes so long hangs: a machine may be slow, and busy with other tests. No test waits less for
#: something that should happen soon.
HANGS_AFTER = 300
