//! How a store comes under the contract.

use untag::domain::Resource;
use untag::store::Store;

/// A store that the cases can run on. Each case starts its own, which shares nothing with another.
pub trait Backend: Sized {
    /// The store.
    type Store: Store;

    /// Whether the store keeps users itself: then it has a change log, and compares values with expected ones.
    const KEEPS_USERS: bool = true;

    /// How many random cases a test has.
    const RANDOM_CASES: u32 = 64;

    /// How many lists of the past each random history is asked for.
    const PAST_LISTS: usize = 40;

    /// Starts a store that holds these resources and no others.
    async fn start(resources: Vec<Resource>) -> Self;

    /// The store under test.
    fn store(&self) -> &Self::Store;

    /// All that the store holds, read past the store, in order of account and id.
    async fn export(&self) -> Vec<Resource>;
}

/// Makes a test of every case about tags, for one backend.
macro_rules! tag_contract {
    ($backend:ty) => {
        $crate::contract::backend::make_tests! { $backend =>
            untag:
                untag_removes_only_the_named_keys,
                untag_removes_every_tag_when_all_is_selected,
                untag_skips_keys_that_are_not_carried,
                untag_tells_keys_apart_by_case,
                untag_can_be_repeated,
                untag_finds_users_by_name_without_case_and_keeps_the_name_as_given,
                untag_tells_ids_apart_by_every_digit,
                untag_takes_wildcards_and_quotes_as_they_are,
                untag_keeps_the_longest_tags_whole,
                untag_of_the_largest_request_removes_all_of_it,
                untag_names_every_missing_id_and_changes_nothing,
                untag_names_every_missing_name_and_changes_nothing,
                untag_skips_missing_users_where_that_is_allowed,
                untag_that_validates_answers_as_the_change_would_and_changes_nothing,
                untag_that_validates_names_every_missing_user,
                untag_acts_on_its_own_account_only;
            tag:
                tag_adds_tags_and_overwrites_values,
                tag_keeps_an_empty_value,
                tag_finds_users_by_name_without_case_and_keeps_the_name_as_given,
                tag_names_every_missing_user_and_changes_nothing,
                tag_fills_a_user_up_to_the_limit,
                tag_overwrites_on_a_user_that_is_at_the_limit,
                tag_over_the_limit_names_every_such_user_and_changes_nothing,
                tag_names_missing_users_rather_than_users_over_the_limit,
                tag_acts_on_its_own_account_only;
            list:
                list_of_users_is_in_order_of_id_then_key,
                list_orders_ids_and_keys_by_their_bytes,
                list_finds_users_by_name_without_case,
                list_names_every_missing_user,
                list_by_key_shows_that_tag_of_everybody,
                list_by_key_and_value_shows_equal_values_only,
                list_by_an_empty_value_shows_empty_values_only,
                list_by_several_tags_shows_users_that_have_them_all,
                list_by_users_and_tags_shows_what_fits_both,
                list_of_nothing_is_an_empty_last_page,
                list_shows_its_own_account_only;
            paging:
                paging_yields_the_same_list_for_every_page_size,
                paging_ends_with_a_page_that_is_just_full,
                paging_goes_on_behind_a_tag_that_is_gone,
                paging_shows_what_was_added_behind_the_last_page_only,
                paging_shows_one_state_on_a_page_however_many_users_it_looks_at,
                paging_reaches_rare_tags_among_more_users_than_a_request_looks_at;
            concurrency:
                concurrent_untags_of_different_users_all_apply,
                concurrent_untags_of_the_same_tags_remove_each_tag_once,
                concurrent_untags_of_overlapping_users_count_each_tag_once,
                concurrent_commands_are_not_harmed_by_neighbours_that_are_refused,
                concurrent_tags_never_exceed_the_limit,
                concurrent_commands_on_the_same_users_in_any_order_all_apply,
                concurrent_reads_never_see_half_a_command,
                concurrent_reads_see_every_change_that_was_answered,
                dropped_commands_are_applied_whole_or_not_at_all,
                check_is_ok_while_the_store_works;
            random:
                random_commands_answer_as_the_model_does;
        }
    };
}
pub(crate) use tag_contract;

