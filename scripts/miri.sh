#!/usr/bin/env bash
# Run the unit tests of the modules without Python under Miri, except for a few, and all of them under AddressSanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/nightly.sh

build=build/miri
# Miri cannot call C, and these tests compare with classic zlib, which is C.
calling_c=(
    wire::deflate::tests::extreme_texts_too
    wire::deflate::tests::matches_at_the_edges_of_the_window
    wire::deflate::tests::noise_between_words_is_stored
    wire::deflate::tests::the_bits_are_those_of_zlib
    wire::inflate::tests::all_headers
    wire::inflate::tests::blocks_of_noise
    wire::inflate::tests::dynamic_blocks_of_any_codes
    wire::inflate::tests::no_stream_leaves_a_trace_in_the_next
    wire::inflate::tests::streams_of_all_levels_and_strategies
    wire::inflate::tests::streams_with_any_bit_flipped
    wire::inflate::tests::the_limit_is_the_last_length_that_is_given
    wire::zlib::tests::bytes_after_the_stream_are_ignored
    wire::zlib::tests::damaged_streams_give_nothing
    wire::zlib::tests::deflates_exactly_where_two_bytes_are_won
    wire::zlib::tests::deflates_there_and_back
    wire::zlib::tests::what_inflates_without_end_is_left_to_stock
)
# Too slow for Miri: one deflates hundreds of kilobytes, the other iterates over ten thousand years.
too_long=(
    wire::deflate::tests::no_text_leaves_a_trace_in_the_next
    wire::http_date::tests::seconds_of_each_day
)
skipped=("${calling_c[@]}" "${too_long[@]}")
tests=(test --locked --no-default-features --lib --target "$(host)" --target-dir "$build")

export MIRI_SYSROOT=$PWD/$build/sysroot
nightly cargo miri setup
nightly cargo miri "${tests[@]}" -- --exact "${skipped[@]/#/--skip=}"
echo "Miri skipped what calls C: ${calling_c[*]}"
echo "and what takes too long: ${too_long[*]}"
echo "AddressSanitizer now runs all tests, these included."
RUSTFLAGS=-Zsanitizer=address nightly cargo "${tests[@]}"
