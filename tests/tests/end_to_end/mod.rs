//! The program from outside: a process with arguments and signals, and its API as any client
//! has it.
//!
//! Every kind of bad input has a test named as a sentence. Where a line below names no module,
//! the test stands in the one of this directory that the heading names; `simulation`, `engine`
//! and `format` are the siblings of this directory, `server::` and `engine::` unit tests.
//!
//! # Requests (`requests`)
//!
//! | what comes | the test |
//! |---|---|
//! | record over 1 MiB | `a_record_of_exactly_1_mib_is_put_and_one_byte_more_is_refused` |
//! | over 500 records | `a_batch_of_500_records_is_put_and_one_of_501_is_refused_whole` |
//! | over 10 MiB | `a_batch_of_exactly_10_mib_is_put_and_one_byte_more_is_refused_whole` |
//! | empty batch | `an_empty_batch_is_refused` |
//! | nothing of a refused batch stands | in each of the above |
//! | empty data | `empty_data_is_a_record_like_any_other` |
//! | empty or 257-character key | `a_partition_key_of_0_or_257_characters_is_refused_and_one_of_256_is_not` |
//! | key that is not UTF-8 | `a_partition_key_that_is_not_utf_8_is_refused` |
//! | explicit hash key out of range | `an_explicit_hash_key_chooses_the_shard_and_is_refused_out_of_range` |
//! | truncated, overlong varints | `truncated_and_overlong_varints_are_refused`, `server::wire::read` against prost |
//! | unknown, repeated fields | `unknown_fields_are_skipped_and_of_repeated_ones_the_last_counts` |
//! | compressed message | `compressed_oversized_and_broken_messages_are_refused` |
//!
//! # Streams (`streams`) and positions (`positions`)
//!
//! | what comes | the test |
//! |---|---|
//! | shard count 0 or absurd | `a_shard_count_of_0_or_an_absurd_one_is_refused` |
//! | limit 0, over 10,000; unbounded wait | `a_limit_of_0_or_over_10_000_and_a_wait_over_30_seconds_are_refused` |
//! | unknown stream | `an_unknown_stream_is_not_found_by_any_operation` |
//! | deleting stream | `a_deleted_stream_is_gone_at_once_and_its_name_is_free` |
//! | existing stream | `a_stream_that_exists_is_not_made_again_and_keeps_its_records` |
//! | stream name `..` | `dots_are_names_like_others_and_the_directory_holds_numbers_only` |
//! | iterator forged | `a_forged_iterator_is_refused_whatever_was_changed` |
//! | iterator expired | `an_iterator_expires_after_300_seconds_and_is_good_over_a_restart_until_then` |
//! | of a deleted incarnation | `an_iterator_of_a_deleted_incarnation_never_reads_its_namesake` |
//! | below the horizon | `an_iterator_below_the_horizon_reads_from_the_horizon` |
//! | past the tip | `an_iterator_past_the_tip_waits_there` |
//! | number of another shard | `a_sequence_number_of_another_shard_or_beyond_the_end_is_refused` |
//! | timestamp in the future | `a_timestamp_in_the_future_is_refused_with_the_servers_time` |
//! | LATEST on an empty shard | `latest_on_an_empty_shard_reads_what_comes_after_it` |
//!
//! # Departures (`departures`)
//!
//! | what happens | the test |
//! |---|---|
//! | stream deleted under a Produce | `a_produce_call_ends_when_its_stream_is_deleted` |
//! | under a subscription | `a_subscription_ends_when_its_stream_is_deleted` |
//! | under a long poll | `a_long_poll_ends_when_its_stream_is_deleted` |
//! | a client that never reads | `a_subscriber_that_never_reads_costs_no_memory` |
//! | one that vanishes | `a_subscriber_that_vanishes_leaves_its_place`, `server::grpc::tests` for producers |
//! | one that closes before its acknowledgements | `a_producer_that_closes_before_its_acknowledgements_leaves_whole_batches` |
//!
//! # Surroundings (`surroundings`; `machines` where disk or clock are simulated)
//!
//! | what is wrong | the test |
//! |---|---|
//! | second server on a directory | `a_second_server_on_one_directory_is_refused_and_the_first_goes_on` |
//! | port in use | `a_port_in_use_is_refused_by_its_flag_before_the_directory_is_touched` |
//! | newer format | `segments_of_a_newer_format_are_not_opened_and_not_changed`; the catalog's: `engine::catalog::tests` |
//! | unwritable directory, read-only file system | `a_directory_that_cannot_be_written_is_refused_with_its_path` |
//! | full disk | `machines::a_full_disk_refuses_puts_serves_reads_and_resumes_by_itself`, `simulation` |
//! | failed sync | `machines::a_failed_sync_is_no_acknowledgement_and_halts_its_shard_until_a_restart` |
//! | crash during the first start | `a_crash_at_any_moment_of_the_very_first_start_leaves_a_directory_that_starts`, `engine::catalog::crash_tests` |
//! | catalog missing or damaged | `a_missing_or_damaged_catalog_is_refused_with_the_repair_and_nothing_is_changed` |
//! | last segment missing | `a_missing_last_segment_is_an_explicit_error_and_the_rest_is_served` |
//! | segment damaged | `a_damaged_segment_is_an_explicit_error_and_the_rest_is_served`, `format` |
//! | segment truncated while served | `a_segment_truncated_under_a_running_server_is_an_error_and_no_crash` |
//! | any file flipped, cut, removed, exchanged by hand | `by_hand::whatever_is_done_to_a_file_by_hand_is_told_and_the_rest_is_served` |
//! | few file descriptors | `few_file_descriptors_are_enough_for_many_shards` |
//! | clock back or forward by a year | `machines::a_clock_that_jumps_by_a_year_loses_nothing_and_never_runs_back`, `simulation` |
//!
//! # Command line (`command_line`)
//!
//! | what is typed or happens | the test |
//! |---|---|
//! | line over 1 MiB | `a_line_over_1_mib_ends_a_put_after_what_stands_before_it` |
//! | no final newline, CRLF, NUL bytes | `a_line_is_a_record_byte_for_byte_and_comes_back_so` |
//! | missing key field | `a_missing_key_field_or_column_ends_a_put_after_what_stands_before_it` |
//! | Ctrl-C midway | `ctrl_c_midway_says_what_is_acknowledged_and_that_stands` |
//! | server restart midway | `a_server_restart_midway_is_survived_and_records_that_may_stand_twice_are_told` |
//! | `tail \| head` | `a_reader_of_tail_that_leaves_ends_it_quietly` |
//! | no server | `no_server_is_exit_code_4_and_names_the_command_that_starts_one` |
//! | a server that goes away | `a_server_that_goes_away_ends_tail_with_exit_code_4`, `a_server_that_does_not_come_back_ends_a_put_with_what_is_acknowledged` |
//!
//! # Tools (`tools`)
//!
//! | what is wrong | the test |
//! |---|---|
//! | a frame damaged | `damage_is_reported_with_its_place_and_once_repaired_is_on_record_while_the_rest_is_served` |
//! | headers, frames and lengths at once | `many_damages_at_once_are_each_reported_with_file_and_offset_and_repaired` |
//! | the catalog | `a_rebuilt_catalog_brings_the_streams_back_and_keeps_the_damaged_one` |
//!
//! # Streams that change shape (`resharding`)
//!
//! | what is asked | the test |
//! |---|---|
//! | closed, unknown or distant shards, steps too far | `what_cannot_be_reshaped_is_exit_code_1_and_names_the_way` |
//! | reading across all of it | `readers_follow_fifty_reshards_under_load_once_and_in_order_per_key` |
//!
//! `kill_loop` kills the server in the middle of concurrent puts; `round_trip` sends a large
//! file through it.

mod bench;
mod by_hand;
mod command_line;
mod departures;
mod in_process;
mod kill_loop;
mod machines;
mod positions;
mod process;
mod raw;
mod requests;
mod resharding;
mod round_trip;
mod rpc;
mod signing_in;
mod streams;
mod surroundings;
mod tools;
