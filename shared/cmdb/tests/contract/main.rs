//! The contract of the register. Every case takes a register and makes objects of its own, so that the same suite runs
//! against the embedded register and, one table for all cases, against any other endpoint: see `suite`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod attempts;
mod backup_sets;
mod client_tokens;
mod embedded;
mod emulator;
mod epochs;
mod images;
mod instances;
mod intents;
mod jobs;
mod leases;
mod objects;
mod pages;
mod people;
mod refreshes;
mod reports;
mod runs;
mod services;

use std::pin::Pin;

use rekindle_cmdb::{EmbeddedRegister, Register};

/// Names every case once: as a test of its own against the embedded register and against an emulator of DynamoDB, and as
/// a part of the suite.
macro_rules! contract {
    ($($module:ident: $($case:ident),+;)+) => {
        /// All cases, one after another, against one table.
        async fn suite(register: Register) {
            $($(apart($module::$case, &register).await;)+)+
        }

        mod on_embedded {$(
            mod $module {$(
                #[tokio::test]
                async fn $case() {
                    crate::$module::$case(crate::in_memory().await).await;
                }
            )+}
        )+}

        mod on_emulator {$(
            mod $module {$(
                #[tokio::test]
                #[ignore = "needs the emulators"]
                async fn $case() {
                    crate::$module::$case(crate::emulator::register().await).await;
                }
            )+}
        )+}
    };
}

/// A case on the heap: all of them in one future would be longer than a test's stack.
fn apart<F>(case: impl Fn(Register) -> F, register: &Register) -> Pin<Box<F>> {
    Box::pin(case(register.clone()))
}

async fn in_memory() -> Register {
    EmbeddedRegister::in_memory().await.unwrap()
}

contract! {
    services:
        a_service_is_replaced_by_version_only,
        a_service_is_stored_twice_with_one_effect,
        services_are_listed_for_their_customer_only,
        publishing_counts_up_and_is_a_no_op_for_the_current_revision,
        a_late_publication_does_not_undo_a_newer_one,
        of_concurrent_publications_one_becomes_current;
    backup_sets:
        a_set_is_recorded_once_and_its_first_status_stays,
        sets_come_in_the_order_of_history,
        a_description_longer_than_an_item_is_kept,
        a_refused_description_is_recorded_once;
    runs:
        a_run_is_opened_once,
        a_run_that_is_not_open_is_not_opened,
        the_first_close_and_the_first_outcome_win,
        an_outcome_is_set_where_there_is_none,
        a_run_ends_only_after_it_was_closed_and_found_empty,
        an_empty_find_does_not_count_while_open,
        an_ended_run_cannot_be_found_not_empty,
        what_is_unknown_is_said_so,
        a_run_is_unfinished_until_it_is_ended_and_reported,
        concurrent_changes_of_a_run_all_count,
        builders_of_a_service_are_counted;
    leases:
        a_machine_begins_at_nothing,
        announcements_count,
        one_of_twenty_takes_the_lease,
        taking_twice_is_taking_once,
        another_runs_lease_is_named,
        a_stale_lease_is_taken_over_only_when_its_run_is_closed,
        a_stale_lease_that_is_not_the_current_one_is_not_taken_over,
        two_cannot_take_over_the_same_stale_lease,
        a_closed_run_takes_no_lease,
        a_run_that_lost_its_lease_does_not_get_it_back,
        a_recovery_has_nothing_to_lease,
        an_opened_run_takes_the_lease,
        releasing_twice_answers_the_same,
        a_wake_up_during_the_run_is_handed_over,
        a_chain_of_hand_overs_ends,
        no_wake_up_is_lost_between_release_and_announcement,
        who_holds_no_lease_releases_none;
    epochs:
        a_restored_copy_is_another_table_with_the_same_content,
        an_image_is_taken_back_with_its_run_and_without_a_lease,
        an_image_whose_report_was_not_kept_is_taken_back_with_a_run_that_owes_it,
        what_is_not_proven_or_belongs_to_another_run_is_not_taken_back,
        an_image_of_a_run_that_is_open_is_taken_back_too,
        a_lease_is_revoked_once_and_fences_go_on_above_it,
        what_nobody_vouches_for_is_recorded_once,
        a_configuration_is_remembered_forwards_only,
        a_forgotten_intent_is_remembered_once;
    intents:
        an_intent_is_written_under_the_lease,
        a_closed_run_writes_no_intent_not_even_again,
        a_stale_fence_writes_no_intent,
        a_run_with_a_lease_must_show_its_fence,
        a_recovery_writes_intents_without_a_lease,
        an_intent_is_named_once,
        many_intents_at_once_are_all_written;
    images:
        a_proven_image_becomes_the_newest,
        an_image_that_is_not_proven_is_not_registered,
        a_closed_run_registers_nothing,
        a_stale_fence_registers_nothing,
        the_register_never_moves_backwards,
        the_same_place_with_newer_configuration_is_newer,
        an_id_of_another_run_is_a_conflict,
        images_are_listed_newest_first;
    attempts:
        a_failed_run_counts_once,
        an_older_failure_counts_but_is_not_the_newest;
    instances:
        an_instance_is_bound_once,
        only_a_bound_instance_says_hello,
        the_latest_hello_wins;
    jobs:
        a_job_is_posted_taken_and_finished,
        the_first_outcome_wins,
        a_job_posted_again_gets_the_new_token,
        a_finished_job_is_answered_as_it_is,
        a_token_is_forgotten_unless_a_newer_one_came,
        a_job_moves_to_another_instance,
        boot_is_never_handed_out,
        the_oldest_job_is_handed_out_first_and_again,
        a_heartbeat_needs_an_unfinished_job_of_this_instance,
        an_ended_run_posts_no_job,
        jobs_of_a_run_are_listed;
    people:
        a_question_is_asked_once_and_its_token_is_replaced,
        whoever_asked_cannot_decide,
        silence_until_the_deadline_is_final,
        the_first_decision_wins,
        a_question_that_was_taken_back_is_not_decided,
        open_questions_are_listed;
    reports:
        the_first_report_wins,
        a_report_longer_than_an_item_is_kept,
        steps_are_kept_in_order_and_once,
        a_plan_reads_back_under_its_digest;
    refreshes:
        the_first_plan_of_a_refresh_stays,
        only_an_open_run_takes_a_plan,
        the_newest_measurement_stays,
        a_customer_is_listed_once_with_all_machines;
    pages:
        services_are_read_page_by_page,
        images_are_read_page_by_page_from_the_newest,
        what_is_unfinished_is_read_page_by_page,
        ended_runs_are_read_page_by_page_from_the_newest,
        a_changed_position_leads_nowhere_else;
    client_tokens:
        a_client_token_stands_for_its_first_request,
        one_of_twenty_claims_a_client_token,
        a_client_token_belongs_to_its_caller,
        a_start_longer_than_an_item_is_kept;
}
