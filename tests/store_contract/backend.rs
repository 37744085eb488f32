//! How a store comes under the contract.

use untag::domain::Resource;
use untag::store::Store;

/// A store that the cases can run on. Each case starts its own, which shares nothing with another.
pub trait Backend: Sized {
    /// The store.
    type Store: Store;

    /// Starts a store that holds these resources and no others.
    async fn start(resources: Vec<Resource>) -> Self;

    /// The store under test.
    fn store(&self) -> &Self::Store;

    /// All that the store holds, read past the store, in order of account and id.
    async fn export(&self) -> Vec<Resource>;
}

/// Makes a test of every case, for one backend.
macro_rules! store_contract {
    ($backend:ty) => {
        $crate::backend::store_contract! { $backend =>
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
    ($backend:ty => $($subject:ident: $($case:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::$subject::$case::<$backend>().await;
            }
        )+)+
    };
}
pub(crate) use store_contract;
