"""The contract with stock, on an interface that encrypts: what views see, and all headers but the cookie's value.

``CONTRACT=encrypted python -m pytest tests/contract`` runs all of it; what is left out here speaks of something else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

FILES = ["test_open", "test_save", "test_hooks", "test_json_text", "test_tag", "test_untag", "test_replaced"]

#: The other files: signatures and their bytes, and options and counts of interfaces that these tests make themselves.
LEFT_OUT = {"test_compatibility", "test_compress_sign", "test_options", "test_signing", "test_stats", "test_verify"}

#: Tests of these files that are left out, by the reason.
DIFFERENT = {
    "the signature, or the serializer that signs, is what is looked at": [
        "test_hooks.py::test_attributes_of_a_serializer_may_be_mutated_at_any_time",
        "test_hooks.py::test_attributes_of_a_serializer_may_be_set_at_any_time",
        "test_hooks.py::test_copies_of_a_serializer_are_its_equals",
        "test_hooks.py::test_defaults_of_the_signer_may_be_replaced",
        "test_hooks.py::test_keys_are_tried_from_the_newest",
        "test_hooks.py::test_the_decoder_script_that_everybody_copies",
        "test_hooks.py::test_the_serializer_is_a_genuine_one",
        "test_hooks.py::test_the_serializer_is_used_directly",
        "test_open.py::test_a_bad_payload_is_an_error",
        "test_replaced.py::test_defaults_of_the_serializers_class_count",
        "test_tag.py::test_a_serializer_in_hand_keeps_its_keys_but_not_the_rest",
    ],
    "the scenario has the cookie where it is not translated": [
        "test_hooks.py::test_a_fake_app_and_a_fake_request_will_do",
        "test_hooks.py::test_a_fake_response_will_do",
        "test_hooks.py::test_a_list_of_keys_may_be_mutated_in_place",
        "test_hooks.py::test_an_iterator_of_fallback_keys_is_used_up",
        "test_hooks.py::test_an_overridden_serializer_signs_and_verifies",
        "test_hooks.py::test_cookie_methods_replaced_on_the_response_class",
        "test_hooks.py::test_dump_writes_to_a_file",
        "test_hooks.py::test_request_cookies_may_be_overridden",
        "test_hooks.py::test_response_headers_and_vary_may_be_overridden",
        "test_hooks.py::test_set_cookie_replaced_on_the_one_response",
        "test_hooks.py::test_the_app_may_be_a_subclass_with_classes_of_its_own",
        r'test_open.py::test_the_cookie_header_is_read_as_werkzeug_reads_it[session="\\145',
        "test_open.py::test_the_name_of_the_cookie[a.b]",
        "test_replaced.py::test_a_class_between_ours_and_stocks_is_obeyed",
        "test_replaced.py::test_a_class_that_trades_one_name_for_another",
        "test_replaced.py::test_classes_may_look_up_attributes_in_their_own_way",
        "test_replaced.py::test_werkzeugs_functions_for_cookies_may_be_replaced",
    ],
    "the length of the cookie is what is looked at": [
        "test_replaced.py::test_a_cookie_is_measured_whenever_it_is_signed",
        "test_save.py::test_an_oversize_cookie_is_warned_of_and_sent",
        "test_save.py::test_the_limit_may_come_from_the_config",
    ],
    "the cookie is bound to its name, so that get_cookie_name is called for the serializer too": [
        "test_hooks.py::test_all_getters_run_on_every_response",
        "test_save.py::test_the_order_of_the_steps",
    ],
    "the cookie is bound to its name, which has to be text": [
        f"test_save.py::test_attributes_of_the_cookie[{view}-{{'SESSION_COOKIE_NAME': 7}}]"
        for view in ("<lambda>0", "<lambda>1", "clear", "touch_nothing")
    ],
    "an encrypted cookie is written in one way only": [
        r"test_open.py::test_the_cookie_header_is_read_as_werkzeug_reads_it"
        r"[session=eyJ1c2VyIjoiYWRhIn0.ZVPxAA.MR-WlYxmaxq9OMW63qrD5wWEmbw\xe9]",
    ],
    "keys that can be guessed are an error": [
        "test_hooks.py::test_fallback_keys_of_all_sorts",
        "test_hooks.py::test_keys_of_odd_types",
    ],
    "a time is eight bytes, and has no others": [
        "test_open.py::test_absurd_timestamps",
        "test_open.py::test_an_absurd_timestamp_is_an_error_of_the_request",
        "test_open.py::test_the_clock_is_looked_up_at_each_call",
    ],
    "encrypted cookies are text, whatever the serializer gives": [
        "test_hooks.py::test_a_serializer_of_bytes_makes_cookies_of_bytes",
    ],
    "the interface of these tests is a subclass with an argument of its own": [
        "test_hooks.py::test_an_argument_to_the_interface_is_a_type_error",
    ],
}


def test_each_file_of_the_contract_is_run_or_left_out() -> None:
    assert {path.stem for path in (ROOT / "tests/contract").glob("test_*.py")} == {*FILES, *LEFT_OUT}


def test_the_contract_holds() -> None:
    left_out = [f"tests/contract/{name}" for names in DIFFERENT.values() for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += [f"tests/contract/{name}.py" for name in FILES]
    command += [word for name in left_out for word in ("--deselect", name)]
    environment = os.environ | {"CONTRACT": "encrypted"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout[-10_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 2000