/// Makes a test of every case, for a backend whose store keeps users, and a log of their changes, itself.
macro_rules! store_contract {
    ($backend:ty) => {
        $crate::contract::backend::tag_contract!($backend);
        $crate::contract::backend::make_tests! { $backend =>
            expected:
                expected_values_let_go_what_has_them,
                expected_values_refuse_an_untag_with_every_tag_that_has_another,
                expected_values_leave_what_has_another_where_that_is_skipped,
                expected_values_are_asked_for_once_all_users_are_there,
                expected_values_of_the_largest_request_are_all_compared,
                expected_values_never_let_a_newer_value_go;
            counts:
                counts_are_of_the_tags_that_users_carry_now,
                counts_look_at_so_many_users_on_a_page,
                counts_end_a_page_where_it_has_many_different_ones;
            users:
                users_that_are_created_have_all_that_was_given,
                users_are_not_created_where_their_ids_exist,
                users_that_are_updated_change_only_where_that_is_said,
                users_that_are_updated_twice_at_one_moment_have_both_updates,
                users_that_are_missing_are_all_named,
                users_are_refused_for_the_first_reason_and_nothing_is_changed,
                users_of_the_largest_command_are_all_changed,
                users_of_other_accounts_are_neither_seen_nor_changed,
                users_are_listed_in_pages_in_order_of_id;
            user_filters:
                users_are_listed_by_the_beginning_of_their_names,
                users_are_listed_by_a_tag_and_by_having_none,
                users_who_are_deleted_are_listed_by_what_they_had,
                users_who_are_rare_are_reached_among_more_than_a_page_looks_at;
            user_names:
                users_have_names_that_are_unique_without_case,
                users_swap_names_and_pass_them_in_chains_and_cycles,
                users_take_a_name_that_another_gives_up_in_the_same_command,
                users_that_are_renamed_are_found_by_the_new_name_only;
            deleted_users:
                deleted_users_are_missing_for_tags,
                deleted_users_are_shown_by_id_and_where_a_list_says_so,
                deleted_users_come_back_with_the_tags_that_they_had,
                deleted_users_free_their_names,
                deleted_users_keep_their_ids,
                deleted_users_are_gone_after_30_days,
                deleted_users_of_other_accounts_stay_deleted;
            concurrent_users:
                concurrent_creates_of_one_id_or_name_have_one_winner,
                concurrent_swaps_end_in_a_permutation_and_no_name_is_ever_missing,
                concurrent_untags_see_a_command_of_users_as_a_whole,
                concurrent_changes_of_tags_happen_before_a_delete_or_not_at_all,
                concurrent_users_come_and_go_beside_untags_tags_and_lists;
            random_users:
                random_users_come_and_go_as_in_the_model;
            history:
                history_records_where_a_change_comes_from,
                history_has_no_entry_of_what_changes_nothing,
                history_of_an_account_is_its_own,
                history_has_concurrent_changes_in_the_order_of_their_revisions,
                repeated_requests_are_answered_as_they_were,
                repeated_requests_that_changed_nothing_change_nothing_later,
                repeated_requests_at_once_are_carried_out_once;
            reverts:
                reverts_bring_removed_tags_back_and_take_set_ones_away,
                reverts_bring_users_back_and_take_them_away,
                reverts_with_conflicts_name_them_all_and_change_nothing,
                reverts_leave_out_what_is_in_conflict_where_that_is_skipped,
                reverts_of_users_that_were_changed_again_are_in_conflict,
                reverts_with_a_token_are_made_once,
                reverts_beside_other_changes_happen_one_after_another,
                random_reverts_do_what_the_log_says;
            repeated_users:
                repeated_changes_of_users_are_answered_as_they_were,
                repeated_changes_of_users_that_changed_nothing_change_nothing_later,
                repeated_changes_of_users_at_once_are_made_once;
            past:
                past_lists_answer_as_they_did_then,
                past_lists_stay_as_they_are_beside_changes,
                past_lists_find_who_had_a_name,
                past_lists_end_with_the_newest_revision,
                pages_of_changes_end_with_enough_effects;
        }
    };
}
pub(crate) use store_contract;

macro_rules! make_tests {
    ($backend:ty => $($subject:ident: $($case:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::$subject::$case::<$backend>().await;
            }
        )+)+
    };
}
pub(crate) use make_tests;
